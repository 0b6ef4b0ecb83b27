"""Losses over pairs of images and texts: every pair of a batch is compared, and no B x B matrix is ever built.

Loss and gradients are made together, a block of rows at a time, so that the memory is that of `chunk` logits: at
B = 65,536 and width 512 the matrix alone would take 17 GB. Pairs whose captions are the same text are no negatives of
each other.

With several processes each compares its own rows with everybody's, which the caller gathers with gradients. The mean
over processes is then the loss of the whole batch, and the mean of the gradients is its gradient.

Axes: b pairs of this process · B pairs of all · m rows of one block · e embedding width
Refs: InfoNCE as in CLIP arXiv:2103.00020 Figure 3 · sigmoid arXiv:2303.15343 §3.2
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

CHUNK = 2**22  # logits that exist at one time: 16 MiB in float32

# Takes the logits (m B) of a block of rows, the places (m) of their own partners and the pairs that do not count (m B);
# returns the sum of the losses, and puts the gradients of that sum in the place of the logits.
Score: TypeAlias = Callable[[Tensor, Tensor, Tensor | None], Tensor]


class Gathered(NamedTuple):
    """The pairs of all processes, gathered with gradients, and where this process's own begin among them."""

    image: Float[Tensor, "B e"]
    text: Float[Tensor, "B e"]
    caption: Int[Tensor, " B"] | None
    first: int


def softmax_pairs(
    image: Float[Tensor, "b e"],
    text: Float[Tensor, "b e"],
    scale: Float[Tensor, ""],
    *,
    caption: Int[Tensor, " b"] | None = None,
    everyone: Gathered | None = None,
    chunk: int = CHUNK,
) -> Float[Tensor, ""]:
    """InfoNCE both ways: which text belongs to each image, which image to each text, as a mean over the pairs.

    Args:
        image: unit embeddings.
        text: those of their captions.
        scale: what cosines are multiplied by.
        caption: equal numbers for equal captions, which are left out of each other's denominators; None: all differ.
        everyone: the pairs of all processes; None: there is one process.
        chunk: logits that exist at one time.
    """
    everyone = everyone or Gathered(image, text, caption, 0)
    loss = _Compared.apply(image, text, *everyone[:2], scale, None, caption, everyone[2:], _softmax, True, chunk)
    return loss / (2 * len(image))  # pyright: ignore


def sigmoid_pairs(
    image: Float[Tensor, "b e"],
    text: Float[Tensor, "b e"],
    scale: Float[Tensor, ""],
    bias: Float[Tensor, ""],
    *,
    caption: Int[Tensor, " b"] | None = None,
    everyone: Gathered | None = None,
    chunk: int = CHUNK,
) -> Float[Tensor, ""]:
    """Whether each image and each text belong together, judged pair by pair: summed over texts, a mean over images.

    Arguments as in `softmax_pairs`; `bias` is added to the logits. Pairs of other images with an equal caption count
    neither way.
    """
    everyone = everyone or Gathered(image, text, caption, 0)
    loss = _Compared.apply(image, text, *everyone[:2], scale, bias, caption, everyone[2:], _sigmoid, False, chunk)
    return loss / len(image)  # pyright: ignore


def _softmax(logits: Tensor, own: Tensor, other: Tensor | None) -> Tensor:
    if other is not None:
        logits.masked_fill_(other, -torch.inf)
    right = logits.gather(1, own)
    best = logits.amax(1, keepdim=True)
    chances = torch.softmax(logits, 1, out=logits)
    log_sum = best - chances.amax(1, keepdim=True).log()
    chances.scatter_add_(1, own, torch.full_like(right, -1.0))
    return (log_sum - right).sum()


def _sigmoid(logits: Tensor, own: Tensor, other: Tensor | None) -> Tensor:
    right = logits.gather(1, own)
    # -log sigmoid(-x) = softplus(x) for all, and for the right pair softplus(-x) = softplus(x) - x instead.
    losses = F.softplus(logits)
    if other is not None:
        losses.masked_fill_(other, 0.0)
    total = losses.sum() - right.sum()
    del losses
    logits.sigmoid_()
    if other is not None:
        logits.masked_fill_(other, 0.0)
    logits.scatter_add_(1, own, torch.full_like(right, -1.0))
    return total


class _Compared(torch.autograd.Function):
    """The sum of a score over rows of cosines, whose gradients are made while the rows are there."""

    @staticmethod
    def forward(
        ctx: Any,
        image: Tensor,
        text: Tensor,
        all_image: Tensor,
        all_text: Tensor,
        scale: Tensor,
        bias: Tensor | None,
        caption: Tensor | None,
        others: tuple[Tensor | None, int],
        score: Score,
        both: bool,
        chunk: int,
    ) -> Tensor:
        """Images against all texts, and where `both` texts against all images."""
        all_caption, first = others
        inputs = (image, text, all_image, all_text)
        wide = torch.promote_types(image.dtype, torch.float32)
        found: dict[int, Tensor] = {}  # gradients by the identity of what they are of: with one process, two are one
        for tensor, needed in zip(inputs, ctx.needs_input_grad[:4], strict=True):
            if needed:
                found[id(tensor)] = torch.zeros_like(tensor, dtype=wide, memory_format=torch.contiguous_format)
        total, d_scale, d_bias = (torch.zeros((), dtype=wide, device=image.device) for _ in range(3))
        with torch.autocast(image.device.type, enabled=False):
            for rows, columns in ((image, all_text), (text, all_image))[: 2 if both else 1]:
                step = max(1, chunk // len(columns))
                for start in range(0, len(rows), step):
                    block = rows[start : start + step].to(wide)
                    own = torch.arange(start, start + len(block), device=image.device)[:, None] + first
                    logits = (block @ columns.to(wide).T).mul_(scale.to(wide))
                    if bias is not None:
                        logits += bias.to(wide)
                    other = None
                    if caption is not None and all_caption is not None:
                        other = caption[start : start + step, None] == all_caption
                        other.scatter_(1, own, False)
                    total += score(logits, own, other)  # logits are now their own gradients
                    slope = logits @ columns.to(wide)
                    d_scale += (slope * block).sum()
                    d_bias += logits.sum()
                    if id(rows) in found:
                        found[id(rows)][start : start + step] += slope.mul_(scale.to(wide))
                    if id(columns) in found:
                        found[id(columns)].addmm_(logits.T, block * scale.to(wide))
        seen: set[int] = set()
        gradients: list[Tensor | None] = []
        for tensor in inputs:  # each buffer is handed back once: autograd would add it to itself
            gradients.append(found.get(id(tensor)) if id(tensor) not in seen else None)
            seen.add(id(tensor))
        ctx.save_for_backward(*gradients, d_scale, d_bias if bias is not None else None)
        ctx.dtypes = [tensor.dtype for tensor in inputs] + [scale.dtype, bias.dtype if bias is not None else None]
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Any, ...]:
        """The gradients, times that of the sum."""
        saved = zip(ctx.saved_tensors, ctx.dtypes, strict=True)
        gradients = [(slope * gradient).to(dtype) if gradient is not None else None for gradient, dtype in saved]
        return (*gradients, None, None, None, None, None)

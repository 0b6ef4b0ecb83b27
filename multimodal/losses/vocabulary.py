"""Losses over a vocabulary that never build all logits at once, and those of distillation, spans and sums of losses.

Sequence, pair, choice and tag classification need nothing from here: `torch.nn.functional.cross_entropy` with
`ignore_index=IGNORE` is their loss. Targets are shifted by whoever makes the batch, never here.

Axes: n tokens · m tokens of one chunk · d model width · e teacher's width · v vocabulary · b batch · t length
Refs: label smoothing arXiv:1512.00567 §7 · z-loss arXiv:2204.02311 §5 · distillation arXiv:1503.02531 §2.1 and
DistilBERT arXiv:1910.01108 §3 · spans arXiv:1810.04805 §4.2 · sums: GPT-1 (Radford et al. 2018) §3.2
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

IGNORE = -100  # a target that is not counted
CHUNK = 2**24  # logits that exist at one time: 64 MiB in float32
FEW = 2**20  # logits that are not worth the bookkeeping of chunks

# Takes the logits (m v) of the chunk of tokens `rows`, returns the sum of their losses, and where it is asked for
# gradients puts those of that sum in the place of the logits.
Score: TypeAlias = Callable[[Tensor, slice, bool], Tensor]


def chunked_cross_entropy(
    hidden: Float[Tensor, "n d"],
    weight: Float[Tensor, "v d"],
    targets: Int[Tensor, " n"],
    *,
    bias: Float[Tensor, " v"] | None = None,
    scale: float = 1.0,
    smoothing: float = 0.0,
    z_loss: float = 0.0,
    chunk: int = CHUNK,
) -> Float[Tensor, ""]:
    """The mean cross-entropy of `scale * hidden @ weight.T + bias` over the targets that are not `IGNORE`.

    Loss and gradients are made together, a few tokens at a time, so that the memory is that of `chunk` logits and not
    of n x v; tokens without a target cost nothing. The softmax is in float32, or in float64 where the input is; the
    products are in the dtype of the input, or autocast's: bfloat16, not float16, whose smallest gradients a scaler
    would come too late for. The gradients are constants: they have none of their own.

    Args:
        hidden: what goes into the output layer.
        weight: the output layer, maybe the word table; a frozen one costs no gradient.
        targets: the right ids, from 0 to v - 1, or `IGNORE`. When all are, the loss is 0.
        bias: of the output layer.
        scale: of the hidden states.
        smoothing: the probability that is spread evenly over the vocabulary.
        z_loss: weight of the squared log of the softmax's denominator, which keeps logits from drifting.
        chunk: logits that exist at one time.

    Raises:
        RuntimeError: a target that is neither `IGNORE` nor an id.
    """
    hidden = hidden * scale if scale != 1.0 else hidden
    if len(hidden) * len(weight) <= min(chunk, FEW):
        return _plain_cross_entropy(hidden, weight, targets, bias, smoothing, z_loss)
    places = (targets != IGNORE).nonzero().squeeze(1)
    if len(places) < len(targets):  # else leave out two copies
        hidden, targets = hidden[places], targets[places]
    vocabulary = len(weight)

    def score(logits: Tensor, rows: slice, gradients: bool) -> Tensor:
        right = targets[rows, None]
        best = logits.amax(1, keepdim=True)
        log_chance = logits.gather(1, right)  # becomes it below
        even = logits.mean(1, keepdim=True) if smoothing else log_chance
        # In place: softmax, and from its largest value the log of its denominator; one exponential for each logit.
        chances = torch.softmax(logits, 1, out=logits)
        log_sum = best - chances.amax(1, keepdim=True).log()
        loss = log_sum - torch.lerp(log_chance, even, smoothing) + z_loss * log_sum.square()
        if gradients:
            if z_loss:
                chances *= 1 + 2 * z_loss * log_sum
            if smoothing:
                chances -= smoothing / vocabulary
            chances.scatter_add_(1, right, torch.full_like(log_sum, smoothing - 1))
        return loss.sum()

    return _summed(hidden, weight, bias, score, chunk) / max(len(targets), 1)


def _plain_cross_entropy(
    hidden: Tensor, weight: Tensor, targets: Tensor, bias: Tensor | None, smoothing: float, z_loss: float
) -> Tensor:
    logits = F.linear(hidden, weight, bias)
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    loss = F.cross_entropy(logits, targets, ignore_index=IGNORE, reduction="sum", label_smoothing=smoothing)
    counted = targets != IGNORE
    if z_loss:
        loss = loss + z_loss * (logits.logsumexp(1).square() * counted).sum()
    return loss / counted.sum().clamp(min=1)


def chunked_distillation(
    hidden: Float[Tensor, "n d"],
    weight: Float[Tensor, "v d"],
    teacher_hidden: Float[Tensor, "n e"],
    teacher_weight: Float[Tensor, "v e"],
    *,
    bias: Float[Tensor, " v"] | None = None,
    teacher_bias: Float[Tensor, " v"] | None = None,
    temperature: float = 2.0,
    chunk: int = CHUNK,
) -> Float[Tensor, ""]:
    """`distillation` of the logits that both output layers give, made a few tokens at a time; the teacher is fixed.

    Choose the tokens before: all that are given count, and none give 0. Five times `chunk` logits exist at one time.
    """
    teacher_hidden = teacher_hidden.detach()
    layer = teacher_weight.detach().to(teacher_hidden.dtype)  # autocast leaves the two in different ones
    constant = teacher_bias.detach() if teacher_bias is not None else 0.0

    def score(logits: Tensor, rows: slice, gradients: bool) -> Tensor:
        wanted = (teacher_hidden[rows] @ layer.T).to(logits.dtype).add_(constant)
        log_wanted = wanted.div_(temperature).log_softmax(1)
        log_chance = logits.div_(temperature).log_softmax(1)
        wanted = log_wanted.exp()
        loss = (wanted * (log_wanted - log_chance)).sum()
        if gradients:
            torch.sub(log_chance.exp_(), wanted, out=logits).div_(temperature)
        return loss

    total = _summed(hidden, weight, bias, score, chunk)
    return total * (temperature**2 / max(len(hidden), 1))


def distillation(
    logits: Float[Tensor, "n v"], teacher: Float[Tensor, "n v"], *, temperature: float = 2.0
) -> Float[Tensor, ""]:
    """KL(teacher || student) of the softened probabilities, times temperature squared, as a mean over n; 0 for none.

    The square keeps the gradients' size when the temperature changes. For classes or labels; for a vocabulary use
    `chunked_distillation`.
    """
    wanted = (teacher.detach().float() / temperature).log_softmax(1)
    found = (logits.float() / temperature).log_softmax(1)
    return F.kl_div(found, wanted, reduction="sum", log_target=True) * (temperature**2 / max(len(logits), 1))


def cosine_distance(hidden: Float[Tensor, "n d"], teacher: Float[Tensor, "n d"]) -> Float[Tensor, ""]:
    """1 - the cosine between the student's and the teacher's hidden states, as a mean over n; 0 for none."""
    cosine = F.cosine_similarity(hidden.float(), teacher.detach().float(), dim=1)
    return (1 - cosine).sum() / max(len(hidden), 1)


def span_loss(
    start_logits: Float[Tensor, "b t"],
    end_logits: Float[Tensor, "b t"],
    start: Int[Tensor, " b"],
    end: Int[Tensor, " b"],
) -> Float[Tensor, ""]:
    """The mean of the cross-entropies of an answer's first and last token; a target outside 0..t-1 is not counted."""
    t = start_logits.shape[1]
    losses = []
    for logits, target in ((start_logits, start), (end_logits, end)):
        target = target.masked_fill((target < 0) | (target >= t), IGNORE)
        loss = F.cross_entropy(logits.float(), target, ignore_index=IGNORE, reduction="sum")
        losses.append(loss / (target != IGNORE).sum().clamp(min=1))
    return (losses[0] + losses[1]) / 2


def weighted_sum(losses: Mapping[str, Tensor], weights: Mapping[str, float]) -> Tensor:
    """Several losses as one: GPT-1's task + lambda x language model, DistilBERT's distillation + masked LM + cosine.

    Raises:
        ValueError: a loss without a weight, or a weight without a loss; or there are none.
    """
    if not losses or losses.keys() != weights.keys():
        raise ValueError(f"Each loss needs a weight: losses {sorted(losses)}, weights {sorted(weights)}.")
    return torch.stack([weights[name] * loss for name, loss in losses.items()]).sum()


def _summed(hidden: Tensor, weight: Tensor, bias: Tensor | None, score: Score, chunk: int) -> Tensor:
    """The sum of `score` over the logits of all tokens."""
    device = hidden.device.type
    if torch.is_autocast_enabled(device):
        dtype = torch.get_autocast_dtype(device)
        hidden = hidden.to(dtype)
    with torch.autocast(device, enabled=False):  # it would not reach the products that write into given memory
        gradients = torch.is_grad_enabled()
        return _ChunkedSum.apply(hidden, weight, bias, score, max(1, chunk // len(weight)), gradients)  # pyright: ignore


class _ChunkedSum(torch.autograd.Function):
    """Sum of a loss over tokens, whose gradients are made while the logits are there."""

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor | None, score: Score, step: int, gradients: bool
    ) -> Tensor:
        """Loss and gradients, `step` tokens at a time."""
        wide = torch.promote_types(hidden.dtype, torch.float32)  # of softmax and sums
        to_hidden, to_weight, to_bias = (gradients and needed for needed in ctx.needs_input_grad[:3])
        layer = weight.to(hidden.dtype)
        total = torch.zeros((), dtype=wide, device=hidden.device)
        d_hidden = torch.empty_like(hidden, memory_format=torch.contiguous_format) if to_hidden else None
        d_weight = torch.zeros_like(weight, dtype=wide) if to_weight else None
        d_bias = torch.zeros_like(bias, dtype=wide) if bias is not None and to_bias else None
        for first in range(0, len(hidden), step):
            rows = slice(first, first + step)
            logits = (hidden[rows] @ layer.T).to(wide)
            if bias is not None:
                logits += bias
            total += score(logits, rows, d_hidden is not None or d_weight is not None or d_bias is not None)
            slope = logits.to(hidden.dtype)  # d loss / d logits
            if d_hidden is not None:
                torch.mm(slope, layer, out=d_hidden[rows])
            if d_weight is not None:
                _add_product(d_weight, slope.T, hidden[rows])
            if d_bias is not None:
                d_bias += logits.sum(0)
        ctx.save_for_backward(d_hidden, d_weight, d_bias)
        ctx.dtypes = (hidden.dtype, weight.dtype, bias.dtype if bias is not None else None)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Any, ...]:
        """The gradients, times that of the sum."""
        # Not in place: with `retain_graph` they are asked for again.
        saved = zip(ctx.saved_tensors, ctx.dtypes, strict=True)
        gradients = [(slope * gradient).to(dtype) if gradient is not None else None for gradient, dtype in saved]
        return (*gradients, None, None, None)


def _add_product(total: Tensor, left: Tensor, right: Tensor) -> None:
    """total += left @ right, in the precision of `total`."""
    if left.dtype == total.dtype:
        total.addmm_(left, right)
    else:
        total += left @ right

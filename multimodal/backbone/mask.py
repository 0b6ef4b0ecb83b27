"""Who may look at whom: the one mask type of every model here.

A `Mask` is described, not drawn. Bidirectional and causal attention stay descriptions all the way into
`scaled_dot_product_attention`, which has fast kernels for them; only what cannot be said that way (padding, prefixes,
packed documents, any boolean graph, rows of different length in a cache) is drawn, once per forward pass and not per
layer. On a CPU packed documents are not drawn either: each is attended to for itself. This is also the only place that
knows that SDPA's `is_causal` aligns the first query with the first key, which is wrong as soon as a cache holds earlier
keys.

Axes: b batch · t query length · s key length · h heads
Refs: one vector of steps for causal, prefix and two-way attention, as in PaliGemma arXiv:2407.07726 §3.2 · sliding
window arXiv:2310.06825 §2
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from multimodal.errors import ArgumentError


class Segment(NamedTuple):
    """A packed document: `start` to `stop` (not included) of a row."""

    row: int
    start: int
    stop: int


class Scores(NamedTuple):
    """A mask (and bias) in the form that `scaled_dot_product_attention` takes."""

    attn_mask: Tensor | None = None  # bool: True where looking is allowed; float: added to the scores
    is_causal: bool = False
    segments: tuple[Segment, ...] = ()  # where given, each is attended to for itself and nothing else is


@dataclass(frozen=True, kw_only=True, eq=False)
class Mask:
    """A description of which keys each query may attend to; all parts that are given must agree.

    Attributes:
        causal: no query looks at a later position.
        window: no query looks further back than this many tokens, itself included (Mistral's sliding window).
        steps: query i looks at key j only if `steps[j] <= steps[i]`: all equal is two-way, counting up is causal,
            zeros then counting up is a two-way prefix with causal text behind it. Use `runs` or `prefix` to make it.
        keep: True at real tokens, False at padding, which nobody looks at. With a cache, padding is on the right.
        document: tokens look only at tokens with the same number (several documents packed into one row).
        graph: True where looking is allowed, for anything else; broadcastable to `b h t s`.
    """

    causal: bool = False
    window: int | None = None
    steps: Int[Tensor, "#b t"] | None = None
    keep: Bool[Tensor, "b t"] | None = None
    document: Int[Tensor, "b t"] | None = None
    graph: Bool[Tensor, ...] | None = None

    @staticmethod
    def runs(
        runs: Sequence[tuple[int, bool]],
        *,
        keep: Bool[Tensor, "b t"] | None = None,
        document: Int[Tensor, "b t"] | None = None,
        graph: Bool[Tensor, "*shape"] | None = None,
    ) -> Mask:
        """Runs of (length, causal) tokens: each run sees all earlier ones; inside, a causal run sees only its past."""
        mask = Mask(keep=keep, document=document, graph=graph)
        if all(causal for _, causal in runs):
            return replace(mask, causal=True)
        if len(runs) == 1:
            return mask
        steps, step = [], 0
        for length, causal in runs:
            steps += [step + (i if causal else 0) for i in range(length)]
            step = steps[-1] + 1 if steps else 0
        return replace(mask, steps=torch.tensor([steps]))

    @staticmethod
    def prefix(lengths: Int[Tensor, " b"], t: int) -> Mask:
        """Prefix-LM rows of `t` tokens: the first `lengths[row]` see each other both ways, the rest is causal."""
        index = torch.arange(t, device=lengths.device)
        return Mask(steps=(index - lengths[:, None] + 1).clamp(min=0))

    def scores(
        self,
        t: int,
        s: int,
        *,
        past: Int[Tensor, " b"] | int = 0,
        bias: Float[Tensor, "#b h t s"] | None = None,
        device: torch.device | None = None,
    ) -> Scores:
        """The mask for `t` queries over `s` keys, of which row b's first `past[b]` come from a cache.

        `bias` is added to the scores (ALiBi, relative positions). Cached keys are visible to every new token.

        Raises:
            ArgumentError: packed documents together with a cache, which does not remember documents.
        """
        cached = isinstance(past, Tensor) or past > 0
        near = self.window is None or s <= self.window
        plain = near and self.steps is None and self.keep is None and self.document is None and self.graph is None
        if plain and bias is None and not isinstance(past, Tensor) and s == past + t:
            if not self.causal or t == 1:
                return Scores()
            if not cached:
                return Scores(is_causal=True)
        if cached and self.document is not None:
            raise ArgumentError("Packed documents cannot be combined with a cache; run each document in its own row.")
        if bias is None and not cached and (segments := self._segments()):
            return Scores(is_causal=self.causal, segments=segments)
        allowed = self._draw(t, s, past, device)
        if bias is None:
            return Scores(allowed)
        return Scores(bias if allowed is None else bias.masked_fill(~allowed, float("-inf")))

    def _segments(self) -> tuple[Segment, ...]:
        """The packed documents one by one, where that says all: on a CPU, where the loop costs less than the mask."""
        others = (self.window, self.steps, self.keep, self.graph)
        if self.document is None or any(other is not None for other in others):
            return ()
        if self.document.device.type != "cpu" or torch.compiler.is_compiling():
            return ()
        found, seen = [], set()
        for row, numbers in enumerate(self.document.tolist()):
            bounds = [i for i in range(len(numbers)) if i == 0 or numbers[i] != numbers[i - 1]]
            for start, stop in pairwise([*bounds, len(numbers)]):
                if (row, numbers[start]) in seen:
                    return ()  # a document in two pieces
                seen.add((row, numbers[start]))
                found.append(Segment(row, start, stop))
        return tuple(found)

    def _draw(self, t: int, s: int, past: Tensor | int, device: torch.device | None) -> Bool[Tensor, ...] | None:
        parts: list[Tensor] = []
        past = past[:, None, None, None] if isinstance(past, Tensor) else past
        query = torch.arange(t, device=device)[:, None]
        key = torch.arange(s, device=device) - past  # (b 1 1) s: place in this call, negative for cached keys
        if self.causal:
            parts.append(key <= query)
        elif isinstance(past, Tensor) or s > t + past:
            parts.append(key < t)  # slots of the cache that nothing was written to
        if self.window is not None:
            parts.append(query - key < self.window)
        if self.steps is not None:
            steps = self.steps.to(device)[:, None]  # b 1 t
            # A cached key comes before everything: its step is lower than any.
            keys = _at(steps, key, before=torch.iinfo(steps.dtype).min)
            parts.append(keys <= steps[..., None])
        if self.keep is not None:
            parts.append(_at(self.keep[:, None], key, before=True))
        if self.document is not None:
            parts.append(self.document[:, None, :, None] == self.document[:, None, None, :])
        if self.graph is not None:
            parts.append(self.graph)
        if not parts:
            return None
        allowed = parts[0]
        for part in parts[1:]:
            allowed = allowed & part
        return allowed[None, None] if allowed.ndim == 2 else allowed


def _at(values: Tensor, key: Tensor, *, before: bool | int) -> Tensor:
    """`values` (b 1 t) of this call at the places `key`: (b 1 1 s), `before` where the place is in the past."""
    t, s = values.shape[-1], key.shape[-1]
    (rows,) = torch.broadcast_shapes(values.shape[:1], key.shape[:-3])  # steps may be one row for a ragged cache
    place = key.expand(rows, 1, 1, s)
    found = values[:, :, None].expand(rows, 1, 1, t).gather(-1, place.clamp(0, t - 1))
    return torch.where(place < 0, torch.full_like(found, before), found)

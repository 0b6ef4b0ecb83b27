"""From the scores of every frame to tokens: the likeliest path, the likeliest texts, and where given tokens lie.

CTC needs no loop over a model: all frames are scored at once. A path has a token or the blank in each frame; equal
neighbours are one token, and blanks fall out. `best_path` takes the likeliest of each frame. `prefix_beams` adds up
the paths of one text, which a path by itself does not. `align` finds the likeliest frames of a text that is known.

Axes: s frames · v tokens, the blank included
Refs: CTC, Graves et al. 2006 · prefix beam search arXiv:1408.2873 §2 · forced alignment arXiv:2007.09127 §2
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from multimodal.errors import ArgumentError

NEVER = float("-inf")
FEW = 40  # likeliest tokens of a frame that prefixes are extended by


class Placed(NamedTuple):
    """A token and the frames that it lies in."""

    id: int
    start: int
    end: int  # not included
    logprob: float  # the mean over its frames


def best_path(scores: Float[Tensor, "s v"], *, blank: int) -> list[Placed]:
    """The tokens of the path that takes the likeliest of each frame; `scores` are log-probabilities."""
    best, ids = scores.max(-1)
    found: list[Placed] = []
    before, values = blank, list(zip(ids.tolist(), best.tolist(), strict=True))
    start = 0
    for place, (id, _) in enumerate([*values, (blank, 0.0)]):
        if id != before:
            if before != blank:
                inside = [value for _, value in values[start:place]]
                found.append(Placed(before, start, place, sum(inside) / len(inside)))
            start = place
        before = id
    return found


class Text(NamedTuple):
    """A text that the frames may hold."""

    ids: tuple[int, ...]
    logprob: float  # of all its paths that were followed


def prefix_beams(scores: Float[Tensor, "s v"], *, blank: int, width: int = 10, few: int = FEW) -> list[Text]:
    """The likeliest texts, best first: `width` prefixes are followed, each by the sum of its paths.

    Args:
        scores: log-probabilities of each frame.
        blank: the id that stands for no token.
        width: prefixes that are kept after each frame, and texts that are returned.
        few: the likeliest tokens of a frame that prefixes are extended by.

    Raises:
        ArgumentError: `width` or `few` is below 1.
    """
    if width < 1 or few < 1:
        raise ArgumentError(f"width is {width} and few {few}; both must be at least 1.")
    values, places = scores.double().topk(min(few, scores.shape[1]), dim=-1)
    blanks = scores[:, blank].double().tolist()
    # Of each prefix the log-probability of its paths that end with a blank, and of those that end with its last token.
    beams: dict[tuple[int, ...], tuple[float, float]] = {(): (0.0, NEVER)}
    for none, tokens, likely in zip(blanks, places.tolist(), values.tolist(), strict=True):
        grown: dict[tuple[int, ...], list[float]] = defaultdict(lambda: [NEVER, NEVER])
        own = dict(zip(tokens, likely, strict=True))
        for prefix, (after_blank, after_token) in beams.items():
            total = _sum(after_blank, after_token)
            kept = grown[prefix]
            kept[0] = _sum(kept[0], total + none)
            if prefix and prefix[-1] in own:
                kept[1] = _sum(kept[1], after_token + own[prefix[-1]])
            for id, score in own.items():
                if id == blank:
                    continue
                # A token like the last one is new only behind a blank.
                before = after_blank if prefix and id == prefix[-1] else total
                if before > NEVER:
                    longer = grown[(*prefix, id)]
                    longer[1] = _sum(longer[1], before + score)
        best = sorted(grown.items(), key=lambda item: _sum(*item[1]), reverse=True)[:width]
        beams = {prefix: (ends[0], ends[1]) for prefix, ends in best}
    return [Text(prefix, _sum(*ends)) for prefix, ends in beams.items()]


def align(scores: Float[Tensor, "s v"], ids: Sequence[int], *, blank: int) -> list[Placed]:
    """The likeliest frames of each of `ids`, in this order (Viterbi, by torchaudio).

    Raises:
        ArgumentError: there are fewer frames than the tokens need, or one of `ids` is the blank or not a token.
    """
    if not ids:
        return []
    if wrong := [id for id in ids if id == blank or not 0 <= id < scores.shape[1]]:
        raise ArgumentError(
            f"ids has {wrong[0]}; only tokens that are written can be aligned, and {blank} is the blank."
        )
    needed = len(ids) + sum(a == b for a, b in pairwise(ids))
    if needed > len(scores):
        raise ArgumentError(
            f"{len(ids)} tokens need {needed} frames and there are {len(scores)}: the text is too long."
        )
    from torchaudio.functional import forced_align, merge_tokens  # here: it takes a second to import

    targets = torch.tensor([list(ids)], device=scores.device)
    path, values = forced_align(scores.float()[None].contiguous(), targets, blank=blank)
    spans = merge_tokens(path[0], values[0], blank=blank)
    return [Placed(span.token, span.start, span.end, span.score) for span in spans]


def _sum(a: float, b: float) -> float:
    """log(exp(a) + exp(b))."""
    if a < b:
        a, b = b, a
    return a if b == NEVER else a + math.log1p(math.exp(b - a))

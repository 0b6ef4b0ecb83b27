"""When each token of a text was spoken, from where the decoder's cross-attention looks.

Some heads follow the sound. Their weights over a window, each token's compared with the other tokens' at the same
place, are smoothed and averaged; the cheapest way through them that never goes back says when each token begins.

Axes: b batch · t tokens · s encoder tokens of 20 ms · h heads · g key/value heads · k head width · d model width
Refs: Whisper arXiv:2212.04356 · dynamic time warping doi:10.1109/TASSP.1978.1163055
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import pad

SMOOTHED = 7  # encoder tokens: the width of the median filter


@contextmanager
def listened(model: Any, heads: Sequence[tuple[int, int]]) -> Iterator[dict[tuple[int, int], Float[Tensor, "b t s"]]]:
    """The scores before the softmax of these (layer, head) of the cross-attention, as the decoder runs."""
    found: dict[tuple[int, int], Tensor] = {}
    layers = {layer: model.decoder.blocks[layer].cross for layer, _ in heads}
    own = {layer: cross.__dict__.get("attend") for layer, cross in layers.items()}  # None: it uses that of its class
    try:
        for layer, cross in layers.items():
            cross.attend = _listening(cross.attend, layer, [h for number, h in heads if number == layer], found)
        yield found
    finally:
        for layer, cross in layers.items():
            cross.__dict__.pop("attend", None)
            if (kernel := own[layer]) is not None:
                cross.attend = kernel


def _listening(
    kernel: Callable[..., Tensor], layer: int, heads: Sequence[int], found: dict[tuple[int, int], Tensor]
) -> Callable[..., Tensor]:
    def attend(q: Tensor, k: Tensor, v: Tensor, **options: Any) -> Tensor:
        scale = q.shape[-1] ** -0.5 if options.get("scale") is None else options["scale"]
        for head in heads:
            keys = k[:, head * k.shape[1] // q.shape[1]].float()  # b s k
            found[layer, head] = scale * q[:, head].float() @ keys.transpose(1, 2)
        return kernel(q, k, v, **options)

    return attend


def contrast(scores: Float[Tensor, "h t s"]) -> Float[Tensor, "t s"]:
    """How much more than the others each token looks at each place, smoothed, as the mean over the heads."""
    weights = scores.softmax(-1)
    deviation, mean = torch.std_mean(weights, dim=1, keepdim=True, correction=0)
    # Where all tokens look alike, as over a single place, nothing stands out.
    return smoothed(((weights - mean) / deviation).nan_to_num(0.0)).mean(0)


def smoothed(x: Float[Tensor, "h t s"], width: int = SMOOTHED) -> Float[Tensor, "h t s"]:
    """The median of the `width` values around each, mirrored at the ends; rows too short for that stay as they are."""
    half = width // 2
    if x.shape[-1] <= half:
        return x
    return pad(x, (half, half), mode="reflect").unfold(-1, width, 1).sort().values[..., half]


def warp(cost: Float[np.ndarray, "t s"]) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, " n"]]:
    """The cheapest way from the first token and place to the last, by steps of one in either or both: n pairs."""
    t, s = cost.shape
    steps = np.empty((t, s), dtype=np.int8)  # from where each pair is reached: 0 both before, 1 the token, 2 the place
    # Sums on the last two diagonals; entry i + 1 is row i, and in front of everything is the pair (-1, -1).
    before, last = np.full(t + 1, np.inf), np.full(t + 1, np.inf)
    before[0] = 0.0
    for diagonal in range(t + s - 1):
        low, high = max(0, diagonal - s + 1), min(t, diagonal + 1)
        rows = np.arange(low, high)
        both, token, place = before[low:high], last[low:high], last[low + 1 : high + 1]
        step = np.where((both < token) & (both < place), 0, np.where((token < both) & (token < place), 1, 2))
        steps[rows, diagonal - rows] = step
        now = np.full(t + 1, np.inf)
        now[low + 1 : high + 1] = cost[rows, diagonal - rows] + np.choose(step, (both, token, place))
        before, last = last, now
    return _back(steps)


def _back(steps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    i, j = (size - 1 for size in steps.shape)
    way = [(i, j)]
    while i or j:
        step = 2 if i == 0 else 1 if j == 0 else steps[i, j]
        i, j = i - (step != 2), j - (step != 1)
        way.append((i, j))
    tokens, places = np.array(way[::-1]).T
    return tokens, places

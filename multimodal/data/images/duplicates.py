"""The same picture twice: byte for byte, or saved again in another size, format or quality.

Two photographs of one scene are two pictures, however alike: a perceptual hash alone takes hundreds of them for one,
so it only proposes pairs, and thumbnails decide. A pair is one picture when its colours agree everywhere, its detail
agrees well, and what differs is spread over the picture as compression spreads it: a fixed camera that sees a new
scratch has made another picture. Mirrored, rotated and recoloured versions are not found, nor most crops.

Measured on the pictures that the limits were chosen with: of photos of 100 to 640 px and drawings of 128 px, 94 to
100% are found again as JPEG of quality 20 to 90, at half and at double size; of photos made 10% brighter, all. Of
10,000 pairs of different images with similar hashes (hands, groceries, drawings that differ in one detail, 8 x 8 px
digits, generated shapes) none passes; the nearest has a colour difference of 40. Of pairs of one photo with scratches
of 20 to 40 px drawn in, up to 4% pass. Pages of one printed form that differ in a line of small print mostly pass.

Axes: n images · p pairs · h w thumbnail rows and columns · c colour channels
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from multimodal.data.images.inspect import GREY, ImageFacts

MAX_BITS = 10  # of 64 hash bits that may differ in a pair worth comparing
MAX_COLOUR = 28.0  # largest difference of a channel, 16 x 16, in levels of 255
MAX_RESIDUE = 0.15  # root mean square difference in brightness, 32 x 32, as a part of the fainter picture's contrast
MAX_LOCAL = 10.0  # largest difference in brightness, as a multiple of that root mean square
MAX_FAINT = 5.0  # levels of 255; differences up to that are rounding
MIN_CONTRAST = 2.0  # levels of 255; a flatter image shows nothing that could be recognised
PAIRS_AT_ONCE = 1 << 22  # hash pairs in memory: 32 MB
THUMBNAILS_AT_ONCE = 1 << 10  # thumbnail pairs in memory: 50 MB


@dataclass(frozen=True)
class Duplicates:
    """Groups of indices into the facts, each of at least two, in order."""

    exact: tuple[tuple[int, ...], ...]  # the same bytes
    near: tuple[tuple[int, ...], ...]  # the same picture, not all of the same bytes
    group: tuple[int, ...]  # for every image the first of its group, or itself: what a split must not tear


def find_duplicates(facts: Sequence[ImageFacts]) -> Duplicates:
    """Duplicates among the images of `facts` that could be read."""
    readable = [i for i, fact in enumerate(facts) if fact.error is None]
    same_bytes: dict[str, list[int]] = {}
    for i in readable:
        same_bytes.setdefault(facts[i].content, []).append(i)
    first = [members[0] for members in same_bytes.values()]
    parent = list(range(len(facts)))
    for members in same_bytes.values():
        for i in members[1:]:
            _join(parent, members[0], i)
    for a, b in _same_picture([facts[i] for i in first]):
        _join(parent, first[a], first[b])
    group = [_root(parent, i) for i in range(len(facts))]
    together: dict[int, list[int]] = {}
    for i in readable:
        together.setdefault(group[i], []).append(i)
    return Duplicates(
        exact=tuple(tuple(members) for members in same_bytes.values() if len(members) > 1),
        near=tuple(tuple(m) for m in together.values() if len({facts[i].content for i in m}) > 1),
        group=tuple(group),
    )


def _same_picture(facts: Sequence[ImageFacts]) -> Iterator[tuple[int, int]]:
    """Pairs of indices into `facts` that the thumbnails confirm."""
    thumbnails = np.array([fact.thumbnail for fact in facts], dtype=np.uint8)  # n h w c
    if len(facts) < 2:
        return
    contrast = np.array([(thumbnail @ GREY).std() for thumbnail in thumbnails])
    visible = np.flatnonzero(contrast >= MIN_CONTRAST)
    hashes = np.array([fact.perceptual for fact in facts], dtype=np.uint64)[visible]
    for a, b in _alike(hashes):
        for start in range(0, len(a), THUMBNAILS_AT_ONCE):
            i, j = visible[a[start : start + THUMBNAILS_AT_ONCE]], visible[b[start : start + THUMBNAILS_AT_ONCE]]
            same = _confirm(thumbnails[i], thumbnails[j], np.minimum(contrast[i], contrast[j]))
            yield from zip(i[same].tolist(), j[same].tolist(), strict=True)


def _alike(hashes: NDArray[np.uint64]) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Index pairs, first below second, whose hashes differ in at most `MAX_BITS`; a block of rows at a time."""
    rows = max(1, PAIRS_AT_ONCE // max(1, len(hashes)))
    for start in range(0, len(hashes), rows):
        block = hashes[start : start + rows]
        close = np.bitwise_count(block[:, None] ^ hashes[None, start:]) <= MAX_BITS
        a, b = np.nonzero(close)
        upper = a < b
        yield a[upper] + start, b[upper] + start


def _confirm(
    a: NDArray[np.uint8], b: NDArray[np.uint8], contrast: NDArray[np.floating], side: int = 16
) -> NDArray[np.bool_]:
    """Which of the thumbnail pairs (p, h, w, c) show the same picture, given the fainter contrast of each (p,)."""
    difference = a.astype(np.float32) - b.astype(np.float32)
    pairs, height, width, channels = difference.shape
    colour = difference.reshape(pairs, side, height // side, side, width // side, channels).mean((2, 4))
    detail = difference @ GREY  # p h w
    detail -= detail.mean((1, 2), keepdims=True)
    spread = detail.std((1, 2))
    peak = np.abs(detail).max((1, 2))
    return (
        (np.abs(colour).max((1, 2, 3)) <= MAX_COLOUR)
        & (spread <= MAX_RESIDUE * contrast)
        & (peak <= np.maximum(MAX_FAINT, MAX_LOCAL * spread))
    )


def _root(parent: list[int], i: int) -> int:
    while parent[i] != i:
        parent[i] = parent[parent[i]]
        i = parent[i]
    return i


def _join(parent: list[int], i: int, j: int) -> None:
    """Union by smallest index, so that a group is named by its first image."""
    i, j = sorted((_root(parent, i), _root(parent, j)))
    parent[j] = i

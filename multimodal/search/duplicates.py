"""The same picture twice in an index: byte for byte, or saved again in another size, format or quality.

"near" asks three witnesses: the perceptual hash proposes a pair, thumbnails of 32 x 32 px must agree as
`data/images/duplicates.py` describes, and the model must find the two as good as equal. The first two alone take
photos of one scene with a small change in it for one picture now and then, the last one alone takes every burst of a
camera for one.

Axes: n pictures
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool

from multimodal.data.images.duplicates import MAX_BITS, find_duplicates
from multimodal.data.images.inspect import THUMBNAIL_SHAPE, ImageFacts
from multimodal.errors import ArgumentError, nearest
from multimodal.search.snapshot import Snapshot
from multimodal.search.table import THUMBNAILS, Store

SAME_PICTURE = 0.95  # smallest cosine of two vectors of one picture
KINDS = ("exact", "near")
_ROWS_AT_ONCE = 512  # whose hashes are compared with all


def duplicates(store: Store, snapshot: Snapshot, kind: str) -> list[tuple[Path, ...]]:
    """Groups of at least two paths, in the order of the index.

    Args:
        store: where thumbnails are.
        snapshot: the pictures.
        kind: "exact": the same bytes. "near": the same picture, whatever the bytes; exact copies belong to such a
            group where some other version of the picture is in it.

    Raises:
        ArgumentError: another kind.
    """
    if kind not in KINDS:
        raise ArgumentError(f"kind is {kind!r}; it must be 'exact' or 'near'.{nearest(str(kind), KINDS)}")
    by_hash: dict[str, list[int]] = {}
    for place, content in enumerate(snapshot.columns.column("hash").to_pylist()):
        if content:
            by_hash.setdefault(content, []).append(place)
    if kind == "exact":
        groups = [places for places in by_hash.values() if len(places) > 1]
    else:
        first = [places[0] for places in by_hash.values()]
        groups = [
            [place for one in group for place in by_hash[_hash(snapshot, one)]]
            for group in _near(store, snapshot, first)
        ]
    return [tuple(row.path for row in snapshot.rows(sorted(group))) for group in sorted(groups, key=min)]


def _near(store: Store, snapshot: Snapshot, places: list[int]) -> list[list[int]]:
    """Groups of those of `places` that show the same picture."""
    perceptual = snapshot.columns.column("perceptual")  # null where a vector came without its picture
    places = [place for place in places if perceptual[place].is_valid]
    hashes = perceptual.fill_null(0).to_numpy().astype(np.uint64)[places]
    proposed = [place for place, alike in zip(places, _has_neighbour(hashes), strict=True) if alike]
    tiny = _tiny(store, {_hash(snapshot, place) for place in proposed})
    proposed = [place for place in proposed if _hash(snapshot, place) in tiny]
    facts = [
        ImageFacts(
            path="",
            content=_hash(snapshot, place),
            perceptual=perceptual[place].as_py(),
            thumbnail=np.frombuffer(tiny[_hash(snapshot, place)], np.uint8).reshape(THUMBNAIL_SHAPE),
        )
        for place in proposed
    ]
    groups = [[proposed[i] for i in group] for group in find_duplicates(facts).near]
    return [part for group in groups for part in _agreed(snapshot, group)]


def _agreed(snapshot: Snapshot, group: list[int]) -> list[list[int]]:
    """The parts of a group that hang together by cosines, of at least two pictures."""
    vectors = snapshot.vectors(group)
    alike = vectors @ vectors.T >= SAME_PICTURE
    left, parts = set(range(len(group))), []
    while left:
        part, edge = set(), {min(left)}
        while edge:
            part |= edge
            edge = {int(j) for i in edge for j in np.flatnonzero(alike[i])} - part
        left -= part
        if len(part) > 1:
            parts.append([group[i] for i in sorted(part)])
    return parts


def _has_neighbour(hashes: np.ndarray) -> Bool[np.ndarray, " n"]:
    """Whether another hash differs in so few bits that the pair is worth comparing."""
    found = np.zeros(len(hashes), dtype=bool)
    for start in range(0, len(hashes), _ROWS_AT_ONCE):
        block = hashes[start : start + _ROWS_AT_ONCE]
        close = np.bitwise_count(block[:, None] ^ hashes[None, start:]) <= MAX_BITS
        np.fill_diagonal(close, False)
        found[start : start + len(block)] |= close.any(axis=1)
        found[start:] |= close.any(axis=0)
    return found


def _tiny(store: Store, hashes: set[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for table in store.read_in(store.newest(THUMBNAILS), ["hash", "tiny"], "hash", sorted(hashes)):
        found |= zip(table.column("hash").to_pylist(), table.column("tiny").to_pylist(), strict=True)
    return {content: data for content, data in found.items() if data and len(data) == int(np.prod(THUMBNAIL_SHAPE))}


def _hash(snapshot: Snapshot, place: int) -> str:
    return snapshot.columns.column("hash")[place].as_py()

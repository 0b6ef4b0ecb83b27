"""A validation split of images with captions: what is validated with is never trained on, not even as a copy."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from multimodal.data.images.samples import Sample, Skipped
from multimodal.data.images.shards import MEMBER, place_of, read_bytes
from multimodal.data.images.split import stratified
from multimodal.data.pairs.samples import Pair, PairedImages
from multimodal.errors import ArgumentError, DataError
from multimodal.media.files import shown

TAIL = 4096  # bytes at the end of a file, read first: they differ in almost all files of equal size


def hold_out(images: PairedImages, fraction: float, seed: int) -> PairedImages:
    """`images` with part of their training images as "val", where they have no such split.

    Copies of a file (the same bytes) stay on one side. Where the data have a "val" or "test" part, training
    images that are copies of theirs are left out and named.

    Args:
        images: what `read_pairs` gave; without a training part they stay as they are.
        fraction: part of the training images to hold out, above 0 and below 1.
        seed: of the choice.

    Raises:
        ArgumentError: `fraction` out of range.
        DataError: there are too few different images to hold any out, or all are copies of those to validate with.
    """
    if not 0 < fraction < 1:
        raise ArgumentError(f"val_fraction is {fraction}; it must lie between 0 and 1.")
    if "train" not in images.splits:
        return images
    groups = copies([pair.path for pairs in images.splits.values() for pair in pairs])
    images = _without_copies(images, groups)
    if "val" in images.splits:
        return images
    pairs = images.splits["train"]
    try:
        _, chosen = stratified([Sample(pair.path, ()) for pair in pairs], fraction, seed, groups)
    except DataError:  # its sentence is about classes
        raise DataError(
            f"{images.root} has too few different training files ({len(pairs)}) to hold any out; give a validation "
            "part."
        ) from None
    held_out = {sample.path for sample in chosen}
    train = tuple(pair for pair in pairs if pair.path not in held_out)
    val = tuple(pair for pair in pairs if pair.path in held_out)
    return replace(images, splits={"train": train, "val": val, **_rest(images)})


def copies(paths: Sequence[str]) -> dict[str, int]:
    """A number for each path that has a copy, byte for byte, among `paths`; equal for copies of each other.

    Most files have a size or an end of their own, and only the others are read whole. What cannot be read has no copy.
    """
    together = [list(dict.fromkeys(paths))]
    for mark in (_size, _tail, _content):
        together = [group for groups in together for group in _alike(groups, mark)]
    return {path: number for number, group in enumerate(together) for path in group}


def _alike(paths: Iterable[str], mark: Callable[[str], Hashable]) -> list[list[str]]:
    """Groups of at least two paths that are equal in `mark`."""
    groups: dict[Hashable, list[str]] = {}
    for path in paths:
        try:
            groups.setdefault(mark(path), []).append(path)
        except (OSError, DataError):
            continue
    return [group for group in groups.values() if len(group) > 1]


def _size(path: str) -> int:
    shard, mark, member = path.partition(f".tar{MEMBER}")
    return place_of(f"{shard}.tar", member)[1] if mark else os.stat(path).st_size  # noqa: PTH116 a million of them


def _tail(path: str) -> bytes:
    shard, mark, member = path.partition(f".tar{MEMBER}")
    start, size = place_of(f"{shard}.tar", member) if mark else (0, _size(path))
    with Path(f"{shard}.tar" if mark else path).open("rb") as file:
        file.seek(start + max(0, size - TAIL))
        return hashlib.blake2b(file.read(min(size, TAIL)), digest_size=16).digest()


def _content(path: str) -> bytes:
    return hashlib.blake2b(read_bytes(path), digest_size=16).digest()


def _without_copies(images: PairedImages, groups: dict[str, int]) -> PairedImages:
    """Training images that are copies of one to validate or test with join `skipped`."""
    others = {
        groups[pair.path]: (split, pair.path)
        for split, pairs in _rest(images, "val").items()
        for pair in pairs
        if pair.path in groups
    }
    kept: list[Pair] = []
    skipped = list(images.skipped)
    for pair in images.splits["train"]:
        other = others.get(groups.get(pair.path, -1))
        if other is None:
            kept.append(pair)
        else:
            skipped.append(Skipped(shown(pair.path), f"a copy of {shown(other[1])} in the {other[0]} part"))
    if not kept:
        raise DataError(
            f"All {len(images.splits['train'])} training files of {images.root} are copies of files to validate or "
            "test with."
        )
    return replace(images, splits={**images.splits, "train": tuple(kept)}, skipped=tuple(skipped))


def _rest(images: PairedImages, *more: str) -> dict[str, tuple[Pair, ...]]:
    """The "test" part, and those of `more`, as far as there are."""
    return {split: images.splits[split] for split in (*more, "test") if split in images.splits}

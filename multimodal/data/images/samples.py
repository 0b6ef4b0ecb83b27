"""What a reader of labelled images, or recordings, gives: samples, the ones left out, class names and splits.

`assemble` is the one place where class names become indices, for every layout: folders, tables and shards. The
training split alone decides the names and their order; a validation or test folder that lacks a class changes no
index, and one that has another class is refused. `FileKind` is all that tells recordings from images here. How each
layout is read is in folders.py, manifest.py and shards.py.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from multimodal.errors import DataError, nearest
from multimodal.media import AUDIO_SUFFIXES, IMAGE_SUFFIXES, find_audio, find_images

SPLIT_NAMES = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation", "dev"),
    "test": ("test", "testing"),
}


@dataclass(frozen=True)
class FileKind:
    """What the files of a data set are."""

    word: str  # what messages call one
    suffixes: frozenset[str]  # of their names
    find: Callable[[Path], list[Path]]  # those below a folder
    columns: tuple[str, ...]  # what a table may call the column with their names, besides "path", "file" ...


IMAGES = FileKind("image", IMAGE_SUFFIXES, find_images, ("image", "image_path"))
SOUNDS = FileKind("recording", AUDIO_SUFFIXES, find_audio, ("audio", "audio_path", "audio_filepath", "wav", "clip"))


@dataclass(frozen=True)
class Sample:
    """One image or recording and its classes."""

    path: str  # a file, or "shard.tar::member/name.jpg"; `shards.read_bytes` reads both
    labels: tuple[int, ...]  # indices into `LabeledImages.labels`; exactly one unless the data are multi-label


@dataclass(frozen=True)
class Skipped:
    """One entry that was left out, and why, in a few words."""

    path: str
    reason: str


@dataclass(frozen=True)
class LabeledImages:
    """A set of labelled images or recordings, as read; none has been opened yet."""

    root: str
    labels: tuple[str, ...]  # class names; a class's index is its place here
    multi_label: bool
    splits: dict[str, tuple[Sample, ...]]  # "train", and "val" and "test" where the data have them
    skipped: tuple[Skipped, ...]
    kind: FileKind = IMAGES


@dataclass(frozen=True)
class Row:
    """One file as a reader found it, before class names have indices."""

    split: str
    path: str
    labels: tuple[str, ...]


def split_of(name: str) -> str | None:
    """The split that a folder, column value or part of a shard's name means: "train", "val", "test" or None."""
    return next((split for split, names in SPLIT_NAMES.items() if name.strip().lower() in names), None)


def class_name(name: str) -> str:
    """A class name in one spelling: the same letters compare equal whichever system wrote the folder (Unicode NFC)."""
    return unicodedata.normalize("NFC", name.strip())


def parse_labels(value: Any, separator: str | None) -> tuple[str, ...]:
    """The class names in a table's cell or a JSON value: `"cat"`, `3`, `"cat|dog"` or `["cat", "dog"]`.

    Raises:
        DataError: the value is a mapping or a nested list, which names no class.
    """
    if value is None:
        return ()
    if isinstance(value, str):
        parts: Sequence[Any] = value.split(separator) if separator else [value]
    elif isinstance(value, list):
        parts = value
    else:
        parts = [value]
    if any(not isinstance(part, str | int | float | bool) for part in parts):
        raise DataError(f"The label {value!r} is not a class name, a number or a list of them.")
    names = [class_name(str(part)) for part in parts]
    return tuple(dict.fromkeys(name for name in names if name))


def sorted_labels(names: Iterable[str]) -> tuple[str, ...]:
    """Class names in the order of their indices: by number when all are whole numbers, else by name."""
    names = set(names)
    if all(name.isascii() and name.isdigit() for name in names):
        return tuple(sorted(names, key=lambda name: (int(name), name)))
    return tuple(sorted(names))


def assemble(root: str, rows: Sequence[Row], skipped: Sequence[Skipped], kind: FileKind = IMAGES) -> LabeledImages:
    """Class names to indices, rows to splits.

    Raises:
        DataError: no file, none for training, a single class, or a class that training lacks.
    """
    if not rows:
        raise DataError(f"{root} holds no labelled {kind.word}s.{_left_out(skipped)}")
    by_split = {split: [row for row in rows if row.split == split] for split in SPLIT_NAMES}
    if not by_split["train"]:
        found = " and ".join(split for split, members in by_split.items() if members)
        raise DataError(f"{root} has {kind.word}s for {found} but none for training; name the training part 'train'.")
    multi_label = any(len(row.labels) > 1 for row in rows)
    if not multi_label:
        unlabelled = [row for row in rows if not row.labels]
        skipped = [*skipped, *(Skipped(row.path, "no label") for row in unlabelled)]
        by_split = {split: [row for row in members if row.labels] for split, members in by_split.items()}
    labels = sorted_labels(name for row in by_split["train"] for name in row.labels)
    _check_classes(root, labels, by_split, skipped, kind)
    index = {name: i for i, name in enumerate(labels)}
    splits = {
        split: tuple(Sample(row.path, tuple(sorted(index[name] for name in row.labels))) for row in members)
        for split, members in by_split.items()
        if members
    }
    return LabeledImages(root, labels, multi_label, splits, tuple(skipped), kind)


def _check_classes(
    root: str, labels: tuple[str, ...], by_split: dict[str, list[Row]], skipped: Sequence[Skipped], kind: FileKind
) -> None:
    if not labels:
        raise DataError(f"No training {kind.word} of {root} has a label.{_left_out(skipped)}")
    if len(labels) == 1:
        raise DataError(
            f"{root} has one class, {labels[0]!r} ({len(by_split['train'])} training {kind.word}s); "
            "a classifier needs at least two."
        )
    known = set(labels)
    for split, members in by_split.items():
        for row in members:
            for name in row.labels:
                if name not in known:
                    raise DataError(
                        f"The {split} part of {root} has the class {name!r} (for example {row.path}), which training "
                        f"lacks; add training {kind.word}s of it, rename it or take it out.{nearest(name, labels)}"
                    )


def _left_out(skipped: Sequence[Skipped]) -> str:
    if not skipped:
        return ""
    return f" {len(skipped)} entries were left out, for example {skipped[0].path}: {skipped[0].reason}."

"""Class folders to labelled images, or recordings: `root/cat/1.jpg`, or `root/train/cat/1.jpg` beside `root/val/`.

A file anywhere below a class folder belongs to that class. Splits are folders named train, val (valid, validation,
dev) or test. What lies beside the images is counted, never trained on: other files, and those outside class folders.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from multimodal.data.images.samples import IMAGES, FileKind, LabeledImages, Row, Skipped, assemble, class_name, split_of
from multimodal.errors import DataError
from multimodal.media import MediaError, is_junk

TABLE_SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson")


def read_folders(root: Path, kind: FileKind = IMAGES) -> LabeledImages:
    """Every file of that kind below `root`, labelled by its folder.

    Raises:
        DataError: no file, no class folder, a single class, two folders for one split, or a class that training lacks.
    """
    try:
        files = kind.find(root)
    except MediaError as error:
        raise DataError(str(error)) from None
    relative = [path.relative_to(root).parts for path in files]
    tops = sorted({parts[0] for parts in relative if len(parts) > 1})
    splits = split_folders(root, tops)
    if not files:
        raise DataError(_nothing(root, kind))
    if not tops:
        raise DataError(_flat(root, root, len(files), kind))
    rows, skipped = [], []
    depth = 2 if splits else 1  # how many folders stand above a file: split and class, or class
    for path, parts in zip(files, relative, strict=True):
        split = splits.get(parts[0]) if splits else "train"
        if split is None:
            skipped.append(Skipped(str(path), "not in a training, validation or test folder"))
        elif len(parts) <= depth:
            skipped.append(Skipped(str(path), "not in a class folder"))
        else:
            rows.append(Row(split, str(path), (class_name(parts[depth - 1]),)))
    for folder, split in splits.items():
        if split != "test" and not any(row.split == split for row in rows):
            count = sum(parts[0] == folder for parts in relative)
            raise DataError(_flat(root / folder, root / folder, count, kind))
    _refuse_wrapped(root, relative, splits)
    return assemble(str(root), rows, [*skipped, *_other_entries(root, splits, kind)], kind)


def split_folders(root: Path, tops: list[str]) -> dict[str, str]:
    """Folder name to split, or empty where the folders are classes."""
    splits = {name: split for name in tops if (split := split_of(name))}
    if len(splits) < 2 and len(splits) < len(tops):
        return {}  # one class that happens to be called "test" beside others
    seen: dict[str, str] = {}
    for name, split in splits.items():
        if split in seen:
            raise DataError(f"{root} has both {seen[split]}/ and {name}/, which mean the same part; keep one of them.")
        seen[split] = name
    return splits


def _other_entries(root: Path, splits: dict[str, str], kind: FileKind) -> Iterator[Skipped]:
    """Files inside class folders that are of another kind, and folders that hold nothing."""
    depth = 2 if splits else 1
    for folder, folders, files in os.walk(root):
        here = Path(folder)
        folders[:] = sorted(name for name in folders if not is_junk(here / name))
        files = sorted(name for name in files if not is_junk(here / name))
        parts = here.relative_to(root).parts
        if len(parts) < depth or (splits and parts[0] not in splits):
            continue
        if not files and not folders:
            yield Skipped(folder, "empty folder")
        for name in files:
            if Path(name).suffix.lower() not in kind.suffixes:
                yield Skipped(str(here / name), f"not {'an' if kind is IMAGES else 'a'} {kind.word} file")


def _refuse_wrapped(root: Path, relative: Iterable[tuple[str, ...]], splits: dict[str, str]) -> None:
    """An archive often unpacks into one folder more than meant, which then looks like the only class."""
    if splits:
        return
    relative = list(relative)
    tops = {parts[0] for parts in relative if len(parts) > 1}
    inner = {parts[1] for parts in relative if len(parts) > 2}
    if len(tops) == 1 and len(inner) > 1:
        raise DataError(
            f"{root} holds a single folder, and the class folders seem to lie inside it: "
            f"give {root / next(iter(tops))} instead."
        )


def _nothing(root: Path, kind: FileKind) -> str:
    files = [name for _, _, names in os.walk(root) for name in names]
    if not files:
        return f"{root} is empty; it should hold one folder of {kind.word}s for each class."
    return (
        f"{root} holds no {kind.word}s: none of its {len(files)} files (for example {sorted(files)[0]}) has the ending "
        f"of one ({' '.join(sorted(kind.suffixes))})."
    )


def _flat(root: Path, shown: Path, count: int, kind: FileKind) -> str:
    """What to say of files that lie in no class folder, with the layout that is expected."""
    tables = sorted(path.name for path in root.iterdir() if path.suffix.lower() in TABLE_SUFFIXES)
    instead = f"\nOr give the table that lies there: {root / tables[0]}" if tables else ""
    ending = "jpg" if kind is IMAGES else "wav"
    return (
        f"{root} holds {count} {kind.word}{'s' * (count != 1)} but no class folders, so nothing says what they are of. "
        f"Put each class into a folder of its own:\n"
        f"  {shown.name or shown}/\n    cat/  1.{ending}  2.{ending}\n    dog/  3.{ending}  4.{ending}{instead}"
    )

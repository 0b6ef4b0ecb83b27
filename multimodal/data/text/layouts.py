"""Where supervised text lies: which files belong to which split, and how rows, lines and folders are read.

Shared by the readers: readers.py for labelled texts, tagged words and translations, questions.py for
questions. `Found` is a sample as it was read, before labels have indices, with the place where it stands.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any, TypeAlias

from multimodal.data.images.samples import SPLIT_NAMES, Skipped, sorted_labels, split_of
from multimodal.data.text.rows import TextSample, TextSet, label_indices
from multimodal.data.text.sources import existing, find_files, read_texts
from multimodal.data.text.tables import TABLE_SUFFIXES, Row, find_column, read_rows
from multimodal.errors import DataError, nearest

Found: TypeAlias = tuple[str, Any]
ReadSource: TypeAlias = Callable[[Any, list[Skipped]], Iterator[Found]]
ReadRow: TypeAlias = Callable[[Row, tuple[str, ...]], Any]  # a sample, or a `str` that says what is wrong with the row

_BESIDE = re.compile(r"(readme|licen[sc]e|notice|citation|dataset_infos|dataset_info)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Column:
    """A column that a reader needs."""

    wanted: str | None  # as the caller calls it; None: as one of `usual`
    usual: tuple[str, ...]
    what: str
    required: bool = True


@dataclass(frozen=True)
class Parts:
    """All that was found, by split."""

    root: str
    splits: dict[str, list[Found]]
    skipped: list[Skipped]

    def plain(self) -> TextSet:
        """The samples, of a kind without labels."""
        splits = {split: tuple(raw for _, raw in found) for split, found in self.splits.items()}
        return TextSet(self.root, (), splits, tuple(self.skipped))

    def labeled(
        self,
        names: Callable[[Any], Iterable[str]],
        build: Callable[[Any, Mapping[str, int]], TextSample],
        *,
        what: str = "class",
    ) -> TextSet:
        """Samples with labels as indices: `names` of what was read become numbers, with which `build` makes samples.

        Raises:
            DataError: as for `label_indices`.
        """
        used: dict[str, dict[str, str]] = {}
        for split, found in self.splits.items():
            places = used.setdefault(split, {})
            for where, raw in found:
                for name in names(raw):
                    places.setdefault(name, where)
        labels = sorted_labels(used["train"])
        index = label_indices(self.root, labels, used, what=what)
        splits = {split: tuple(build(raw, index) for _, raw in found) for split, found in self.splits.items()}
        return TextSet(self.root, labels, splits, tuple(self.skipped))


def read_parts(source: Any, read: ReadSource, *, read_folder: ReadSource | None = None) -> Parts:
    """Every sample of `source`, by split.

    A folder's files belong to the split that their name or their folder names ("train-00000-of-00002.parquet",
    "emerging.dev.conll", "valid/a.tsv"); where none names one, all are for training. A mapping says itself.

    Args:
        source: a path, or what `read` takes, or a mapping from splits to these.
        read: reads a file or an object.
        read_folder: reads a folder that holds no tables, instead of its files one by one.

    Raises:
        DataError: nothing there, nothing for training, or a split of an unknown name.
    """
    skipped: list[Skipped] = []
    splits: dict[str, list[Found]] = {}
    root = str(source) if isinstance(source, str | Path) else "The data"
    for split, one in _split_sources(source, skipped, folders=read_folder is not None):
        reader = read_folder if read_folder is not None and isinstance(one, Path) and one.is_dir() else read
        splits.setdefault(split, []).extend(reader(one, skipped))
    splits = {split: splits[split] for split in SPLIT_NAMES if splits.get(split)}
    if "train" not in splits:
        first = f" {len(skipped)} entries were left out, the first: {skipped[0].path}: {skipped[0].reason}."
        raise DataError(f"{root} holds nothing to train on.{first if skipped else ''}")
    return Parts(root, splits, skipped)


def table_samples(source: Any, columns: Iterable[Column], read: ReadRow, skipped: list[Skipped]) -> Iterator[Found]:
    """What `read` makes of the rows of a table; it is given the names of `columns`, "" for one that is not there.

    Raises:
        ArgumentError, DataError: as for `find_column` and `read_rows`.
    """
    name = str(source) if isinstance(source, str | Path) else "The table"
    names: tuple[str, ...] | None = None
    for where, row in read_rows(source, skipped):
        if names is None:
            names = tuple(find_column(name, [*row], c.wanted, c.usual, c.what, required=c.required) for c in columns)
        yield from row_sample(where, row, names, read, skipped)


def row_sample(where: str, row: Row, names: tuple[str, ...], read: ReadRow, skipped: list[Skipped]) -> Iterator[Found]:
    """What `read` makes of one row, unless that is a complaint."""
    sample = read(row, names)
    if isinstance(sample, str):
        skipped.append(Skipped(where, sample))
    else:
        yield where, sample


def class_folders(root: Path, skipped: list[Skipped]) -> Iterator[Found]:
    """(text, class) of a folder of class folders, each file one text; or of class files, each line one text.

    A class file is called as its class; of what the names have in common nothing remains (`rt-polarity.pos` and
    `rt-polarity.neg` give pos and neg).
    """
    files = [file for file in find_files(root) if not _BESIDE.match(file.name)]
    deep = any(len(file.relative_to(root).parts) > 1 for file in files)
    names = _differences([file.name for file in files]) if not deep else []
    for place, file in enumerate(files):
        parts = file.relative_to(root).parts
        if deep and len(parts) == 1:
            skipped.append(Skipped(str(file), "not in a class folder"))
            continue
        label = parts[0] if deep else names[place]
        for number, text in enumerate(read_texts(file, unit="file" if deep else "line", skipped=skipped), 1):
            yield str(file) if deep else f"{file}, text {number}", (text, label)


def lines_side_by_side(files: tuple[Path, Path]) -> Iterator[tuple[str, tuple[str, str]]]:
    """The lines of two files, each beside its counterpart.

    Raises:
        DataError: one has more lines, or cannot be read.
    """
    try:
        one, two = (file.open(encoding="utf-8-sig", errors="surrogateescape", newline="\n") for file in files)
        with one, two:
            for number, (a, b) in enumerate(zip_longest(one, two), 1):
                if a is None or b is None:
                    raise DataError(
                        f"{files[0]} and {files[1]} should have as many lines as each other, and one of them ends "
                        f"before line {number}."
                    )
                yield f"{files[0]}, line {number}", (a.strip(), b.strip())
    except OSError as error:
        raise DataError(f"{error.filename} cannot be read: {error.strerror}.") from None


def _split_sources(source: Any, skipped: list[Skipped], *, folders: bool) -> Iterator[tuple[str, Any]]:
    if isinstance(source, Mapping):
        for name, value in source.items():
            split = split_of(str(name))
            if split is None:
                known = [known for names in SPLIT_NAMES.values() for known in names]
                raise DataError(f"The split {name!r} is not one of {', '.join(known)}.{nearest(str(name), known)}")
            yield from ((split, one) for _, one in _split_sources(value, skipped, folders=folders))
        return
    root = existing(source) if isinstance(source, str | Path) else None
    if root is None or not root.is_dir():
        yield "train", root or source
        return
    files = [file for file in find_files(root) if not _BESIDE.match(file.name)]
    if folders and not any(file.suffix.lower() in TABLE_SUFFIXES for file in files):
        tops = sorted({file.relative_to(root).parts[0] for file in files})
        inner = [(split, root / name) for name in tops if (split := split_of(name)) and (root / name).is_dir()]
        yield from inner or [("train", root)]
        return
    if folders:
        skipped += [Skipped(str(file), "not a table") for file in files if file.suffix.lower() not in TABLE_SUFFIXES]
        files = [file for file in files if file.suffix.lower() in TABLE_SUFFIXES]
    named = {file: split_in(file.relative_to(root)) for file in files}
    if not any(named.values()):
        yield from (("train", file) for file in files)
        return
    skipped += [Skipped(str(file), "its name says no split") for file, split in named.items() if split is None]
    yield from ((split, file) for file, split in named.items() if split is not None)


def split_in(path: Path) -> str | None:
    """The split that a folder, or else a part of the file's name, names."""
    for part in path.parts[:-1]:
        if split := split_of(part):
            return split
    words = re.findall(r"[a-z]+", path.name.lower())
    return next((split for word in words if (split := split_of(word))), None)


def _differences(names: list[str]) -> list[str]:
    """The parts between dots in which `names` differ; without its ending, a name that has another number of parts."""
    split = [name.split(".") for name in names]
    if len({len(parts) for parts in split}) > 1:
        return [Path(name).stem for name in names]
    differ = [len(set(column)) > 1 for column in zip(*split, strict=True)]
    return [".".join(part for part, keep in zip(parts, differ, strict=True) if keep) or parts[0] for parts in split]

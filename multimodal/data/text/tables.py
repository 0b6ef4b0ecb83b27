"""Rows of tables that hold text: CSV, TSV, JSON Lines, Parquet, `datasets` objects and lists of dictionaries.

Rows are read one after the other, never a whole file at once. A row that cannot be used (not UTF-8, not JSON, too many
cells) is named in `skipped` and left out. Which column means what is decided by the caller, with `find_column`.
"""

from __future__ import annotations

import csv
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, TypeAlias

from multimodal.data.images.samples import SPLIT_NAMES, Skipped, split_of
from multimodal.errors import ArgumentError, DataError, nearest
from multimodal.media.files import shown

TABLE_SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")
LONGEST_CELL = 1 << 30  # characters; Python's own limit of 131,072 is too short for a document

Row: TypeAlias = Mapping[str, Any]

_ADDRESS = re.compile(r"(https?|s3|gs)://", re.IGNORECASE)


def read_rows(source: Any, skipped: list[Skipped]) -> Iterator[tuple[str, Row]]:
    """Where each row stands, and its columns.

    In TSV files quotes are plain characters, as GLUE has them; in CSV files they may surround cells.

    Args:
        source: a table file, a `datasets.Dataset` (or one that streams), or dictionaries.
        skipped: what cannot be used is added here.

    Raises:
        DataError: the file cannot be read at all, or its ending is not that of a table.
    """
    if not isinstance(source, str | Path):
        yield from _given_rows(source)
        return
    file = Path(source)
    suffix = file.suffix.lower()
    if suffix not in TABLE_SUFFIXES:
        raise DataError(f"{file} is not a table; its name should end in {', '.join(TABLE_SUFFIXES)}.")
    if suffix == ".parquet":
        yield from _parquet(file)
        return
    # Bytes that are not UTF-8 become lone surrogates, so that one bad row does not end the reading: see `flaw`.
    try:
        with file.open(
            encoding="utf-8-sig", errors="surrogateescape", newline="" if suffix == ".csv" else "\n"
        ) as text:
            yield from (_cells if suffix in (".csv", ".tsv") else _json_lines)(file, text, skipped)
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error.strerror}.") from None


def flaw(text: Any) -> str | None:
    """Why `text` cannot be used as text, in a few words; None: it can."""
    if not isinstance(text, str):
        return "no text" if text is None else f"{type(text).__name__} instead of text"
    try:
        text.encode()
    except UnicodeEncodeError as error:
        escaped = 0xDC80 <= ord(text[error.start]) <= 0xDCFF
        return f"{'not UTF-8' if escaped else 'a lone surrogate'} at character {error.start}"
    return None if text.strip() else "empty text"


def find_column(
    where: str, names: Sequence[str], wanted: str | None, accepted: Sequence[str], what: str, *, required: bool = True
) -> str:
    """The column that was asked for, or the one that is called as one of `accepted`; "" where none is required.

    Raises:
        ArgumentError: `wanted` is not there.
        DataError: several columns are called so, or none.
    """
    if wanted is not None:
        if wanted not in names:
            raise ArgumentError(
                f"{where} has no column {wanted!r}; its columns are {', '.join(names)}.{nearest(wanted, names)}"
            )
        return wanted
    found = [name for name in names if name.strip().lower() in accepted]
    if len(found) > 1:
        raise DataError(f"{where}: the columns {' and '.join(map(repr, found))} could both be {what}; say which one.")
    if not found and required:
        raise DataError(
            f"{where} has no column for {what}: it should be called {', '.join(accepted)}, or be named; its columns "
            f"are {', '.join(names)}."
        )
    return found[0] if found else ""


def cell_file(folders: Sequence[Path], where: str, name: Any, what: str, skipped: list[Skipped]) -> str | None:
    """The path of the file that a cell names, absolute or in one of `folders`; None, and the reason, where none is.

    `what` it should be, for messages: "image".
    """
    if reason := flaw(name):
        embedded = isinstance(name, dict) and "bytes" in name
        instead = f"the {what} itself instead of a file's name; save each as a file" if embedded else reason
        skipped.append(Skipped(where, f"{what}: {instead}"))
        return None
    if _ADDRESS.match(name.strip()):
        skipped.append(Skipped(where, f"the {what} is an address; download it first"))
        return None
    for name_tried in dict.fromkeys((name, name.strip())):
        for folder in folders:
            path = os.path.normpath(folder / name_tried)
            if os.path.isfile(path):  # noqa: PTH113 a Path for each of a million rows costs seconds
                return path
    skipped.append(Skipped(shown(os.path.normpath(folders[0] / name.strip())), "file not found"))
    return None


def cell_split(where: str, value: Any, default: str) -> str:
    """The split that a cell names, also as COCO names it ("train2017"); `default` where it is empty.

    Raises:
        DataError: it names another.
    """
    text = str(value or "").strip().lower()
    if not text:
        return default
    for word in (text, *re.findall("[a-z]+", text)):
        if split := split_of(word):
            return split
    accepted = [name for names in SPLIT_NAMES.values() for name in names]
    raise DataError(f"{where}: the split {text!r} is not one of {', '.join(accepted)}.{nearest(text, accepted)}")


def class_names(source: Any, column: str) -> tuple[str, ...] | None:
    """The names that a `datasets` object gives the whole numbers of `column`; None where it gives none."""
    features = getattr(source, "features", None) or {}
    kind = features.get(column)
    names = getattr(kind, "names", None) or getattr(getattr(kind, "feature", None), "names", None)
    return tuple(names) if names else None


def _given_rows(source: Iterable[Any]) -> Iterator[tuple[str, Row]]:
    for number, row in enumerate(source):
        if not isinstance(row, Mapping):
            raise DataError(f"Row {number} is {type(row).__name__}; rows should be dictionaries of columns.")
        yield f"row {number}", row


def _cells(file: Path, text: IO[str], skipped: list[Skipped]) -> Iterator[tuple[str, Row]]:
    csv.field_size_limit(LONGEST_CELL)
    if file.suffix.lower() == ".tsv":
        reader = csv.DictReader(text, delimiter="\t", quoting=csv.QUOTE_NONE)
    else:
        header = text.readline()
        text.seek(0)
        reader = csv.DictReader(text, delimiter=max(",;\t", key=header.count))
    while True:
        try:
            row = next(reader, None)
        except csv.Error as error:
            skipped.append(Skipped(f"{file}, line {reader.line_num}", f"not a row of cells ({error})"))
            continue
        if row is None:
            return
        where = f"{file}, line {reader.line_num}"
        if None in row:
            skipped.append(Skipped(where, "more cells than the header"))
        else:
            yield where, row


def _json_lines(file: Path, lines: IO[str], skipped: list[Skipped]) -> Iterator[tuple[str, Row]]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        where = f"{file}, line {number}"
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            skipped.append(Skipped(where, "not JSON"))
            continue
        if isinstance(row, dict):
            yield where, row
        else:
            skipped.append(Skipped(where, "not a JSON object of columns"))


def _parquet(file: Path) -> Iterator[tuple[str, Row]]:
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError:
        raise DataError(
            f"{file} is a Parquet file; reading it needs pyarrow: pip install pyarrow, or save it as JSONL."
        ) from None
    number = 0
    try:
        with parquet.ParquetFile(file) as table:
            for batch in table.iter_batches(batch_size=1024):
                for row in batch.to_pylist():
                    yield f"{file}, row {number}", row
                    number += 1
    except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
        raise DataError(f"{file} cannot be read as Parquet, from row {number} on: {error}.") from None

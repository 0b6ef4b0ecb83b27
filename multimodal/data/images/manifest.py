"""A table of paths and labels to labelled images, or recordings: CSV, TSV or JSON Lines.

One column names the file (relative to the table, or absolute), one the class, and one may name the split. Several
classes stand in one cell with a separator between them (`cat|dog`), or as a list in JSON Lines.
"""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from multimodal.data.images.samples import (
    IMAGES,
    SPLIT_NAMES,
    FileKind,
    LabeledImages,
    Row,
    Skipped,
    assemble,
    parse_labels,
    split_of,
)
from multimodal.errors import DataError, nearest

FILE_COLUMNS = ("path", "file", "filename", "file_name", "filepath")  # of any kind of file
PATH_COLUMNS = (*FILE_COLUMNS, *IMAGES.columns)
LABEL_COLUMNS = ("label", "labels", "class", "classes", "category", "categories", "class_name")
SPLIT_COLUMNS = ("split", "subset", "partition")


def read_manifest(table: Path, *, separator: str | None = "|", kind: FileKind = IMAGES) -> LabeledImages:
    """The files that `table` lists. `separator` stands between several labels of one file; None: none does.

    Raises:
        DataError: the table cannot be parsed, lacks a column, names an unknown split, or lists no file that exists.
    """
    records = list(_records(table))
    if not records:
        raise DataError(f"{table} lists no {kind.word}s.")
    names = dict.fromkeys(str(name) for _, record in records for name in record)
    path_column = _column(table, names, (*FILE_COLUMNS, *kind.columns), f"the {kind.word} files")
    label_column = _column(table, names, LABEL_COLUMNS, "the class")
    split_column = _column(table, names, SPLIT_COLUMNS, "the split", required=False)
    rows, skipped = [], []
    for line, record in records:
        where = f"{table}, line {line}"
        name = record.get(path_column)
        if not isinstance(name, str) or not name.strip():
            skipped.append(Skipped(where, "no file name"))
            continue
        path = os.path.normpath(table.parent / name.strip())
        if not os.path.isfile(path):  # noqa: PTH113 a Path for each of a million rows costs seconds
            skipped.append(Skipped(path, "file not found"))
            continue
        try:
            labels = parse_labels(record.get(label_column), separator)
        except DataError as error:
            raise DataError(f"{where}: {error}") from None
        rows.append(Row(_split(where, record, split_column), path, labels))
    if not rows:
        raise DataError(
            f"None of the {len(records)} files that {table} lists exists, for example {skipped[0].path}; paths are "
            f"relative to the table's own folder, {table.parent}."
        )
    return assemble(str(table), rows, skipped, kind)


def _records(table: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Line number and columns of every row."""
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            yield from (
                _json_lines(table, file) if table.suffix.lower() in (".jsonl", ".ndjson") else _cells(table, file)
            )
    except UnicodeDecodeError as error:
        raise DataError(f"{table} is not UTF-8 text (byte {error.start}); save it as UTF-8.") from None
    except OSError as error:
        raise DataError(f"{table} cannot be read: {error.strerror}.") from None
    except csv.Error as error:
        raise DataError(f"{table} is not a well-formed table: {error}.") from None


def _json_lines(table: Path, lines: Any) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except ValueError as error:
            raise DataError(f"{table}, line {number} is not JSON: {error}.") from None
        if not isinstance(record, dict):
            raise DataError(f"{table}, line {number} is not a JSON object of columns.")
        yield number, record


def _cells(table: Path, file: Any) -> Iterator[tuple[int, dict[str, Any]]]:
    header = file.readline()
    file.seek(0)
    delimiter = "\t" if table.suffix.lower() == ".tsv" else max(",;\t", key=header.count)
    reader = csv.DictReader(file, delimiter=delimiter)
    for record in reader:
        if None in record:
            raise DataError(
                f"{table}, line {reader.line_num} has more cells than the header; put quotes around a cell that "
                f"contains {delimiter!r}."
            )
        yield reader.line_num, record


def _column(table: Path, names: dict[str, None], accepted: tuple[str, ...], what: str, *, required: bool = True) -> str:
    """The one column of `names` that is called as one of `accepted`; "" where there is none and none is required."""
    found = [name for name in names if name.strip().lower() in accepted]
    if len(found) > 1:
        raise DataError(
            f"{table}: the columns {' and '.join(map(repr, found))} could both give {what}; rename all but one."
        )
    if not found and required:
        close = next((clause for name in names if (clause := nearest(name, accepted))), "")
        raise DataError(
            f"{table} has no column for {what}: it should be called {', '.join(accepted)}; the columns are "
            f"{', '.join(names)}.{close}"
        )
    return found[0] if found else ""


def _split(where: str, record: dict[str, Any], column: str) -> str:
    value = str(record.get(column) or "").strip()
    if not column or not value:
        return "train"
    split = split_of(value)
    if split is None:
        accepted = [name for names in SPLIT_NAMES.values() for name in names]
        raise DataError(
            f"{where}: the split {value!r} is not one of {', '.join(accepted)}.{nearest(value.lower(), accepted)}"
        )
    return split

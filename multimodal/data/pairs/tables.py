"""A table of images, or recordings, and captions: CSV, TSV, JSON Lines or Parquet.

One column names the file (relative to the table's folder or to images/ in it, or absolute), one holds the caption or a
list of them, and one may name the split. Several rows of one image give it several captions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from multimodal.data.images.manifest import PATH_COLUMNS, SPLIT_COLUMNS
from multimodal.data.images.samples import SOUNDS, Skipped
from multimodal.data.pairs.samples import Found, caption_column, captions_of
from multimodal.data.text.layouts import split_in
from multimodal.data.text.tables import Row, cell_file, cell_split, find_column, read_rows
from multimodal.errors import ArgumentError, DataError

IMAGE_COLUMNS = (*PATH_COLUMNS, "images", "img", "image_file", "image_filename", *SOUNDS.columns)
FOLDERS = ("images", "audio")  # beside a table, in which its files may lie


@dataclass(frozen=True, kw_only=True)
class Columns:
    """What the columns of a table are called; None: as usual (see `IMAGE_COLUMNS` and `CAPTION_COLUMNS`)."""

    image: str | None = None
    caption: str | None = None
    split: str | None = None


def read_table(table: Path, columns: Columns, skipped: list[Skipped], default: str | None = None) -> Iterator[Found]:
    """The images of each row, with their captions. `default`: the split of rows that name none.

    Raises:
        ArgumentError: a column that was asked for is not there.
        DataError: the table cannot be read, names an unknown split, or no row of it can be used.
    """
    split = default or split_in(Path(table.name)) or "train"
    before = len(skipped)
    known: dict[tuple[str, ...], tuple[str, str, str] | DataError] = {}  # by the names of a row's columns
    read = used = 0
    for where, row in read_rows(table, skipped):
        read += 1
        names = tuple(row)
        if names not in known:
            known[names] = _meanings(str(table), names, columns, first=not known)
        meanings = known[names]
        if isinstance(meanings, DataError):
            skipped.append(Skipped(where, f"no image and caption among its columns {', '.join(names)}"))
        elif found := _row(table.parent, where, row, meanings, split, skipped):
            used += 1
            yield found
    if not used:
        faults = [fault for fault in known.values() if isinstance(fault, DataError)]
        if faults and len(faults) == len(known):
            raise faults[0]
        raise DataError(_nothing(table, read, list(known), skipped[before:]))


def _meanings(table: str, names: Sequence[str], columns: Columns, *, first: bool) -> tuple[str, str, str] | DataError:
    """The columns of the image, the captions and the split ("" where there is none), or what is wrong with them.

    A column that was asked for must be in the `first` row; the rows of JSON Lines may differ after that.
    """
    try:
        return (
            find_column(table, names, columns.image, IMAGE_COLUMNS, "the image files"),
            caption_column(table, names, columns.caption),
            find_column(table, names, columns.split, SPLIT_COLUMNS, "the split", required=False),
        )
    except DataError as error:
        return error
    except ArgumentError as error:
        if first:
            raise
        return DataError(str(error))


def _row(
    folder: Path, where: str, row: Row, columns: tuple[str, str, str], default: str, skipped: list[Skipped]
) -> Found | None:
    image, caption, split = columns
    path = cell_file(
        (folder, *(folder / name for name in FOLDERS)), where, row.get(image), "image or recording", skipped
    )
    if path is None:
        return None
    captions = captions_of(row.get(caption), where, skipped)
    return Found(cell_split(where, row.get(split), default), path, captions) if captions else None


def _nothing(table: Path, rows: int, names: Sequence[Sequence[str]], skipped: Sequence[Skipped]) -> str:
    """Why none of a table's rows is usable, in one sentence."""
    if not rows and not skipped:
        return f"{table} has no rows."
    columns = f" Its columns are {', '.join(names[0])}." if names else ""
    first = f", for example {skipped[0].path}: {skipped[0].reason}" if skipped else ""
    missing = any(one.reason == "file not found" for one in skipped)
    where = (
        f"; files are looked for in {table.parent} and in its {' and '.join(f'{name}/' for name in FOLDERS)}"
        if missing
        else ""
    )
    return f"No row of {table} can be used{first}{where}.{columns}"

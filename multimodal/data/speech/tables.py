"""A table of recordings and what is said in them: CSV, TSV, JSON Lines or Parquet.

One column names the file (relative to the table's folder or to audio/, clips/, wavs/ or wav/ in it, or absolute), one
holds the text. Others may name the split, the speaker, the language, the length in seconds, and where in a longer file
the clip begins and ends.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from multimodal.data.images.manifest import SPLIT_COLUMNS
from multimodal.data.images.samples import Skipped
from multimodal.data.speech.samples import Found, SpeechSample
from multimodal.data.text.layouts import split_in
from multimodal.data.text.tables import Row, cell_file, cell_split, find_column, flaw, read_rows
from multimodal.errors import DataError

FOLDERS = ("audio", "clips", "wavs", "wav")  # beside a table, in which its files may lie
USUAL = {
    "audio": ("file", "audio", "path", "audio_filepath", "filename", "file_name", "filepath", "audio_path", "wav"),
    "text": ("text", "sentence", "transcript", "transcription", "normalized_text"),
    "split": SPLIT_COLUMNS,
    "speaker": ("speaker", "speaker_id", "client_id"),
    "language": ("language", "lang", "locale"),
    "seconds": ("seconds", "duration"),
    "start": ("start", "offset"),
    "end": ("end",),
}
_WHAT = {"audio": "the recordings", "text": "the texts"}


@dataclass(frozen=True, kw_only=True)
class Columns:
    """What the columns of a table are called; None: as usual (see `USUAL`)."""

    audio: str | None = None
    text: str | None = None
    split: str | None = None
    speaker: str | None = None


def read_table(
    table: Path,
    columns: Columns,
    skipped: list[Skipped],
    default: str | None = None,
    *,
    needed: Collection[str] = ("audio", "text"),
) -> Iterator[Found]:
    """The clips of each row. `default`: the split of rows that name none; `needed`: what a row must have.

    Raises:
        ArgumentError: a column that was asked for is not there.
        DataError: the table cannot be read, lacks a column, or names an unknown split.
    """
    split = default or split_in(Path(table.name)) or "train"
    folders = (table.parent, *(table.parent / name for name in FOLDERS))
    known: dict[tuple[str, ...], Mapping[str, str]] = {}  # by the names of a row's columns
    for where, row in read_rows(table, skipped):
        names = tuple(row)
        if names not in known:
            known[names] = _meanings(str(table), names, columns, () if known else needed)
        cells = {meaning: row.get(column) for meaning, column in known[names].items()}
        if "text" in needed and readable(cells.get("text")) is None:
            skipped.append(Skipped(where, flaw(cells.get("text")) or "empty text"))
        elif sample := _sample(folders, where, cells, skipped):
            yield Found(cell_split(where, cells.get("split"), split), sample)


def readable(text: Any) -> str | None:
    """The text of a cell on one line; None where there is none. Numbers are written out."""
    said: Any = str(text) if isinstance(text, int | float) else text
    return None if flaw(said) else " ".join(said.split())


def _meanings(table: str, names: Sequence[str], columns: Columns, needed: Collection[str]) -> dict[str, str]:
    """The column of each meaning, as far as there is one. In rows that need nothing, no column of a name must be."""
    found = {}
    for meaning, usual in USUAL.items():
        wanted = getattr(columns, meaning, None)
        wanted = wanted if needed or wanted in names else None
        required = meaning in needed
        what = _WHAT.get(meaning, f"the {meaning}")
        if column := find_column(table, names, wanted, usual, what, required=required):
            found[meaning] = column
    return found


def _sample(folders: Sequence[Path], where: str, cells: Row, skipped: list[Skipped]) -> SpeechSample | None:
    path = cell_file(folders, where, cells.get("audio"), "recording", skipped)
    if path is None:
        return None
    try:
        start, end = _number(cells.get("start"), "start"), _number(cells.get("end"), "end")
        seconds = _number(cells.get("seconds"), "seconds")
    except DataError as error:
        skipped.append(Skipped(where, str(error)))
        return None
    start = start or 0.0
    if end is None and "start" in cells and seconds is not None:
        end = start + seconds
    if end is not None:
        if end <= start:
            skipped.append(Skipped(where, f"the clip ends at {end:g} s, before it begins at {start:g} s"))
            return None
        seconds = end - start
    speaker, language = readable(cells.get("speaker")), readable(cells.get("language"))
    return SpeechSample(path, readable(cells.get("text")) or "", seconds or None, speaker, language, start, end)


def _number(value: Any, what: str) -> float | None:
    """Seconds in a cell; None where it is empty.

    Raises:
        DataError: it holds something else.
    """
    if value is None or str(value).strip() == "":
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not 0 <= number < math.inf:
        raise DataError(f"{what} is {value!r:.40}, not a number of seconds")
    return number

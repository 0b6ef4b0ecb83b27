"""Which files hold conversations: JSON, JSON Lines or Parquet whose first row has a column of turns.

Only the beginning of a file is looked at. What a row becomes is in rows.py.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from multimodal.data.images.samples import Skipped, split_of
from multimodal.data.text.tables import Row, read_rows
from multimodal.errors import DataError
from multimodal.media import is_junk

SUFFIXES = (".json", ".jsonl", ".ndjson", ".parquet")
CONVERSATIONS = ("messages", "conversations")  # what the column with the turns is called
START = 1 << 20  # characters of a JSON file that are looked at
LOOKED_AT = 100  # files of a folder; where none of them holds conversations, the others do not


def is_conversation(row: Row) -> bool:
    """Whether a row has a column of turns."""
    return any(name in row for name in CONVERSATIONS)


def chat_files(root: Path) -> list[tuple[Path, str | None]]:
    """The files of conversations that `root` is or holds, each with the split of the folder that it lies in.

    Raises:
        DataError: `root` is a .json file of something else, or cannot be listed.
    """
    try:
        return _in_folder(root) if root.is_dir() else _alone(root)
    except OSError as error:
        raise DataError(f"{error.filename} cannot be read: {error.strerror}.") from None


def _alone(root: Path) -> list[tuple[Path, str | None]]:
    if root.suffix.lower() not in SUFFIXES or not root.is_file():
        return []
    if _holds_conversations(root):
        return [(root, None)]
    if root.suffix.lower() == ".json":
        raise DataError(
            f'{root} is no list of conversations; it should be [{{"image": "a.png", "conversations": [{{"from": '
            '"human", "value": "<image> ..."}, ...]}, ...].'
        )
    return []


def _in_folder(root: Path) -> list[tuple[Path, str | None]]:
    found: list[tuple[Path, str | None]] = []
    for folder, split in [(root, None), *_split_folders(root)]:
        files = [folder / name for name in sorted(_names(folder)) if not is_junk(name)]
        first = [file for file in files[:LOOKED_AT] if _holds_conversations(file)]
        if first:  # else they are notes beside images, of which there may be many
            found += [(file, split) for file in (*first, *filter(_holds_conversations, files[LOOKED_AT:]))]
    return found


def _split_folders(root: Path) -> list[tuple[Path, str]]:
    """The folders in `root` that are called as a split is."""
    with os.scandir(root) as entries:
        names = sorted(entry.name for entry in entries if split_of(entry.name) and entry.is_dir())
    return [(root / name, split) for name in names if (split := split_of(name))]


def _names(folder: Path) -> list[str]:
    """The files of a folder that may hold conversations."""
    with os.scandir(folder) as entries:  # a Path for each of a million images would cost seconds
        return [entry.name for entry in entries if entry.name.lower().endswith(SUFFIXES) and entry.is_file()]


def _holds_conversations(file: Path) -> bool:
    """Whether the first row of a file has a column of turns."""
    if file.suffix.lower() == ".json":
        return _json_begins_so(file)
    try:
        first = next(iter(read_rows(file, [])), None)
    except DataError:
        return False
    return first is not None and is_conversation(first[1])


def _json_begins_so(file: Path) -> bool:
    """Whether a JSON file is a list whose first object has a column of turns; only its beginning is read."""
    try:
        with file.open(encoding="utf-8-sig", errors="replace") as text:
            start = text.read(START).lstrip()
    except OSError:
        return False
    if not start.startswith("["):
        return False
    try:
        first, _ = json.JSONDecoder().raw_decode(start[1:].lstrip())
    except (ValueError, RecursionError):  # damaged, or a first conversation of a megabyte: reading it will tell
        return any(f'"{name}"' in start for name in CONVERSATIONS)
    return isinstance(first, dict) and is_conversation(first)


def json_rows(file: Path, skipped: list[Skipped]) -> Iterator[tuple[str, Row]]:
    """The entries of a JSON file.

    Raises:
        DataError: it cannot be read, or is no JSON.
    """
    try:
        entries: Any = json.loads(file.read_bytes().decode("utf-8-sig"))
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{file} is not UTF-8 (byte {error.start}); save it as UTF-8.") from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"{file} is damaged: it is no JSON ({error}).") from None
    for number, entry in enumerate(entries):
        if isinstance(entry, dict):
            name = f" ({entry['id']})" if isinstance(entry.get("id"), str | int) else ""
            yield f"{file}, entry {number}{name}", entry
        else:
            skipped.append(Skipped(f"{file}, entry {number}", "not a JSON object"))

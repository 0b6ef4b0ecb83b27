"""What is known of one picture, and the columns that it is stored in.

Axes: n rows · d width of a vector
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

# What `where` may name. `path` is text: bytes that are not valid UTF-8 stand in it as \xff, and `path_bytes` has them.
COLUMNS: dict[str, tuple[pa.DataType, str]] = {
    "id": (pa.string(), "stays the same when the file is moved or edited"),
    "path": (pa.string(), "whole path"),
    "folder": (pa.string(), "path of the folder that the file is in"),
    "name": (pa.string(), "last part of the path"),
    "hash": (pa.string(), "of the file's bytes"),
    "bytes": (pa.int64(), "size of the file"),
    "format": (pa.string(), "'JPEG', 'PNG' ..."),
    "width": (pa.int32(), "pixels, as shown"),
    "height": (pa.int32(), "pixels, as shown"),
    "taken": (pa.timestamp("us"), "when, by the camera's clock; taken >= '2024-05-01 12:00:00'"),
    "year": (pa.int32(), "of taken"),
    "month": (pa.int32(), "of taken, 1 to 12"),
    "day": (pa.int32(), "of taken, 1 to 31"),
    "make": (pa.string(), "maker of the camera"),
    "camera": (pa.string(), "model of the camera"),
    "latitude": (pa.float64(), "degrees, north is positive"),
    "longitude": (pa.float64(), "degrees, east is positive"),
    "modified": (pa.timestamp("us"), "when the file was last written, UTC"),
}
HIDDEN = {"path_bytes": pa.binary(), "mtime_ns": pa.int64(), "perceptual": pa.uint64()}
PLACE = ("path", "path_bytes", "folder", "name", "bytes", "modified", "mtime_ns")  # what moving a file changes


def schema(width: int) -> pa.Schema:
    """Of the table of pictures whose vectors have `width` numbers."""
    fields = [pa.field(name, kind) for name, (kind, _) in COLUMNS.items()]
    fields += [pa.field(name, kind) for name, kind in HIDDEN.items()]
    return pa.schema([*fields, pa.field("vector", pa.list_(pa.float32(), width))])


@dataclass(frozen=True, kw_only=True)
class Row:
    """What the index knows of one picture."""

    id: str
    path: Path
    folder: str
    name: str
    hash: str
    bytes: int
    format: str | None
    width: int | None  # px, as shown
    height: int | None
    taken: datetime | None  # by the camera's clock
    make: str | None
    camera: str | None
    latitude: float | None  # degrees
    longitude: float | None
    modified: datetime | None  # UTC

    def plain(self) -> dict[str, Any]:
        """For JSON: a path is text, a time is ISO 8601."""
        found = {**vars(self), "path": text_of(str(self.path))}
        return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in found.items()}


ROW_COLUMNS = (*(name for name in COLUMNS if name in Row.__dataclass_fields__), "path_bytes")


def row_of(values: dict[str, Any]) -> Row:
    """A `Row` of the columns `ROW_COLUMNS`."""
    path = path_of(values["path"], values["path_bytes"])
    known = {name: values[name] for name in ROW_COLUMNS if name not in ("path", "path_bytes")}
    return Row(path=Path(path), **known)


def place_of(path: str, size: int, mtime_ns: int) -> dict[str, Any]:
    """The columns `PLACE` of a file."""
    folder, name = os.path.split(path)
    text = text_of(path)
    return {
        "path": text,
        "path_bytes": os.fsencode(path) if text != path else None,
        "folder": text_of(folder),
        "name": text_of(name),
        "bytes": size,
        "modified": mtime_ns // 1000,  # microseconds since 1970
        "mtime_ns": mtime_ns,
    }


def text_of(path: str) -> str:
    r"""`path` as valid text: bytes that are no UTF-8 as \xff."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def line_of(text: str) -> str:
    r"""A path, or a sentence with one, on one line of a terminal that it cannot steer: a line break as \n."""
    return re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]", lambda found: repr(found[0])[1:-1], text_of(text))


def path_of(text: str, raw: bytes | None) -> str:
    """The path that `text` and `path_bytes` stand for, as `os` takes it."""
    return text if raw is None else os.fsdecode(raw)

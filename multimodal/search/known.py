"""What the index knows of files: those that are in it, and those that could not be read."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from multimodal.search.rows import path_of, place_of, text_of
from multimodal.search.table import SKIPPED, Store

_FILE = ("path", "path_bytes", "bytes", "mtime_ns")


class Skipped(NamedTuple):
    """A file or folder that is not in the index, and a sentence that says why."""

    path: str
    reason: str


class State(NamedTuple):
    """What tells whether a file was written to."""

    size: int  # bytes
    mtime_ns: int


class Known(NamedTuple):
    """What the index has of a file."""

    id: str
    hash: str
    state: State


def known_files(store: Store, table: str) -> dict[str, Known]:
    """Files that are in the index, by path."""
    columns = (*_FILE, "id", "hash")
    found = store.read(store.newest(table), columns)
    lists = (found.column(name).to_pylist() for name in columns)
    return {
        path_of(text, raw): Known(row, content, State(size, mtime_ns))
        for text, raw, size, mtime_ns, row, content in zip(*lists, strict=True)
    }


def skipped_files(store: Store) -> dict[str, tuple[State, str]]:
    """Files that could not be read, by path: as they were then, and why."""
    found = store.read(store.newest(SKIPPED), [*_FILE, "reason"]).to_pylist()
    return {
        path_of(row["path"], row["path_bytes"]): (State(row["bytes"], row["mtime_ns"]), row["reason"]) for row in found
    }


def remember_skipped(store: Store, forget: Iterable[str], bad: dict[str, tuple[State, str]]) -> None:
    """Note the files `bad` in place of what was noted of the paths `forget`."""
    store.delete(SKIPPED, "path", map(text_of, forget))
    places = ((place_of(path, *state), reason) for path, (state, reason) in bad.items())
    store.add(SKIPPED, [{**{name: place[name] for name in _FILE}, "reason": reason} for place, reason in places])

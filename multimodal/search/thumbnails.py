"""Small pictures of rows, cached by content when a picture was read; made on the way where they are not there."""

from __future__ import annotations

from collections.abc import Sequence

from multimodal.errors import DataError
from multimodal.media import MediaError, read_reduced
from multimodal.search.reading import SIDE, shrunk, thumbnail
from multimodal.search.rows import Row
from multimodal.search.table import THUMBNAILS, Store


def thumbnails_of(store: Store, rows: Sequence[Row]) -> list[bytes]:
    """JPEGs in the order of `rows`; empty where there is none and the file cannot be read."""
    known = _cached(store, {row.hash for row in rows})
    found = []
    for row in rows:
        try:
            found.append(known.get(row.hash) or _made(row))
        except MediaError:
            found.append(b"")
    return found


def thumbnail_of(store: Store, row: Row) -> bytes:
    """The JPEG of one row.

    Raises:
        DataError: there is none, and the file cannot be read.
    """
    try:
        return _cached(store, {row.hash}).get(row.hash) or _made(row)
    except MediaError as error:
        raise DataError(f"There is no thumbnail: {error}") from error


def _cached(store: Store, hashes: set[str]) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for table in store.read_in(store.newest(THUMBNAILS), ["hash", "jpeg"], "hash", sorted(hashes - {""})):
        found |= zip(table.column("hash").to_pylist(), table.column("jpeg").to_pylist(), strict=True)
    return found


def _made(row: Row) -> bytes:
    return thumbnail(shrunk(*read_reduced(row.path, min_side=SIDE // 2)))

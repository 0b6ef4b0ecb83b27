"""The tables of an index, in LanceDB: pictures, thumbnails, and files that could not be read. Every commit is atomic.

A table of pictures has one row for each file. Thumbnails are kept by content and are written before the row that needs
them: a process killed in between leaves one too many, never one too few. What an index is as a whole is in
`manifest.py`; the columns are in `rows.py`.

Axes: n rows · d width of a vector
"""

from __future__ import annotations

import datetime
import functools
import math
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import lancedb
import numpy as np
import pyarrow as pa
from jaxtyping import Float

from multimodal.errors import DataError
from multimodal.search.manifest import damaged
from multimodal.search.rows import COLUMNS, HIDDEN, PLACE, schema

Result = TypeVar("Result")

THUMBNAILS, SKIPPED = "thumbnails", "skipped"
_THUMBNAIL_SCHEMA = pa.schema({"hash": pa.string(), "jpeg": pa.binary(), "tiny": pa.binary()})
_SKIPPED_SCHEMA = pa.schema(
    {
        "path": pa.string(),
        "path_bytes": pa.binary(),
        "bytes": pa.int64(),
        "mtime_ns": pa.int64(),
        "reason": pa.string(),
    }
)
_KEEP_VERSIONS = datetime.timedelta(minutes=10)  # for searches that began before a commit
_COMMITS = 64  # after so many the table's small files are joined
_AT_ONCE = 500  # values in one IN (...)
_FEWEST = 256  # rows that product quantisation, and each part, needs to learn from


class Store:
    """The tables of the index in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._database: Any = None
        self._open: dict[str, Any] = {}
        self._commits: dict[str, list[int]] = {}  # of each table: commits and rows since its files were joined

    def pinned(self, name: str) -> Any:
        """The table `name` at its newest version, at which it stays: what others commit does not change it."""
        return self._guard(lambda: self._connect().open_table(name))

    def newest(self, name: str) -> Any:
        """The table `name` with everything committed so far."""
        if name not in self._open:
            self._open[name] = self.pinned(name)
        else:
            self._guard(self._open[name].checkout_latest)
        return self._open[name]

    def create(self, name: str, width: int) -> None:
        """An empty table of pictures, and the other two where they are not there yet."""
        for other, fields in ((THUMBNAILS, _THUMBNAIL_SCHEMA), (SKIPPED, _SKIPPED_SCHEMA), (name, schema(width))):
            if not self.has(other):
                self._guard(functools.partial(self._connect().create_table, other, schema=fields))

    def create_staging(self, name: str, width: int) -> None:
        """An empty table of vectors by content, which a migration fills."""
        fields = pa.schema([("hash", pa.string()), ("vector", pa.list_(pa.float32(), width))])
        self._guard(lambda: self._connect().create_table(name, schema=fields))

    def drop(self, name: str) -> None:
        """Remove the table `name`, if it is there."""
        self._open.pop(name, None)
        if self.has(name):
            self._guard(lambda: self._connect().drop_table(name))

    def has(self, name: str) -> bool:
        """Whether there is a table `name`."""
        return (self.folder / f"{name}.lance").is_dir()

    def read(self, table: Any, columns: Iterable[str], where: str | None = None, *, row_ids: bool = False) -> pa.Table:
        """Columns of a table, in the order of its rows."""
        query = table.search().select(list(columns)).with_row_id(row_ids)
        return self._guard((query.where(where) if where else query).to_arrow)

    def read_in(self, table: Any, columns: Iterable[str], key: str, values: Iterable[str]) -> Iterator[pa.Table]:
        """The rows whose `key` is one of `values`, some at a time."""
        wanted, columns = list(values), list(columns)
        for start in range(0, len(wanted), _AT_ONCE):
            yield self.read(table, columns, one_of(key, wanted[start : start + _AT_ONCE]))

    def add(self, name: str, rows: list[dict[str, Any]], vectors: Float[np.ndarray, "n d"] | None = None) -> None:
        """Commit new rows; of a table of pictures with their vectors."""
        self._write(name, rows, vectors, lambda table, data: table.add(data))

    def replace(self, name: str, rows: list[dict[str, Any]], vectors: Float[np.ndarray, "n d"]) -> None:
        """Commit whole rows in place of those of the same id, or as new ones."""
        self._write(
            name,
            rows,
            vectors,
            lambda table, data: (
                table.merge_insert("id").when_matched_update_all().when_not_matched_insert_all().execute(data)
            ),
        )

    def move(self, name: str, rows: list[dict[str, Any]]) -> None:
        """Commit the columns `PLACE` of rows that are there, by their id."""
        if not rows:
            return
        kinds = {**{column: kind for column, (kind, _) in COLUMNS.items()}, **HIDDEN}
        fields = pa.schema([(column, kinds[column]) for column in ("id", *PLACE)])
        data = pa.Table.from_pylist(rows, fields)
        table = self.newest(name)
        self._guard(lambda: table.merge_insert("id").when_matched_update_all().execute(data))
        self._count(name, len(rows))

    def delete(self, name: str, key: str, values: Iterable[str]) -> None:
        """Remove the rows whose `key` is one of `values`; one commit for each `_AT_ONCE` of them."""
        wanted, table = list(values), self.newest(name)
        for start in range(0, len(wanted), _AT_ONCE):
            condition = one_of(key, wanted[start : start + _AT_ONCE])
            self._guard(functools.partial(table.delete, condition))
            self._count(name, 0)

    def forget_thumbnails(self, name: str) -> None:
        """Remove those of contents that no picture of the table `name` has any more."""
        kept, used = (set(self.read(self.newest(it), ["hash"])["hash"].to_pylist()) for it in (THUMBNAILS, name))
        self.delete(THUMBNAILS, "hash", sorted(kept - used))

    def tidy(self, name: str) -> None:
        """Join small files and forget old versions, if anything was committed."""
        if self._commits.pop(name, None):
            table = self.newest(name)
            self._guard(lambda: table.optimize(cleanup_older_than=_KEEP_VERSIONS))

    def index_vectors(self, name: str, width: int) -> None:
        """The approximate index for what does not fit into memory, unless there is one: `tidy` keeps that up to date.

        IVF_PQ: rows near the same centre lie together, and of each a short code is compared first.
        """
        table = self.newest(name)
        rows = table.count_rows()
        if rows < _FEWEST or any("vector" in index.columns for index in table.list_indices()):
            return
        from lancedb.index import IvfPq

        parts = next(parts for parts in (16, 8, 4, 2, 1) if width % parts == 0)
        config = IvfPq(
            distance_type="cosine",
            num_partitions=max(1, min(round(math.sqrt(rows)), rows // _FEWEST)),
            num_sub_vectors=max(1, width // parts),
        )
        self._guard(lambda: table.create_index("vector", config=config))

    def _write(
        self,
        name: str,
        rows: list[dict[str, Any]],
        vectors: Float[np.ndarray, "n d"] | None,
        commit: Callable[[Any, pa.Table], Any],
    ) -> None:
        if not rows:
            return
        table = self.newest(name)
        fields: pa.Schema = table.schema
        plain = pa.schema([field for field in fields if field.name != "vector"])
        data = pa.Table.from_pylist(rows, plain)
        if vectors is not None:
            flat = pa.array(np.ascontiguousarray(vectors, dtype=np.float32).ravel())
            column = pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1])
            data = data.append_column(fields.field("vector"), column)
        self._guard(lambda: commit(table, data))
        self._count(name, len(rows))

    def _count(self, name: str, rows: int) -> None:
        """Join small files now and then: when there are many, and as many rows in them as in the large ones."""
        since = self._commits.setdefault(name, [0, 0])
        since[0] += 1
        since[1] += rows
        if since[0] >= _COMMITS and 2 * since[1] >= self.newest(name).count_rows():
            self.tidy(name)

    def _connect(self) -> Any:
        if self._database is None:
            self._database = lancedb.connect(str(self.folder))
        return self._database

    def _guard(self, work: Callable[[], Result]) -> Result:
        """`work`, and what LanceDB says of a file that is damaged or missing as our sentence."""
        try:
            return work()
        except (RuntimeError, ValueError, OSError, pa.ArrowException) as error:
            raise DataError(damaged(self.folder, error)) from error


def one_of(key: str, values: Iterable[str]) -> str:
    """A condition in SQL."""
    quoted = ", ".join("'" + value.replace("'", "''") + "'" for value in values)
    return f"{key} IN ({quoted})"


def matrix_of(table: pa.Table) -> Float[np.ndarray, "n d"]:
    """The vectors of a table that was read with the column "vector"."""
    column = table.column("vector")
    width = column.type.list_size
    found = np.empty((len(column), width), dtype=np.float32)
    start = 0
    for chunk in column.chunks:
        found[start : start + len(chunk)] = chunk.flatten().to_numpy().reshape(-1, width)
        start += len(chunk)
    return found

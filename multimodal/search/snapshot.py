"""One version of an index, as a search sees it: rows, and the vectors too while they fit into memory.

Others may commit meanwhile; a snapshot stays as it is. Where vectors do not fit, LanceDB's approximate index answers
(IVF_PQ, refined with the whole vectors), and a sample of rows gives the background of a query.

Axes: n rows · q queries · k results · d width of a vector
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Float, Int

from multimodal.errors import ArgumentError, DataError
from multimodal.search.exact import best_rows, scores_of
from multimodal.search.relevance import UNKNOWN, Background, completed, spread
from multimodal.search.rows import ROW_COLUMNS, Row, path_of, row_of, text_of
from multimodal.search.table import Store, matrix_of
from multimodal.search.where import checked, refused

NPROBES, REFINE = 40, 20  # parts of the approximate index that are looked into; whole vectors compared, of k
_SAMPLE = 4_096  # rows whose scores stand for all
_PAIRS = 256  # rows whose cosines with each other stand for those of unrelated pictures
_OWN = ("perceptual", "mtime_ns")  # columns that are read beside those of `Row`


@dataclass(frozen=True)
class Found:
    """The best rows of one query, and what its relevance is judged by."""

    places: Int[np.ndarray, " k"]
    scores: Float[np.ndarray, " k"]  # falling
    ranks: Int[np.ndarray, " k"]  # how many of all rows score at least so high
    sample: Float[np.ndarray, " n"]  # scores of all rows, or of a sample
    looked_at: int  # rows that `where` left


class Snapshot:
    """A table of pictures at one version; may be used from several threads."""

    def __init__(self, store: Store, name: str, width: int, memory: int) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._between: Background | None = None
        self.name, self.width = name, width
        self.table = store.pinned(name)
        self.version: int = self.table.version
        self.columns = store.read(self.table, [*ROW_COLUMNS, *_OWN], row_ids=True)
        self.in_memory = len(self) * width * 4 <= memory

    def __len__(self) -> int:
        return self.columns.num_rows

    def row(self, place: int) -> Row:
        """The picture in a place."""
        return row_of(self.columns.slice(place, 1).to_pylist()[0])

    def rows(self, places: Sequence[int]) -> list[Row]:
        """The pictures in some places."""
        return [row_of(values) for values in self.columns.take(pa.array(places, pa.int64())).to_pylist()]

    @cached_property
    def places(self) -> dict[str, int]:
        """Of every id."""
        return {row: place for place, row in enumerate(self.columns.column("id").to_pylist())}

    @cached_property
    def places_by_path(self) -> dict[str, int]:
        """Of every path, as `os` takes it."""
        pairs = zip(self.columns.column("path").to_pylist(), self.columns.column("path_bytes").to_pylist(), strict=True)
        return {path_of(text, raw): place for place, (text, raw) in enumerate(pairs)}

    @property
    def matrix(self) -> Float[np.ndarray, "n d"]:
        """All vectors, read on first use."""
        with self._lock:
            return self._matrix

    @cached_property
    def _matrix(self) -> Float[np.ndarray, "n d"]:
        return matrix_of(self._store.read(self.table, ["vector"]))

    @property
    def sample(self) -> Float[np.ndarray, "n d"]:
        """Vectors that stand for all, for the background of a query."""
        with self._lock:
            return self._sample

    @cached_property
    def _sample(self) -> Float[np.ndarray, "n d"]:
        if self.in_memory:
            return self._matrix[:: max(1, len(self) // _SAMPLE)]
        places = np.linspace(0, len(self) - 1, min(_SAMPLE, len(self))).astype(int)
        taken = self._store._guard(lambda: self.table.take_offsets(places.tolist()).select(["vector"]).to_arrow())
        return matrix_of(taken)

    @cached_property
    def newest_first(self) -> Int[np.ndarray, " n"]:
        """Places by the time of the picture, or of its file where that is not known."""
        taken = self.columns.column("taken").cast(pa.int64()).fill_null(0).to_numpy()
        known = self.columns.column("taken").is_valid().to_numpy()
        modified = self.columns.column("modified").cast(pa.int64()).to_numpy()
        return np.argsort(-np.where(known, taken, modified), kind="stable")

    def matching(self, where: str | None) -> Bool[np.ndarray, " n"] | None:
        """Which rows `where` is true of; None: all.

        Raises:
            ArgumentError: it is not a condition over the columns.
        """
        if where is None:
            return None
        clause = checked(where)
        query = self.table.search().where(clause).select(["id"]).with_row_id(True)
        try:
            found = query.to_arrow().column("_rowid").to_numpy()
        except (ValueError, RuntimeError) as error:
            if "Not found" in str(error):  # the version was tidied away: not the fault of the clause
                raise DataError(f"This version of the index is gone: {error}") from error
            raise refused(where, error) from error
        return np.isin(self._row_ids, found)

    def browse(self, where: str | None, offset: int, limit: int | None) -> list[Row]:
        """Some of the pictures that `where` is true of, newest first."""
        among = self.matching(where)
        places = self.newest_first if among is None else self.newest_first[among[self.newest_first]]
        return self.rows(places[offset : None if limit is None else offset + limit].tolist())

    def count(self, where: str | None) -> int:
        """How many pictures `where` is true of."""
        among = self.matching(where)
        return len(self) if among is None else int(among.sum())

    def find(self, picture: str | Path) -> Row:
        """The picture of an id, or of a path.

        Raises:
            ArgumentError: there is none.
        """
        if isinstance(picture, str) and picture in self.places:
            return self.row(self.places[picture])
        place = self.places_by_path.get(os.path.realpath(picture))
        if place is None:
            raise ArgumentError(f"{text_of(str(picture))} is neither the id nor the path of a picture in the index.")
        return self.row(place)

    def vector(self, place: int) -> Float[np.ndarray, " d"]:
        """The vector in a place."""
        if self.in_memory:
            return self.matrix[place]
        return self.vectors([place])[0]

    def vectors(self, places: Sequence[int]) -> Float[np.ndarray, "k d"]:
        """The vectors in some places."""
        if self.in_memory:
            return self.matrix[list(places)]
        rows = self._row_ids[list(places)]
        query = self.table.take_row_ids(rows.tolist()).select(["vector"]).with_row_id()
        found = self._store._guard(query.to_arrow)  # in an order of its own
        order = np.argsort(found.column("_rowid").to_numpy().astype(np.int64))
        ids = found.column("_rowid").to_numpy().astype(np.int64)
        return matrix_of(found)[order[np.searchsorted(ids, rows, sorter=order)]]

    def best(self, queries: Float[np.ndarray, "q d"], k: int, where: str | None = None) -> Iterator[Found]:
        """The `k` best rows of each query."""
        if not len(self):
            nothing = np.zeros(0)
            yield from (Found(nothing.astype(int), nothing, nothing.astype(int), nothing, 0) for _ in queries)
            return
        among = self.matching(where)
        count = len(self) if among is None else int(among.sum())
        if not self.in_memory:
            for query in queries:
                yield self._approximate(query, k, where, count)
            return
        step = max(1, len(self) // _SAMPLE)
        for query, scores in zip(queries, scores_of(self.matrix, queries), strict=True):
            places, exact = best_rows(self.matrix, query, scores, k, among=among)
            ranks = np.arange(1, len(places) + 1)
            if among is not None:
                ranks = np.maximum(ranks, len(scores) - np.searchsorted(np.sort(scores), scores[places]))
            yield Found(places, exact, ranks, scores[::step], count)

    @property
    def between_pictures(self) -> Background:
        """How the pictures score with each other."""
        sample = self.sample
        with self._lock:
            if self._between is None:
                self._between = self._compared(sample)
            return self._between

    @staticmethod
    def _compared(sample: Float[np.ndarray, "n d"]) -> Background:
        some = sample[:: max(1, len(sample) // _PAIRS)]
        if len(some) < 2:
            return UNKNOWN
        cosines = (some @ some.T)[np.triu_indices(len(some), 1)]
        return completed(spread(cosines), len(cosines), UNKNOWN)

    def _approximate(self, query: Float[np.ndarray, " d"], k: int, where: str | None, count: int) -> Found:
        asked = self.table.search(query, vector_column_name="vector").distance_type("cosine")
        asked = asked.nprobes(NPROBES).refine_factor(REFINE).limit(k).select(["id", "_distance"]).with_row_id(True)
        if where is not None:
            asked = asked.where(checked(where), prefilter=True)
        found = self._store._guard(asked.to_arrow)
        scores = 1.0 - found.column("_distance").to_numpy().astype(np.float64)
        places = self._by_row_id[
            np.searchsorted(self._row_ids, found.column("_rowid").to_numpy(), sorter=self._by_row_id)
        ]
        order = np.lexsort((places, -scores))
        sample = self.sample @ query
        ranks = np.arange(1, len(places) + 1)
        if where is not None:
            higher = np.searchsorted(np.sort(-sample), -scores[order], side="right")
            ranks = np.maximum(ranks, higher * len(self) // len(sample))
        return Found(places[order], scores[order], ranks, sample, count)

    @cached_property
    def _row_ids(self) -> Int[np.ndarray, " n"]:
        return self.columns.column("_rowid").to_numpy().astype(np.int64)

    @cached_property
    def _by_row_id(self) -> Int[np.ndarray, " n"]:
        return np.argsort(self._row_ids)


def place_of_id(snapshot: Snapshot, row: Any) -> int:
    """Where the picture of an id is.

    Raises:
        ArgumentError: there is none.
    """
    place = snapshot.places.get(row) if isinstance(row, str) else None
    if place is None:
        raise ArgumentError(f"There is no picture of id {row!r} in the index.")
    return place

"""Bring an index up to date with folders: read what is new, embed it, commit it a batch at a time.

What a batch gave is committed before the next one goes through the model, so that a process killed at any moment
loses that one batch at most. A file that was moved keeps its row, and bytes that are known are not embedded again.
Rows of files that are gone are removed at the end, when all moved ones have been found.

Axes: b batch · d width of a vector
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from multimodal.errors import DataError
from multimodal.progress import track
from multimodal.search.engines import Engine
from multimodal.search.known import Known, Skipped, State, known_files, remember_skipped, skipped_files
from multimodal.search.reading import Candidate, quietly_broken
from multimodal.search.report import SyncReport
from multimodal.search.rows import place_of
from multimodal.search.scan import Changes, below, check_emptied, compare, list_files
from multimodal.search.session import Session
from multimodal.search.table import SKIPPED, THUMBNAILS, Store, matrix_of


def sync(
    session: Session, roots: tuple[str, ...], *, batch_size: int, progress: bool, retry: bool, engine: Engine
) -> SyncReport:
    """Bring the index up to date with the resolved folders `roots`, while it is locked for writing.

    `engine` reads and embeds; what it gives is committed here, in the one process that holds the lock.

    Raises:
        ArgumentError: another model.
        DataError: a folder is empty, or cannot be listed; nothing was changed.
    """
    start = time.monotonic()
    store = Store(session.path)
    manifest = session.manifest
    listing = list_files(roots, str(session.path))
    known = known_files(store, manifest.table) if manifest and store.has(manifest.table) else {}
    check_emptied(roots, listing, known)
    manifest = session.prepare(roots)
    noted = skipped_files(store)
    changes = compare(listing, roots, known, {} if retry else noted)
    run = _Run(store, manifest.table, engine, known, changes)

    again = set(changes.candidates)
    run.skipped += listing.closed
    run.skipped += [
        Skipped(path, reason) for path, (_, reason) in noted.items() if path in listing.files and path not in again
    ]
    candidates = [Candidate(path, listing.files[path]) for path in changes.candidates]
    steps = run.steps(candidates, batch_size) if candidates else iter(())
    with quietly_broken():
        for _ in track(steps, len(candidates), "Indexing", size=int) if progress else steps:
            pass
    store.move(manifest.table, run.places)
    scope = tuple(map(below, roots))
    settled = [path for path in noted if path.startswith(scope) and (path in again or path not in listing.files)]
    remember_skipped(store, settled, run.bad)
    store.delete(manifest.table, "id", [row.id for row in run.gone.values()])
    if run.gone or run.changed:
        store.forget_thumbnails(manifest.table)
    for name in (manifest.table, THUMBNAILS, SKIPPED):
        store.tidy(name)
    width = manifest.model.width
    if (len(known) + run.new) * width * 4 > session.memory:
        store.index_vectors(manifest.table, width)
    return SyncReport(
        new=run.new,
        changed=run.changed,
        moved=run.moved,
        removed=len(run.gone),
        unchanged=run.unchanged,
        skipped=tuple(run.skipped),
        embedded=run.embedded,
        seconds=time.monotonic() - start,
    )


class _Run:
    """The candidates of one sync, read, embedded and committed."""

    def __init__(self, store: Store, table: str, engine: Engine, known: dict[str, Known], changes: Changes) -> None:
        self.new = self.changed = self.moved = self.embedded = 0
        self.unchanged = changes.unchanged
        self.gone = changes.gone  # files that were there, but for those that turn up elsewhere
        self.skipped: list[Skipped] = []
        self.bad: dict[str, tuple[State, str]] = {}  # files that could not be read, to be remembered
        self.places: list[dict[str, Any]] = []  # of files that were moved, or written to without a change
        self._store, self._table, self._engine, self._known = store, table, engine, known
        self._begun = store.pinned(table)
        self._ids = {row.id for row in known.values()}
        self._copies: list[Candidate] = []  # files whose bytes another file has
        self._by_hash: dict[str, list[str]] = {}  # paths of the files that have the same bytes
        for path, row in known.items():
            self._by_hash.setdefault(row.hash, []).append(path)

    def steps(self, candidates: list[Candidate], batch_size: int) -> Iterator[int]:
        """All the work with pictures; after each batch how many candidates are done."""
        yield from self._embedded(candidates, batch_size, set(self._by_hash))
        left = self._copy()  # each is decoded now: of equal files that cannot be read, each is to be named
        for _ in self._embedded(left, batch_size, None):  # seen already: they count for nothing
            yield 0

    def _embedded(self, candidates: list[Candidate], batch_size: int, known: set[str] | None) -> Iterator[int]:
        """Read, embed and commit what has none of the hashes `known`; None: all of them."""
        if not candidates:
            return
        with closing(self._engine(candidates, known, batch_size)) as parts:
            for part in parts:
                self._commit(part.read, part.vectors)
                self.embedded += len(part.read)
                yield len(part.read) + self._settle(part.failed)

    def _commit(self, batch: Iterable[Candidate], vectors: Float[np.ndarray, "b d"]) -> None:
        """A batch; its thumbnails first."""
        read = list(batch)
        self._store.add(THUMBNAILS, [{"hash": it.hash, "jpeg": it.jpeg, "tiny": it.tiny} for it in read])
        self._put([self._row(it, it.facts) for it in read], vectors)
        for it in read:  # the list of candidates lives as long as the run
            it.jpeg, it.tiny, it.facts = b"", b"", {}

    def _put(self, rows: list[dict[str, Any]], vectors: Float[np.ndarray, "b d"]) -> None:
        """Commit whole rows, in place of those of the same id."""
        old = sum(row["id"] in self._ids for row in rows)
        (self._store.replace if old else self._store.add)(self._table, rows, vectors)
        self.changed += old
        self.new += len(rows) - old

    def _row(self, candidate: Candidate, facts: dict[str, Any]) -> dict[str, Any]:
        """A row of the table; a file that was written to keeps its id."""
        before = self._known.get(candidate.path)
        row = before.id if before else secrets.token_hex(8)
        return {**facts, **place_of(candidate.path, *candidate.state), "id": row, "hash": candidate.hash}

    def _settle(self, failed: Sequence[tuple[Candidate, str]]) -> int:
        """Decide about candidates that were not decoded; how many there were."""
        for candidate, reason in failed:
            if candidate.known:
                self._meet(candidate)
            else:
                self._refuse(candidate, reason)
        return len(failed)

    def _meet(self, candidate: Candidate) -> None:
        """A file whose bytes are known: written to without a change, moved, or a copy."""
        before = self._known.get(candidate.path)
        place = place_of(candidate.path, *candidate.state)
        if before and before.hash == candidate.hash:
            self.places.append({**place, "id": before.id})
            self.unchanged += 1
            return
        owners = self._by_hash.get(candidate.hash, [])
        old = None if before else next(filter(self._is_gone, owners), None)
        if old is None:
            self._copies.append(candidate)
            return
        owners.remove(old)
        self.gone.pop(old, None)
        self.places.append({**place, "id": self._known[old].id})
        self.moved += 1

    def _is_gone(self, path: str) -> bool:
        """Whether a file of the index is not there any more, in a folder of this run or of an earlier one."""
        return path in self.gone or (not os.path.lexists(path) and Path(path).parent.is_dir())

    def _copy(self) -> list[Candidate]:
        """Rows for files whose bytes another one has: vector and facts are the same. Those without any are returned.

        First from what the index was at the beginning: since then a row may have been overwritten.
        """
        waiting: dict[str, list[Candidate]] = {}
        for candidate in self._copies:
            waiting.setdefault(candidate.hash, []).append(candidate)
        for table in (self._begun, self._store.pinned(self._table)):
            try:
                self._copy_from(table, waiting)
            except DataError:  # after a long run that version has been tidied away
                if table is not self._begun:
                    raise
        return [candidate for several in waiting.values() for candidate in several]

    def _copy_from(self, table: Any, waiting: dict[str, list[Candidate]]) -> None:
        for found in self._store.read_in(table, table.schema.names, "hash", list(waiting)):
            facts = found.drop_columns(["vector"]).to_pylist()
            pairs = [(i, it) for i, row in enumerate(facts) for it in waiting.pop(row["hash"], [])]
            if pairs:
                rows = [self._row(candidate, facts[i]) for i, candidate in pairs]
                self._put(rows, matrix_of(found)[[i for i, _ in pairs]])

    def _refuse(self, candidate: Candidate, reason: str) -> None:
        self.skipped.append(Skipped(candidate.path, reason))
        if os.path.lexists(candidate.path):
            self.bad[candidate.path] = candidate.state, reason
        if candidate.path in self._known:  # what its row says is no longer so
            self.gone[candidate.path] = self._known[candidate.path]

"""All pictures of an index embedded anew with another model, while searches go on with the old vectors.

New vectors are collected in a table of their own, by content and a batch at a time, so that a migration that was
killed goes on where it stopped, whatever was synced in between. When all are there, the new table of pictures is
written beside the old one, and the manifest, replaced at once, puts it in force.

Axes: b batch · d width of a vector
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import UInt8
from torch import Tensor

from multimodal.errors import DataError
from multimodal.media import MediaError
from multimodal.progress import track
from multimodal.search.embedder import Embedder, LazyModel, ModelInfo
from multimodal.search.known import Skipped, known_files
from multimodal.search.manifest import Manifest, write_manifest
from multimodal.search.reading import Candidate, content_hash, look, quietly_broken, read_file
from multimodal.search.rows import path_of, text_of
from multimodal.search.scan import resolved
from multimodal.search.session import Session
from multimodal.search.table import Store, matrix_of
from multimodal.tokenizers.image_batches import read_batches

STAGING = "migration"
_AT_ONCE = 8_192  # rows
_SHOWN = 10


@dataclass(frozen=True, kw_only=True)
class MigrationReport:
    """What a migration did."""

    before: str  # models
    after: str
    images: int  # rows with new vectors
    embedded: int  # pictures that went through the model, this time
    skipped: tuple[Skipped, ...]  # pictures that are no longer in the index
    seconds: float

    def __str__(self) -> str:
        lines = [
            f"{self.images:,} pictures now have vectors of {self.after}, before of {self.before}; {self.embedded:,} "
            f"embedded in {self.seconds:.1f} s"
        ]
        lines += [f"left out: {skip.reason}" for skip in self.skipped[:_SHOWN]]
        if len(self.skipped) > _SHOWN:
            lines.append(f"... and {len(self.skipped) - _SHOWN:,} more left out")
        return "\n".join(lines)


def migrate(session: Session, model: Any, *, batch_size: int, progress: bool) -> MigrationReport:
    """Embed with `model`, an object or what `mm.load` takes, while the index is locked for writing.

    Raises:
        ArgumentError: not a model.
        DataError: a folder is missing, or no picture can be read; the index stays as it was.
    """
    start = time.monotonic()
    manifest = session.made()
    resolved(manifest.folders)
    lazy = LazyModel(model, None, **session.placing)
    after = lazy.info()
    done = functools.partial(MigrationReport, before=manifest.model.name, after=after.name)
    if (after.fingerprint, after.transform) == (manifest.model.fingerprint, manifest.model.transform):
        write_manifest(session.path, replace(manifest, model=after, migration=None))
        session.change_model(lazy)
        return done(images=len(session.snapshot()), embedded=0, skipped=(), seconds=time.monotonic() - start)

    store = Store(session.path)
    for path in session.path.glob("images-*.lance"):  # of a migration that was killed when it was as good as done
        if path.stem != manifest.table:
            store.drop(path.stem)
    _begin(store, session.path, manifest, after)
    staged = set(store.read(store.newest(STAGING), ["hash"]).column("hash").to_pylist())
    waiting = _candidates(store, manifest.table, staged)
    skipped: list[Skipped] = []
    steps = _embedded(store, lazy.get(), waiting, batch_size, skipped)
    with quietly_broken():
        embedded = sum(track(steps, len(waiting), "Embedding anew", size=int) if progress else steps)

    table = f"images-{int(manifest.table.rpartition('-')[2]) + 1}"
    images, lost = _assemble(store, manifest.table, table, after.width)
    skipped = [skip for skip in skipped if skip.path in lost]
    skipped += [
        Skipped(path, f"{text_of(path)} is known by its vector alone.") for path in lost - {s.path for s in skipped}
    ]
    if not images:
        store.drop(table)
        raise DataError(
            f"None of the pictures of {session.path} can be embedded anew, for example: {skipped[0].reason} The index "
            "stays as it was."
        )
    if images * after.width * 4 > session.memory:
        store.index_vectors(table, after.width)
    write_manifest(session.path, replace(manifest, table=table, model=after, migration=None))
    session.change_model(lazy)
    store.drop(manifest.table)
    store.drop(STAGING)
    return done(images=images, embedded=embedded, skipped=tuple(skipped), seconds=time.monotonic() - start)


def _begin(store: Store, path: Any, manifest: Manifest, after: ModelInfo) -> None:
    """An empty staging table, unless a migration to the same model was under way."""
    begun = manifest.migration
    same = begun is not None and (begun.fingerprint, begun.transform) == (after.fingerprint, after.transform)
    if same and store.has(STAGING):
        return
    store.drop(STAGING)
    store.create_staging(STAGING, after.width)
    write_manifest(path, replace(manifest, migration=after))


def _candidates(store: Store, table: str, staged: set[str]) -> list[Candidate]:
    """A file for each content that has no new vector yet."""
    found = {row.hash: Candidate(path, row.state, hash=row.hash) for path, row in known_files(store, table).items()}
    return [candidate for content, candidate in found.items() if content and content not in staged]


def _embedded(
    store: Store, model: Embedder, candidates: list[Candidate], batch_size: int, skipped: list[Skipped]
) -> Iterator[int]:
    """Embed and commit; after each batch how many it had."""
    failed: list[tuple[Any, str]] = []
    for batch in read_batches(candidates, _reader(model.transform), batch_size=batch_size, errors=failed):
        vectors = np.asarray(model.embed_pixels(batch.pixels), dtype=np.float32)
        store.add(STAGING, [{"hash": candidate.hash} for candidate in batch.sources], vectors)
        for candidate in batch.sources:
            candidate.jpeg, candidate.tiny, candidate.facts = b"", b"", {}
        yield len(vectors)
    skipped += [Skipped(candidate.path, reason) for candidate, reason in failed]


def _reader(transform: Any) -> Callable[[Candidate], UInt8[Tensor, "3 h w"]]:
    def read(candidate: Candidate) -> UInt8[Tensor, "3 h w"]:
        data = read_file(candidate.path)
        if content_hash(data) != candidate.hash:
            raise MediaError(f"{text_of(candidate.path)} was written to since the last sync; sync again to add it.")
        return look(candidate, data, transform)

    return read


def _assemble(store: Store, old: str, new: str, width: int) -> tuple[int, set[str]]:
    """The new table of pictures: old columns, new vectors. How many rows, and the paths that have no vector."""
    store.drop(new)
    store.create(new, width)
    table, staging = store.pinned(old), store.pinned(STAGING)
    names = [name for name in table.schema.names if name != "vector"]
    rows = store.read(table, names)
    images, lost = 0, set()
    for start in range(0, rows.num_rows, _AT_ONCE):
        part = rows.slice(start, _AT_ONCE).to_pylist()
        vectors: dict[str, Any] = {}
        for found in store.read_in(staging, ["hash", "vector"], "hash", {row["hash"] for row in part}):
            vectors |= zip(found.column("hash").to_pylist(), matrix_of(found), strict=True)
        kept = [row for row in part if row["hash"] in vectors]
        lost |= {path_of(row["path"], row["path_bytes"]) for row in part if row["hash"] not in vectors}
        if kept:
            store.add(new, kept, np.stack([vectors[row["hash"]] for row in kept]))
        images += len(kept)
    store.tidy(new)
    return images, lost

"""One of Ray's workers, which reads, hashes, decodes and embeds batches of files, and the tables in which it answers.

Paths, and a model that is given as a folder, must mean the same here as in the process that asks, whose part is
`ray_engine.py`.

Axes: b batch · d width of a vector
"""

from __future__ import annotations

import io
import os
import threading
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from multimodal.errors import ArgumentError, DataError
from multimodal.search.embedder import Embedder, ModelInfo, check_same, describe
from multimodal.search.known import State
from multimodal.search.reading import Candidate, Part, ReadEarlier, content_hash, look, read_file
from multimodal.search.rows import PLACE, schema
from multimodal.search.table import matrix_of
from multimodal.tokenizers.image_batches import read_batches

HASH = 32  # characters of a content hash
_REFUSED = -1  # the place in an answer that only says why there is none
_OWN = {  # columns of an answer; beside them the facts and the vector
    "place": pa.int64(),  # in the list of candidates
    "hash": pa.string(),
    "known": pa.bool_(),
    "reason": pa.string(),  # why there is no vector
    "jpeg": pa.binary(),
    "tiny": pa.binary(),
}


@dataclass(frozen=True, kw_only=True)
class ModelHow:
    """How a worker gets the model of an index."""

    info: ModelInfo  # what it must be
    source: str | None  # for `mm.load`
    packed: Any  # else a reference to its bytes
    device: str
    dtype: Any
    index: str  # for messages

    def load(self) -> Embedder:
        """The model.

        Raises:
            ArgumentError: it is another one here.
            DataError: it cannot be loaded here.
        """
        if self.source is None:
            import ray

            stream = io.BytesIO(ray.get(self.packed))
            found = torch.load(stream, map_location=self.device, weights_only=False)  # of the process that asks
        else:
            from multimodal.hub.loading import load

            found: Any = load(self.source, device=self.device, dtype=self.dtype)
        check_same(self.index, self.info, describe(found, self.source))
        return found


class Worker:
    """Lists of paths to answers; called by two threads."""

    def __init__(self, how: ModelHow, hashes: Any, cpus: int) -> None:
        import ray

        torch.set_num_threads(cpus)
        self._how, self._cpus = how, cpus
        self._hashes: np.ndarray = ray.get(hashes)  # sorted
        self._model: Embedder | None = None
        self._lock = threading.Lock()

    def __call__(self, batch: pa.Table) -> pa.Table:
        """A row for each of the `paths` in the one row of `batch`, the first of which is candidate `start`."""
        try:
            with self._lock:  # not in `__init__`: Ray would not tell why that failed
                model = self._model = self._model or self._how.load()
        except (ArgumentError, DataError) as error:  # nor of what kind an error here was
            row = {"place": _REFUSED, "reason": str(error)}
            return answer([row], np.zeros((1, self._how.info.width), dtype=np.float32))
        [asked] = batch.to_pylist()
        places = {os.fsdecode(path): asked["start"] + i for i, path in enumerate(asked["paths"])}
        candidates = [Candidate(path, State(-1, 0)) for path in places]
        vectors = np.zeros((len(candidates), model.width), dtype=np.float32)  # those of unread files stay 0
        read: list[Candidate] = []
        failed: list[tuple[Any, str]] = []

        def pixels_of(candidate: Candidate) -> UInt8[Tensor, "3 h w"]:
            return self._pixels(candidate, model)

        for ready in read_batches(candidates, pixels_of, batch_size=len(places), errors=failed, threads=self._cpus):
            read += ready.sources
            with self._lock:
                vectors[: len(read)] = model.embed_pixels(ready.pixels)
        rows: list[dict[str, Any]] = [{"jpeg": it.jpeg, "tiny": it.tiny, **it.facts} for it in read]
        rows += [{"known": it.known, "reason": reason} for it, reason in failed]
        for row, it in zip(rows, [*read, *(it for it, _ in failed)], strict=True):
            row |= {"place": places[it.path], "hash": it.hash}
        return answer(rows, vectors)

    def _pixels(self, candidate: Candidate, model: Embedder) -> UInt8[Tensor, "3 h w"]:
        data = read_file(candidate.path)
        candidate.hash = content_hash(data)
        wanted = candidate.hash.encode()
        at = np.searchsorted(self._hashes, wanted)
        candidate.known = bool(at < len(self._hashes) and self._hashes[at] == wanted)
        if candidate.known:
            raise ReadEarlier(candidate.path)
        return look(candidate, data, model.transform)


def part_of(table: pa.Table, candidates: list[Candidate], done: set[int], known: set[str] | None) -> Part:
    """What an answer adds: of a file that was read twice the first, and of equal files the first to be embedded.

    `done` are places in `candidates`, `known` hashes; both grow. None: equal files are all taken.

    Raises:
        DataError: the worker has no such model.
    """
    read, rows, failed = [], [], []
    for row, found in enumerate(table.drop_columns(["vector"]).to_pylist()):
        place, content, was_known, reason, jpeg, tiny = (found.pop(name) for name in _OWN)
        if place == _REFUSED:
            raise DataError(f"A worker of Ray cannot use the model: {reason}")
        if place in done:
            continue
        done.add(place)
        candidate = candidates[place]
        candidate.hash = content
        candidate.known = bool(was_known) or (reason is None and known is not None and content in known)
        if candidate.known or reason is not None:
            failed.append((candidate, reason or ""))
            continue
        if known is not None:
            known.add(content)
        candidate.jpeg, candidate.tiny, candidate.facts = jpeg, tiny, found
        read.append(candidate)
        rows.append(row)
    return Part(read, matrix_of(table)[rows], failed)


def packed(model: Embedder, pickling: Any) -> UInt8[np.ndarray, " n"]:
    """The bytes of a model object, for a process that may have other devices."""
    stream = io.BytesIO()
    torch.save(model, stream, pickle_module=pickling)
    return np.frombuffer(stream.getbuffer(), dtype=np.uint8)


def answer(rows: list[dict[str, Any]], vectors: Float[np.ndarray, "b d"]) -> pa.Table:
    """Typed columns, also where all values of a batch are missing."""
    fields = schema(vectors.shape[1])
    facts = [fields.field(name) for name in fields.names if name not in (*PLACE, "id", "hash", "vector")]
    table = pa.Table.from_pylist(rows, pa.schema([*(pa.field(*column) for column in _OWN.items()), *facts]))
    column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), vectors.shape[1])
    return table.append_column(fields.field("vector"), column)

"""Who reads and embeds the pictures of a sync: what an engine is, the one of this process, and the choice.

An engine is given the candidates of a sync and hands them back in parts, as soon as each is known; `sync.py` commits
them. The engine for many machines is in `ray_engine.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeAlias

import numpy as np

from multimodal.errors import ArgumentError
from multimodal.search.embedder import Embedder
from multimodal.search.ray_engine import RayConfig, RayEngine
from multimodal.search.reading import Candidate, Part, Reader
from multimodal.search.session import Session
from multimodal.tokenizers.image_batches import read_batches

# Candidates, hashes that need no decoding (each that is met joins them; None: decode everything), and a batch size.
Engine: TypeAlias = Callable[[list[Candidate], set[str] | None, int], Generator[Part, None, None]]


def chosen(engine: Any, session: Session) -> AbstractContextManager[Engine]:
    """The engine "local", "ray" or of a `RayConfig`, ready while it is entered.

    Raises:
        ArgumentError: there is no such engine, or Ray is not installed.
    """
    if engine == "local":
        return nullcontext(in_process(session.model))
    if engine == "ray":
        engine = RayConfig()
    if not isinstance(engine, RayConfig):
        raise ArgumentError(f"engine is {engine!r}; it must be 'local', 'ray' or a RayConfig.")
    return RayEngine(session, engine)


def in_process(model: Callable[[], Embedder]) -> Engine:
    """The engine of this process: threads decode the next pictures while the model works."""

    def parts(candidates: list[Candidate], known: set[str] | None, batch_size: int) -> Generator[Part, None, None]:
        embedder = model()
        failed: list[tuple[Any, str]] = []
        reader = Reader(embedder.transform, known)
        for batch in read_batches(candidates, reader, batch_size=batch_size, errors=failed):
            vectors = np.asarray(embedder.embed_pixels(batch.pixels), dtype=np.float32)
            now, failed[:] = list(failed), []
            yield Part(batch.sources, vectors, now)
        if failed:
            yield Part((), np.empty((0, embedder.width), dtype=np.float32), failed)

    return parts

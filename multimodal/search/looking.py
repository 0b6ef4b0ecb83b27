"""From what was asked to results: vectors of queries, the best rows, their relevance.

Axes: q queries · n texts · p prompts · d width of a vector
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from multimodal.errors import ArgumentError
from multimodal.search.embedder import Embedder
from multimodal.search.evidence import evidence, trained_scale
from multimodal.search.prior import PROMPTS, prior_of
from multimodal.search.query import Query, vector_of
from multimodal.search.relevance import RELEVANT, Background, completed, relevances, spread
from multimodal.search.results import Hit, Results
from multimodal.search.rows import Row
from multimodal.search.snapshot import Found, Snapshot, place_of_id


class Looker:
    """Searches; `model` gives the model and is asked only when a query needs it."""

    def __init__(self, model: Callable[[], Embedder]) -> None:
        self._model = model
        self._prompts: tuple[Embedder, Float[np.ndarray, "p d"]] | None = None
        self._judged: tuple[Snapshot, Background] | None = None

    def search(
        self,
        snapshot: Snapshot,
        queries: Sequence[Query],
        k: int,
        *,
        where: str | None,
        all: bool,
        thumbnails: Callable[[Sequence[Row]], list[bytes]],
    ) -> list[Results]:
        """Results of each query, in order."""
        if not len(snapshot):
            return [Results((), query=str(it), total=0, nearest=None, thumbnails=thumbnails) for it in queries]
        if not queries:
            return []
        vectors = self._vectors(snapshot, queries)
        results = []
        for query, found in zip(queries, snapshot.best(vectors, k, where), strict=True):
            hits = self._hits(snapshot, query, found)
            shown = hits if all else [hit for hit in hits if hit.relevance >= RELEVANT]
            nearest = hits[0] if hits else None
            words, total = str(query), found.looked_at
            results.append(Results(shown, query=words, total=total, nearest=nearest, thumbnails=thumbnails))
        return results

    def _hits(self, snapshot: Snapshot, query: Query, found: Found) -> list[Hit]:
        prior = prior_of(query, snapshot, lambda: self._others(snapshot))
        background = completed(spread(found.sample), len(found.sample), prior)
        nats = self._evidence(snapshot, found) if {part.kind for part in query.parts} == {"text"} else None
        judged = relevances(found.scores, found.ranks, len(snapshot), background, nats)
        rows = snapshot.rows(found.places.tolist())
        pairs = zip(rows, found.scores.tolist(), judged.tolist(), strict=True)
        return [Hit(row, score, relevance) for row, score, relevance in pairs]

    def _evidence(self, snapshot: Snapshot, found: Found) -> Float[np.ndarray, " k"] | None:
        """What the model says for each result; None: it was not trained to compare."""
        scale = trained_scale(self._model())
        if scale is None or not len(found.places):
            return None
        pictures = snapshot.vectors(found.places.tolist())
        return evidence(found.scores, pictures, self._captions(), scale)

    def _vectors(self, snapshot: Snapshot, queries: Sequence[Query]) -> Float[np.ndarray, "q d"]:
        def image(source: Any) -> Float[np.ndarray, " d"]:
            place = _indexed(snapshot, source)
            return snapshot.vector(place) if place is not None else self._picture(source)

        def row(name: str) -> Float[np.ndarray, " d"]:
            return snapshot.vector(place_of_id(snapshot, name))

        return np.stack([vector_of(query, self._texts, image, row) for query in queries])

    def _texts(self, texts: list[str]) -> Float[np.ndarray, "n d"]:
        model = self._model()
        if getattr(model, "tokenizer", True) is None:
            raise ArgumentError(
                "The model of this index has no text tower, so it cannot be searched by words; search with a picture, "
                "as in index.search(Path('like-this.jpg')), or migrate to a model that has one."
            )
        return np.asarray(model.embed_texts(texts), dtype=np.float32)

    def _picture(self, source: Any) -> Float[np.ndarray, " d"]:
        model = self._model()
        pixels = model.transform.read(source)
        return np.asarray(model.embed_pixels(pixels[None]), dtype=np.float32)[0]

    def _others(self, snapshot: Snapshot) -> Background:
        """How texts that nobody asked for score with the pictures; computed once for a model and a version."""
        captions = self._captions()
        if self._judged is None or self._judged[0] is not snapshot:
            self._judged = snapshot, spread((captions @ snapshot.sample.T).ravel())
        return self._judged[1]

    def _captions(self) -> Float[np.ndarray, "p d"]:
        """Vectors of everyday captions; computed once for a model."""
        model = self._model()
        if self._prompts is None or self._prompts[0] is not model:
            self._prompts = model, self._texts(list(PROMPTS))
        return self._prompts[1]


def _indexed(snapshot: Snapshot, source: Any) -> int | None:
    """Where the picture of a path is, if it is in the index and the file is as it was."""
    if not isinstance(source, str | os.PathLike):
        return None
    path = os.path.realpath(source)
    place = snapshot.places_by_path.get(os.fsdecode(path))
    if place is None:
        return None
    try:
        status = Path(source).stat()
    except OSError:
        return None
    known = snapshot.columns.slice(place, 1).select(["bytes", "mtime_ns"]).to_pylist()[0]
    return place if (status.st_size, status.st_mtime_ns) == (known["bytes"], known["mtime_ns"]) else None

"""What is searched for: a text, a picture, or a weighted mixture of several.

    "red bike" + Query.image("mine.jpg") - "car"
    0.5 * Query.text("snow") + Query.image("mine.jpg")

A mixture is the sum of the unit vectors of its parts times their weights, made a unit vector again.

Axes: n parts · d width of a vector
"""

from __future__ import annotations

import functools
import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

from multimodal.errors import ArgumentError
from multimodal.search.rows import text_of

MAX_LETTERS = 2_000  # of one text: several times what any text tower reads

_SHOWN = 80  # letters of a text that are repeated to the person who wrote it

Kind = Literal["text", "image", "id"]


@dataclass(frozen=True, eq=False)
class Part:
    """One text or picture of a query, and how much it counts."""

    kind: Kind
    value: Any
    weight: float

    def __str__(self) -> str:
        if self.kind != "image":
            return repr(self.value if len(self.value) <= _SHOWN else self.value[:_SHOWN] + "…")
        return text_of(os.fspath(self.value)) if isinstance(self.value, str | os.PathLike) else "a picture"


@dataclass(frozen=True, eq=False)
class Query:
    """Parts that are added up; made by `Query.text`, `Query.image`, `Query.id`, and with + - *."""

    parts: tuple[Part, ...]

    @staticmethod
    def text(text: str) -> Query:
        """What a text describes.

        Raises:
            ArgumentError: it is empty.
        """
        if not isinstance(text, str) or not text.strip():
            raise ArgumentError("The query is empty; describe what should be in the picture, as in 'a dog on a beach'.")
        return Query((Part("text", text, 1.0),))

    @staticmethod
    def image(image: Any) -> Query:
        """What is like a picture: a path, the bytes of a file, a PIL image or an array."""
        return Query((Part("image", image, 1.0),))

    @staticmethod
    def id(row: str) -> Query:
        """What is like a picture of the index; needs no model."""
        return Query((Part("id", row, 1.0),))

    def __add__(self, other: Any) -> Query:
        return Query(self.parts + query_of(other).parts)

    def __radd__(self, other: Any) -> Query:
        return query_of(other) + self

    def __neg__(self) -> Query:
        return self * -1

    def __sub__(self, other: Any) -> Query:
        return self + -query_of(other)

    def __rsub__(self, other: Any) -> Query:
        return query_of(other) - self

    def __mul__(self, weight: Any) -> Query:
        if not isinstance(weight, int | float) or not np.isfinite(weight):
            raise ArgumentError(f"A query was multiplied by {weight!r}; a weight is a number.")
        return Query(tuple(Part(part.kind, part.value, part.weight * weight) for part in self.parts))

    __rmul__ = __mul__

    def __str__(self) -> str:
        words = ""
        for part in self.parts:
            sign = " - " if part.weight < 0 else " + " if words else ""
            size = abs(part.weight)
            words += sign + ("" if size == 1 else f"{size:g} * ") + str(part)
        return words.strip()


def query_of(query: Any) -> Query:
    """A text is a text; a path object, bytes, a PIL image or an array is a picture.

    Raises:
        ArgumentError: an empty text, or none of these.
    """
    if isinstance(query, Query):
        return query
    if isinstance(query, str):
        return Query.text(query)
    if isinstance(query, bytes | os.PathLike) or hasattr(query, "convert") or hasattr(query, "read"):
        return Query.image(query)
    if getattr(query, "ndim", None) in (2, 3):
        return Query.image(query)
    kind = type(query).__name__
    raise ArgumentError(f"A query is a text, a Path, a PIL image, an array (h w 3) or a Query, not {kind}.")


def vector_of(
    query: Query,
    texts: Callable[[list[str]], Float[np.ndarray, "n d"]],
    image: Callable[[Any], Float[np.ndarray, " d"]],
    row: Callable[[str], Float[np.ndarray, " d"]],
) -> Float[np.ndarray, " d"]:
    """The unit vector of a query, given what makes vectors of texts, of a picture and of a row's id.

    Raises:
        ArgumentError: the parts cancel each other out.
    """
    words = [part.value for part in query.parts if part.kind == "text"]
    embedded = iter(texts([_cut(text) for text in words])) if words else iter(())
    total: Any = 0.0
    for part in query.parts:
        vector = next(embedded) if part.kind == "text" else (image if part.kind == "image" else row)(part.value)
        total = total + part.weight * np.asarray(vector, dtype=np.float64)
    length = float(np.linalg.norm(total))
    if not length > 1e-6:
        raise ArgumentError(f"The query {query} cancels itself out: nothing is left to search for.")
    return (total / length).astype(np.float32)


def _cut(text: str) -> str:
    if len(text) <= MAX_LETTERS:
        return text
    _warn_once()
    return text[:MAX_LETTERS].rsplit(maxsplit=1)[0]


@functools.cache
def _warn_once() -> None:
    warnings.warn(
        f"A query longer than {MAX_LETTERS:,} letters was cut: models read only the first few dozen words.",
        stacklevel=2,
    )

"""What a search found, in order; in a notebook a grid of pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

from multimodal.search.rows import Row, line_of, text_of
from multimodal.search.sheet import Tile, html, save_sheet

_SHOWN = 20  # lines of `print(results)`
_TILES = 200  # pictures that a notebook shows


@dataclass(frozen=True)
class Hit:
    """One picture that was found."""

    row: Row  # what is known of it
    score: float  # cosine with the query
    relevance: float  # 0 to 1; see `relevance.py`

    @property
    def path(self) -> Path:
        """Where it is."""
        return self.row.path

    @property
    def id(self) -> str:
        """Its name within the index."""
        return self.row.id

    def plain(self) -> dict[str, Any]:
        """For JSON."""
        return {**self.row.plain(), "score": round(self.score, 4), "relevance": round(self.relevance, 4)}

    def __str__(self) -> str:
        return f"{self.score:6.3f}  {self.relevance:4.0%}  {line_of(str(self.path))}"


class Results(Sequence[Hit]):
    """Hits, best first. Empty when nothing is like the query; `nearest` then tells how far off the best was."""

    def __init__(
        self,
        hits: Sequence[Hit],
        *,
        query: str,
        total: int,
        nearest: Hit | None,
        thumbnails: Callable[[Sequence[Row]], list[bytes]],
    ) -> None:
        self._hits = tuple(hits)
        self.query = query  # in words
        self.total = total  # pictures that were compared
        self.nearest = nearest  # the best of them, also when it is not relevant
        self._thumbnails = thumbnails

    @overload
    def __getitem__(self, index: int) -> Hit: ...
    @overload
    def __getitem__(self, index: slice) -> Results: ...
    def __getitem__(self, index: int | slice) -> Hit | Results:
        if isinstance(index, int):
            return self._hits[index]
        return Results(
            self._hits[index],
            query=self.query,
            total=self.total,
            nearest=self.nearest,
            thumbnails=self._thumbnails,
        )

    def __len__(self) -> int:
        return len(self._hits)

    def __iter__(self) -> Iterator[Hit]:
        return iter(self._hits)

    @property
    def summary(self) -> str:
        """One sentence."""
        if self._hits:
            return f"{len(self._hits):,} of {self.total:,} pictures for {self.query}"
        if self.nearest is None:
            return f"There was no picture to compare with {self.query}."
        name = line_of(str(self.nearest.path))
        return (
            f"Nothing like {self.query} among {self.total:,} pictures; the nearest is {name} (score "
            f"{self.nearest.score:.3f}, relevance {self.nearest.relevance:.0%})."
        )

    def __str__(self) -> str:
        if not self._hits:
            return self.summary
        lines = [self.summary, " score  relevance", *map(str, self._hits[:_SHOWN])]
        if len(self._hits) > _SHOWN:
            lines.append(f"... and {len(self._hits) - _SHOWN:,} more")
        return "\n".join(lines)

    __repr__ = __str__

    def save(self, path: str | Path) -> Path:
        """Write a contact sheet, as a page (.html) or a picture (.png, .jpg); the path.

        Raises:
            ArgumentError: another suffix.
            DataError: it cannot be written.
        """
        return save_sheet(self.summary, self._tiles(len(self._hits)), Path(path))

    def _repr_html_(self) -> str:
        return html(self.summary, self._tiles(_TILES))

    def _tiles(self, most: int) -> list[Tile]:
        hits = self._hits[:most]
        pictures = self._thumbnails([hit.row for hit in hits])
        return [
            Tile(picture, text_of(hit.path.name), f"{hit.score:.3f} · {hit.relevance:.0%}", text_of(str(hit.path)))
            for hit, picture in zip(hits, pictures, strict=True)
        ]

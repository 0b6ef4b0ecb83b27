"""Rows, results, groups and numbers of an index, as the page gets them in JSON.

A grid of pictures needs little of each; the full view gets all.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from multimodal.search.index import ImageIndex
from multimodal.search.relevance import RELEVANT
from multimodal.search.results import Hit
from multimodal.search.rows import Row, text_of

_CLAUSE = 15_000  # letters of one `where` that asks for many paths


def tile(row: Row) -> dict[str, Any]:
    """What a place in a grid needs."""
    shown = row.taken or row.modified
    return {
        "id": row.id,
        "name": row.name,
        "width": row.width,
        "height": row.height,
        "date": shown.isoformat() if shown else None,
        "version": row.hash[:12],  # another content, another address: thumbnails may be kept for ever
    }


def hit(found: Hit) -> dict[str, Any]:
    """A place in a grid of results."""
    relevant = found.relevance >= RELEVANT
    return {
        **tile(found.row),
        "score": round(found.score, 4),
        "relevance": round(found.relevance, 4),
        "relevant": relevant,
    }


def details(row: Row) -> dict[str, Any]:
    """What the full view shows."""
    return {**row.plain(), **tile(row)}


def numbers(index: ImageIndex) -> dict[str, Any]:
    """What the foot of the page says."""
    found = index.stats()
    return {
        "images": found.images,
        "bytes": found.bytes,
        "disk": found.disk,
        "model": found.model,
        "dim": found.dim,
        "placed": found.placed,
        "oldest": found.oldest.isoformat() if found.oldest else None,
        "newest": found.newest.isoformat() if found.newest else None,
        "formats": found.formats,
        "folders": [text_of(folder) for folder in found.folders],
    }


def group_rows(index: ImageIndex, groups: Sequence[tuple[Path, ...]]) -> list[list[Row]]:
    """The rows of groups of paths; without files that left the index meanwhile, and groups that are none any more."""
    rows: dict[Path, Row] = {}
    wanted: list[str] = []
    paths = [path for group in groups for path in group]
    for place, path in enumerate(paths):
        wanted.append("'" + text_of(str(path)).replace("'", "''") + "'")
        if sum(map(len, wanted)) > _CLAUSE or len(wanted) == 400 or place == len(paths) - 1:
            rows |= {row.path: row for row in index.rows(f"path IN ({', '.join(wanted)})", limit=None)}
            wanted = []
    found = [[rows[path] for path in group if path in rows] for group in groups]
    return [group for group in found if len(group) > 1]

"""What the pictures of an index can be narrowed down by: folders, years, cameras, formats, and how many each has."""

from __future__ import annotations

from collections import Counter
from pathlib import PurePath
from typing import Any

from multimodal.search.index import ImageIndex
from multimodal.search.rows import Row, text_of
from multimodal.web.asked import SHAPES, SIZES

MOST = 300  # choices of one kind; a list that is longer helps nobody


def facets(index: ImageIndex) -> dict[str, Any]:
    """Choices, each with its number of pictures; a kind that would not narrow anything down is empty."""
    rows = index.rows(limit=None)
    years = Counter(row.taken.year for row in rows if row.taken)
    shapes = Counter(shape for row in rows for shape in _shapes(row))
    sizes = Counter(_size(row) for row in rows if row.width and row.height)
    return {
        "folders": _folders(rows, [text_of(str(folder)) for folder in index.folders]),
        "years": [{"value": year, "count": years[year]} for year in sorted(years)],
        "cameras": _most(Counter(row.camera for row in rows if row.camera)),
        "formats": _most(Counter(row.format for row in rows if row.format)),
        "shapes": [{"value": name, "count": shapes[name]} for name in SHAPES if shapes[name]],
        "sizes": [{"value": name, "count": sizes[name]} for name in SIZES if sizes[name]],
    }


def _folders(rows: list[Row], roots: list[str]) -> list[dict[str, Any]]:
    """Folders below `roots`, each counted with what is below it, in the order of a tree."""
    own = Counter(row.folder for row in rows)
    whole: Counter[str] = Counter()
    for folder, count in own.items():
        root = max((it for it in roots if _within(folder, it)), key=len, default=folder)
        place = PurePath(folder)
        while True:
            whole[str(place)] += count
            if not _within(str(place.parent), root) or place == place.parent:
                break
            place = place.parent
    if len(whole) > MOST:  # the largest ones
        whole = Counter(dict(whole.most_common(MOST)))
    found = []
    for folder in sorted(whole, key=lambda it: PurePath(it).parts):
        root = max((it for it in roots if _within(folder, it)), key=len, default=folder)
        parts = PurePath(folder).relative_to(root).parts
        label = parts[-1] if parts else PurePath(root).name or root
        found.append({"value": folder, "label": label, "depth": len(parts), "count": whole[folder]})
    return found


def _within(folder: str, root: str) -> bool:
    return PurePath(folder).is_relative_to(root)


def _most(counts: Counter[str]) -> list[dict[str, Any]]:
    return [{"value": value, "count": count} for value, count in counts.most_common(MOST)]


def _shapes(row: Row) -> list[str]:
    if not row.width or not row.height:
        return []
    wide, high = row.width > row.height, row.height > row.width
    long = row.width >= 2 * row.height or row.height >= 2 * row.width
    return ["landscape" if wide else "portrait" if high else "square", *(["panorama"] if long else [])]


def _size(row: Row) -> str:
    pixels = (row.width or 0) * (row.height or 0)
    return "small" if pixels < 1_000_000 else "medium" if pixels < 8_000_000 else "large"

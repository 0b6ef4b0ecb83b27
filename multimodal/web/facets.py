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
    root_of: dict[str, str] = {}
    counts: Counter[str] = Counter()
    for folder, count in Counter(row.folder for row in rows).items():
        root = max((it for it in roots if _within(folder, it)), key=len, default=folder)
        for place in (PurePath(folder), *PurePath(folder).parents):
            if not _within(str(place), root):
                break
            counts[str(place)] += count
            root_of[str(place)] = root
    single = len(roots) == 1 and len(counts) > 1 and counts[roots[0]] == len(rows)
    if single and not any(row.folder == roots[0] for row in rows):
        del counts[roots[0]]  # a choice that changes nothing
    found = []
    for folder in sorted(dict(counts.most_common(MOST)), key=lambda it: PurePath(it).parts):
        parts = PurePath(folder).relative_to(root_of[folder]).parts
        label = parts[-1] if parts else PurePath(folder).name or folder
        depth = len(parts) - (roots[0] not in counts if single else 0)
        found.append({"value": folder, "label": label, "depth": depth, "count": counts[folder]})
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

"""What the pictures of an index can be narrowed down by: folders, years, cameras, formats, and how many each has."""

from __future__ import annotations

from collections import Counter
from pathlib import PurePath
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Bool, Int

from multimodal.search.index import ImageIndex
from multimodal.search.rows import text_of
from multimodal.web.asked import SHAPES, SIZES

MOST = 300  # choices of one kind; a list that is longer helps nobody

Choice = dict[str, Any]  # value, count; of a folder also label and depth


def facets(index: ImageIndex) -> dict[str, list[Choice]]:
    """Choices, each with its number of pictures."""
    table = index._session.look(lambda snapshot: snapshot.columns)  # a `Row` of each of 100,000 takes seconds
    width, height = (table.column(name).fill_null(0).to_numpy().astype(np.int64) for name in ("width", "height"))
    taken = _counted(pc.call_function("year", [table.column("taken")]))
    return {
        "folders": _folders(_counted(table.column("folder")), [text_of(str(folder)) for folder in index.folders]),
        "years": [{"value": year, "count": taken[year]} for year in sorted(taken)],
        "cameras": _most(_counted(table.column("camera"))),
        "formats": _most(_counted(table.column("format"))),
        "shapes": _sums(SHAPES, _shapes(width, height)),
        "sizes": _sums(SIZES, _sizes(width * height)),
    }


def _counted(column: pa.ChunkedArray) -> Counter[Any]:
    """How often each value is there; none where it is not known."""
    pairs = column.drop_null().value_counts().to_pylist()
    return Counter({pair["values"]: pair["counts"] for pair in pairs})


def _most(counts: Counter[str]) -> list[Choice]:
    return [{"value": value, "count": count} for value, count in counts.most_common(MOST)]


def _sums(names: dict[str, str], kept: dict[str, Bool[np.ndarray, " n"]]) -> list[Choice]:
    return [{"value": name, "count": int(kept[name].sum())} for name in names if kept[name].any()]


def _shapes(width: Int[np.ndarray, " n"], height: Int[np.ndarray, " n"]) -> dict[str, Bool[np.ndarray, " n"]]:
    """What the conditions in `SHAPES` are true of."""
    return {
        "landscape": width > height,
        "portrait": height > width,
        "square": (width == height) & (width > 0),
        "panorama": ((width >= 2 * height) | (height >= 2 * width)) & (width > 0),
    }


def _sizes(pixels: Int[np.ndarray, " n"]) -> dict[str, Bool[np.ndarray, " n"]]:
    """What the conditions in `SIZES` are true of."""
    return {
        "small": (pixels > 0) & (pixels < 1_000_000),
        "medium": (pixels >= 1_000_000) & (pixels < 8_000_000),
        "large": pixels >= 8_000_000,
    }


def _folders(own: Counter[str], roots: list[str]) -> list[Choice]:
    """Folders below `roots`, each counted with what is below it, in the order of a tree."""
    root_of: dict[str, str] = {}
    counts: Counter[str] = Counter()
    for folder, count in own.items():
        root = max((it for it in roots if _within(folder, it)), key=len, default=folder)
        for place in (PurePath(folder), *PurePath(folder).parents):
            if not _within(str(place), root):
                break
            counts[str(place)] += count
            root_of[str(place)] = root
    single = len(roots) == 1 and len(counts) > 1 and counts[roots[0]] == own.total()
    if single and roots[0] not in own:
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

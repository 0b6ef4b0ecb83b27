"""Numbers about an index as a whole."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from multimodal.search.manifest import Manifest
from multimodal.search.rows import text_of
from multimodal.search.snapshot import Snapshot

_CAMERAS = 5  # that `print(stats)` names


@dataclass(frozen=True, kw_only=True)
class Stats:
    """What an index holds."""

    images: int
    bytes: int  # of the files of the pictures
    folders: tuple[str, ...]
    model: str
    dim: int  # numbers of a vector
    disk: int  # bytes of the index itself
    oldest: datetime | None  # when a picture was taken, where EXIF says so
    newest: datetime | None
    cameras: dict[str, int]  # pictures of each, most first
    formats: dict[str, int]
    placed: int  # pictures whose place is known

    def __str__(self) -> str:
        lines = [
            f"{self.images:,} pictures, {_size(self.bytes)}",
            *(f"folder   {text_of(folder)}" for folder in self.folders),
            f"model    {self.model}, {self.dim} numbers a picture",
            f"on disk  {_size(self.disk)}",
        ]
        if self.oldest is not None and self.newest is not None:
            lines.append(f"taken    {self.oldest:%Y-%m-%d} to {self.newest:%Y-%m-%d}")
        if self.cameras:
            named = [f"{camera} ({count:,})" for camera, count in self.cameras.items()]
            more = f" and {len(named) - _CAMERAS} more" if len(named) > _CAMERAS else ""
            lines.append("cameras  " + ", ".join(named[:_CAMERAS]) + more)
        lines.append("formats  " + (", ".join(f"{name} ({count:,})" for name, count in self.formats.items()) or "none"))
        lines.append(f"place    known of {self.placed:,}")
        return "\n".join(lines)


def stats(manifest: Manifest, path: Path, snapshot: Snapshot) -> Stats:
    """Numbers about `snapshot` of the index in the folder `path`."""
    columns = snapshot.columns
    times = [time for time in columns.column("taken").to_pylist() if time is not None]
    return Stats(
        images=len(snapshot),
        bytes=sum(columns.column("bytes").to_pylist()),
        folders=manifest.folders,
        model=manifest.model.name,
        dim=manifest.model.width,
        disk=sum(_bytes(Path(folder) / name) for folder, _, names in os.walk(path) for name in names),
        oldest=min(times, default=None),
        newest=max(times, default=None),
        cameras=_counted(snapshot, "camera"),
        formats=_counted(snapshot, "format"),
        placed=len(snapshot) - columns.column("latitude").null_count,
    )


def _counted(snapshot: Snapshot, column: str) -> dict[str, int]:
    counts = Counter(value for value in snapshot.columns.column(column).to_pylist() if value)
    return dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))


def _bytes(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:  # removed by a sync meanwhile
        return 0


def _size(count: int | float) -> str:
    if count < 1000:
        return f"{count:.0f} bytes"
    units = iter(("KB", "MB", "GB", "TB"))
    unit = ""
    while count >= 1000 and (larger := next(units, None)):
        count, unit = count / 1000, larger
    return f"{count:.1f} {unit}"

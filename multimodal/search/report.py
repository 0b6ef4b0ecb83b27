"""What a sync did, for people and for programs."""

from __future__ import annotations

from dataclasses import dataclass

from multimodal.search.known import Skipped
from multimodal.search.rows import line_of

_SHOWN = 10  # skipped files that `print(report)` names


@dataclass(frozen=True, kw_only=True)
class SyncReport:
    """What a sync did, in numbers of files."""

    new: int
    changed: int
    moved: int
    removed: int
    unchanged: int
    skipped: tuple[Skipped, ...]  # also those of earlier syncs that are as they were
    embedded: int  # pictures that went through the model
    seconds: float

    @property
    def summary(self) -> str:
        """One line of numbers."""
        rate = f", {self.embedded / self.seconds:.1f} pictures/s" if self.embedded and self.seconds else ""
        return (
            f"{self.new:,} new, {self.changed:,} changed, {self.moved:,} moved, {self.removed:,} removed, "
            f"{self.unchanged:,} unchanged, {len(self.skipped):,} skipped; {self.embedded:,} embedded in "
            f"{self.seconds:.1f} s{rate}"
        )

    def __str__(self) -> str:
        lines = [self.summary, *(f"skipped: {line_of(skip.reason)}" for skip in self.skipped[:_SHOWN])]
        if len(self.skipped) > _SHOWN:
            lines.append(f"... and {len(self.skipped) - _SHOWN:,} more skipped")
        return "\n".join(lines)

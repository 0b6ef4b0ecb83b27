"""The report of a check of recordings; the findings in it and how they look are in ../check_report.py.

What is looked for, and how it is judged, is in check.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from multimodal.data.check_report import CheckReport


@dataclass(frozen=True, kw_only=True)
class SplitCounts:
    """What is in one split."""

    clips: int
    unreadable: int
    hours: float  # of what can be read
    speakers: int  # 0: not known
    words: int


@dataclass(frozen=True, kw_only=True)
class SpeechReport(CheckReport):
    """What was found in a set of recordings."""

    splits: dict[str, SplitCounts]
    seconds: tuple[float, float, float]  # of the shortest clip, the median and the longest
    rates: dict[int, int]  # samples a second to number of clips, most frequent first
    formats: dict[str, int]
    channels: dict[int, int]
    characters: str  # all that occur in the texts, sorted
    characters_per_second: float  # median over the clips; 0 without texts

    @property
    def clips(self) -> int:
        """Of all splits."""
        return sum(counts.clips for counts in self.splits.values())

    def head(self) -> Iterator[Any]:
        """How much there is of what, and how much of it in each split."""
        from rich.table import Table
        from rich.text import Text

        hours = sum(counts.hours for counts in self.splits.values())
        long = f"{hours:.2f} hours" if hours >= 0.1 else f"{hours * 60:.1f} minutes"
        yield Text(f"{self.path}: {self.clips:,} recording{'s' * (self.clips != 1)}, {long}", style="bold")
        if self.rates:
            shortest, median, longest = self.seconds
            yield Text(
                f"{shortest:.2f} to {longest:.2f} seconds, median {median:.2f}; {_listed(self.rates)} Hz; "
                f"{_listed(self.formats)}"
            )
        if self.characters:
            shown = self.characters[:100].replace(" ", "")
            space = "space " if " " in self.characters else ""
            yield Text(
                f"{self.characters_per_second:.1f} characters a second; {len(self.characters)} different ones: "
                f"{space}{shown}"
            )
        table = Table(box=None, padding=(0, 2, 0, 0))
        table.add_column("split")
        names = ("clips", "hours", "speakers", "words")
        for name in names:
            table.add_column(name, justify="right")
        for split, counts in self.splits.items():
            speakers = f"{counts.speakers:,}" if counts.speakers else "?"
            table.add_row(split, f"{counts.clips:,}", f"{counts.hours:.2f}", speakers, f"{counts.words:,}")
        yield table


def _listed(counts: dict[Any, int]) -> str:
    return ", ".join(f"{name} {count:,}" if len(counts) > 1 else str(name) for name, count in counts.items())

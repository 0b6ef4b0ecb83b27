"""The report of a check of images; the findings in it and how they look are in ../check_report.py.

What is looked for, and how it is judged, is in check.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from multimodal.data.check_report import CheckReport

if TYPE_CHECKING:
    from rich.table import Table

CLASSES = 20  # rows of the class table; of more classes the smallest are shown


@dataclass(frozen=True, kw_only=True)
class Report(CheckReport):
    """What was found in a set of labelled images."""

    images: int
    unreadable: int
    multi_label: bool
    classes: dict[str, dict[str, int]]  # class name to split to number of readable images
    median_size: tuple[int, int]  # px: width, height
    formats: dict[str, int]  # "JPEG" to number of images, most frequent first
    modes: dict[str, int]  # PIL colour mode to number of images

    def head(self) -> Iterator[Any]:
        """How many images there are, how large they are, and how many of each class."""
        from rich.text import Text

        width, height = self.median_size
        formats = ", ".join(f"{name} {count:,}" for name, count in self.formats.items())
        labels = f"{len(self.classes)} classes{', several an image' if self.multi_label else ''}"
        yield Text(f"{self.path}: {self.images:,} images, {labels}", style="bold")
        if self.images > self.unreadable:
            yield Text(f"median size {width} x {height} px; {formats}")
        yield self._table()

    def _table(self) -> Table:
        from rich.table import Table
        from rich.text import Text

        splits = list(next(iter(self.classes.values())))
        table = Table(box=None, padding=(0, 2, 0, 0))
        table.add_column("class")
        for split in splits:
            table.add_column(split, justify="right")
        rows = list(self.classes.items())
        if len(rows) > CLASSES:
            rows = sorted(rows, key=lambda row: row[1]["train"])[: CLASSES // 2]
        for name, counts in rows:
            table.add_row(Text(name), *(f"{counts[split]:,}" for split in splits))
        if len(rows) < len(self.classes):
            table.add_row(Text(f"and {len(self.classes) - len(rows)} classes with as many or more", style="dim"))
        table.add_row(
            Text("all", style="bold"), *(f"{sum(c[split] for c in self.classes.values()):,}" for split in splits)
        )
        return table

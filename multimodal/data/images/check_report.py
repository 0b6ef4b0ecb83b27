"""The report of a check: for people (a table and sentences, through rich) and for machines (JSON).

What is looked for, and how it is judged, is in check.py.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

EXAMPLES = 3  # files or details shown for a finding; JSON has all
CLASSES = 20  # rows of the class table; of more classes the smallest are shown
STYLES = {"error": "bold red", "warning": "yellow", "note": "cyan"}

Severity = Literal["error", "warning", "note"]


@dataclass(frozen=True)
class Finding:
    """One kind of fault, with all the files that have it."""

    severity: Severity
    code: str  # stable name for programs: "unreadable", "same_file_in_splits", "tiny" ...
    message: str  # what is wrong, in words
    advice: str  # what to do
    files: tuple[tuple[str, ...], ...] = ()  # each entry: one file, or the files that are duplicates of each other
    details: tuple[str, ...] = ()  # what to show instead of the files


@dataclass(frozen=True, kw_only=True)
class Report:
    """What `check` found. Printing it gives the table for people; `to_json` gives everything."""

    path: str
    images: int
    unreadable: int
    multi_label: bool
    classes: dict[str, dict[str, int]]  # class name to split to number of readable images
    median_size: tuple[int, int]  # px: width, height
    formats: dict[str, int]  # "JPEG" to number of images, most frequent first
    modes: dict[str, int]  # PIL colour mode to number of images
    findings: tuple[Finding, ...]  # errors first

    @property
    def ok(self) -> bool:
        """Whether no finding is an error."""
        return not any(finding.severity == "error" for finding in self.findings)

    def to_json(self) -> str:
        """Everything, as one JSON object."""
        return json.dumps({"ok": self.ok, **asdict(self)}, indent=2)

    def __rich__(self) -> RenderableType:
        from rich.console import Group

        return Group(*self._parts())

    def __str__(self) -> str:
        from rich.console import Console

        console = Console(width=100, color_system=None)
        with console.capture() as capture:
            console.print(self, soft_wrap=True)
        return capture.get().rstrip()

    def _parts(self) -> Iterator[Any]:
        from rich.text import Text

        width, height = self.median_size
        formats = ", ".join(f"{name} {count:,}" for name, count in self.formats.items())
        labels = f"{len(self.classes)} classes{', several an image' if self.multi_label else ''}"
        yield Text(f"{self.path}: {self.images:,} images, {labels}", style="bold")
        if self.images > self.unreadable:
            yield Text(f"median size {width} x {height} px; {formats}")
        yield self._table()
        for finding in self.findings:
            yield self._describe(finding)
        counts = {severity: sum(f.severity == severity for f in self.findings) for severity in STYLES}
        listed = ", ".join(f"{n} {severity}{'s' * (n != 1)}" for severity, n in counts.items() if n)
        yield Text(f"\n{listed}." if listed else "\nNothing wrong found.", style="bold" if self.ok else STYLES["error"])

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

    def _describe(self, finding: Finding) -> Any:
        from rich.text import Text

        root = Path(self.path)
        folder = f"{root if root.is_dir() else root.parent}/"  # files are shown as seen from there
        text = Text("\n")
        text.append(f"{finding.severity}: ", style=STYLES[finding.severity])
        text.append(f"{finding.message}.")
        entries = finding.details or tuple(" = ".join(group) for group in finding.files)
        for entry in entries[:EXAMPLES]:
            text.append(f"\n    {entry.replace(folder, '')}")
        if len(entries) > EXAMPLES:
            text.append(f"\n    and {len(entries) - EXAMPLES:,} more", style="dim")
        text.append(f"\n  → {finding.advice}", style="dim")
        return text

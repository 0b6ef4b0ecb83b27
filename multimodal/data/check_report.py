"""The report of a check of any kind of data: for people (a table and sentences, through rich) and for machines (JSON).

What is looked for is in images/check.py and speech/check.py, which add what they counted to `CheckReport`.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from multimodal.data.images.samples import Skipped

if TYPE_CHECKING:
    from rich.console import RenderableType

EXAMPLES = 3  # files or details shown for a finding; JSON has all
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
class CheckReport(ABC):
    """What a check found. Printing it gives the table for people; `to_json` gives everything."""

    path: str
    findings: tuple[Finding, ...]  # errors first; see `by_severity`

    @property
    def ok(self) -> bool:
        """Whether no finding is an error."""
        return not any(finding.severity == "error" for finding in self.findings)

    def to_json(self) -> str:
        """Everything, as one JSON object."""
        return json.dumps({"ok": self.ok, **asdict(self)}, indent=2)

    @abstractmethod
    def head(self) -> Iterator[Any]:
        """What stands above the findings: sentences and tables for rich."""

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

        yield from self.head()
        for finding in self.findings:
            yield self._describe(finding)
        counts = {severity: sum(f.severity == severity for f in self.findings) for severity in STYLES}
        listed = ", ".join(f"{n} {severity}{'s' * (n != 1)}" for severity, n in counts.items() if n)
        yield Text(f"\n{listed}." if listed else "\nNothing wrong found.", style="bold" if self.ok else STYLES["error"])

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


def by_severity(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Errors first, then warnings, then notes."""
    return tuple(sorted(findings, key=lambda finding: list(STYLES).index(finding.severity)))


def left_out(skipped: Iterable[Skipped]) -> Iterator[Finding]:
    """A warning for each reason why entries were left out."""
    reasons: dict[str, list[str]] = {}
    for one in skipped:
        reasons.setdefault(one.reason, []).append(one.path)
    for reason, paths in reasons.items():
        count = f"{len(paths):,} {'entry' if len(paths) == 1 else 'entries'}"
        files = tuple((path,) for path in paths)
        yield Finding("warning", "left_out", f"{count} left out: {reason}", "Mend them, or take them out.", files=files)

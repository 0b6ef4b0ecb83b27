"""The report of a check of conversations; the findings in it and how they look are in ../check_report.py.

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

    conversations: int
    answers: int
    images: int  # different files, of images or recordings
    cut: int  # conversations that are longer than the model reads; 0 where no model was given
    unusable: int  # conversations that this model cannot learn from


@dataclass(frozen=True, kw_only=True)
class ChatReport(CheckReport):
    """What was found in a set of conversations."""

    splits: dict[str, SplitCounts]
    words: tuple[int, int, int]  # of the shortest answer, the median and the longest
    tokens: tuple[int, int, int] | None  # of the shortest conversation, the median and the longest, images' tokens too
    longest: int | None  # tokens that the model reads; None: no model was given

    @property
    def conversations(self) -> int:
        """Of all splits."""
        return sum(counts.conversations for counts in self.splits.values())

    def head(self) -> Iterator[Any]:
        """How much there is of what, and how much of it in each split."""
        from rich.table import Table
        from rich.text import Text

        many = f"{self.conversations:,} conversation{'s' * (self.conversations != 1)}"
        yield Text(f"{self.path}: {many}", style="bold")
        shortest, median, longest = self.words
        yield Text(f"answers of {shortest:,} to {longest:,} words, median {median:,}")
        if self.tokens is not None:
            shortest, median, longest = self.tokens
            yield Text(
                f"{shortest:,} to {longest:,} tokens, median {median:,}, images included; the model reads "
                f"{self.longest:,}"
            )
        table = Table(box=None, padding=(0, 2, 0, 0))
        table.add_column("split")
        names = ("conversations", "answers", "images", *(("cut off", "unusable") if self.tokens is not None else ()))
        for name in names:
            table.add_column(name, justify="right")
        for split, counts in self.splits.items():
            numbers = (counts.conversations, counts.answers, counts.images, counts.cut, counts.unusable)
            table.add_row(split, *(f"{number:,}" for number in numbers[: len(names)]))
        yield table

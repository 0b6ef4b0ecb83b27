"""Two texts word by word: which words were taken for others, left out or added, and how that looks on a screen.

The alignments are jiwer's: the fewest edits from a reference to a hypothesis.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

WIDTH = 100  # columns of a rendered alignment


@dataclass(frozen=True)
class Aligned:
    """One reference beside its hypothesis: pairs of words, of which one is "" where the other side has none."""

    pairs: tuple[tuple[str, str], ...]

    @property
    def words(self) -> int:
        """Of the reference."""
        return sum(bool(ours) for ours, _ in self.pairs)

    @property
    def substitutions(self) -> int:
        """Words taken for others."""
        return sum(bool(ours and theirs and ours != theirs) for ours, theirs in self.pairs)

    @property
    def deletions(self) -> int:
        """Words left out."""
        return sum(not theirs for _, theirs in self.pairs)

    @property
    def insertions(self) -> int:
        """Words added."""
        return sum(not ours for ours, _ in self.pairs)

    @property
    def errors(self) -> int:
        """All three together."""
        return self.substitutions + self.deletions + self.insertions

    def __str__(self) -> str:
        """Reference, hypothesis and marks (S, D, I) below each other, in as many rows as it takes."""
        rows: list[str] = []
        lines, used = ["REF ", "HYP ", "    "], 4
        for ours, theirs in self.pairs:
            wide = max(_columns(ours), _columns(theirs), 1)
            if used > 4 and used + wide + 1 > WIDTH:
                rows += [line.rstrip() for line in lines]
                lines, used = ["REF ", "HYP ", "    "], 4
            mark = "" if ours == theirs else "S" if ours and theirs else "D" if ours else "I"
            cells = (ours or "*" * wide, theirs or "*" * wide, mark)
            lines = [f"{line} {cell}{' ' * (wide - _columns(cell))}" for line, cell in zip(lines, cells, strict=True)]
            used += wide + 1
        return "\n".join([*rows, *(line.rstrip() for line in lines)])


def align(references: Sequence[Sequence[str]], hypotheses: Sequence[Sequence[str]]) -> list[Aligned]:
    """The words of each reference beside those of its hypothesis."""
    import jiwer

    aligned = []
    given = [" ".join(words) for words in references], [" ".join(words) for words in hypotheses]
    chunks = jiwer.process_words(*given).alignments if references else []
    for ours, theirs, parts in zip(references, hypotheses, chunks, strict=True):
        pairs: list[tuple[str, str]] = []
        for part in parts:
            left = ours[part.ref_start_idx : part.ref_end_idx]
            right = theirs[part.hyp_start_idx : part.hyp_end_idx]
            longer = max(len(left), len(right))
            pairs += zip([*left, *[""] * (longer - len(left))], [*right, *[""] * (longer - len(right))], strict=True)
        aligned.append(Aligned(tuple(pairs)))
    return aligned


def confusions(aligned: Iterable[Aligned]) -> Counter[tuple[str, str]]:
    """How often which word was taken for which; one side is "" for words left out and added."""
    return Counter(pair for one in aligned for pair in one.pairs if pair[0] != pair[1])


def _columns(text: str) -> int:
    """Columns that `text` takes on a screen: two for wide letters, none for marks."""
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)

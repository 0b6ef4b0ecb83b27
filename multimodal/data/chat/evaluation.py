"""What an evaluation of a model's answers found: for people (a table and sentences, through rich) and as JSON.

A score stands beside what the same model reaches without looking, and what one answer to everything would: only what
lies above these has been seen. How it is measured is in evaluate.py.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from multimodal.data.images.samples import Skipped
from multimodal.errors import DataError
from multimodal.metrics.scored import Figure

if TYPE_CHECKING:
    from rich.console import RenderableType


@dataclass(frozen=True, kw_only=True)
class Answered:
    """One question and what became of it."""

    where: str
    turn: int  # from 1: which of the conversation's questions it is
    question: str
    media: tuple[str, ...]
    wanted: tuple[str, ...]
    answer: str
    finish: str  # "end", "stop", "length" or "context"
    score: float
    blind: dict[str, str]  # the answers when it saw another image, and none


@dataclass(frozen=True, kw_only=True)
class Beside:
    """What is reached in another way."""

    n: int  # questions
    figures: dict[str, Figure]
    lead: Figure  # how far the model's score lies above, on these questions; both resampled together


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """The scores of one model on one set of questions.

    Attributes:
        metric: its id: "exact-1".
        figures: by name, the score first; see `metrics.scored.Scored`.
        blind: the same with the images "shuffled" among the questions, and with "blank" ones; empty where there are
            no images.
        constant: what the commonest right answer, given to every question, reaches, under that answer.
        groups: conversations, those about the same images as one: what is drawn for the intervals.
        word: what is looked at: "image" or "recording".
        prompt: the first question as the model reads it.
        template: the chat template, in full.
        decoding: the settings of generation.
        answers: of each question, in their order.
        skipped: what could not be asked.
        notes: what else one must know.
    """

    metric: str
    figures: dict[str, Figure]
    blind: dict[str, Beside]
    constant: dict[str, Beside]
    groups: int
    word: str
    prompt: str
    template: str
    decoding: dict[str, Any]
    answers: tuple[Answered, ...]
    skipped: tuple[Skipped, ...]
    notes: tuple[str, ...]

    @property
    def n(self) -> int:
        """Questions that were answered."""
        return len(self.answers)

    @property
    def score(self) -> float:
        """The first of the figures."""
        return next(iter(self.figures.values())).value

    @property
    def warnings(self) -> tuple[str, ...]:
        """Sentences that say why the score may mean less than it seems."""
        found = []
        if self.groups == 1:  # of which nothing follows
            return self.notes
        for name, one in self.blind.items():
            if one.lead.interval[0] <= 0:
                told = _compared(f"with {name} {self.word}s", one)
                found.append(f"The model answers as well without looking: {told}.")
        for answer, one in self.constant.items():
            if one.lead.interval[0] <= 0:
                found.append(f"One answer to everything is as good: {_compared(f'by {answer!r} always', one)}.")
        return (*found, *self.notes)

    def plain(self) -> dict[str, Any]:
        """Everything, as what `json.dump` writes."""
        names = ("multimodal", "torch")
        beside = {"blind": self.blind, "constant": self.constant}
        return {
            "metric": self.metric,
            "n": self.n,
            "groups": self.groups,
            "score": self.score,
            "interval": next(iter(self.figures.values())).interval,
            "figures": {name: asdict(figure) for name, figure in self.figures.items()},
            **{name: {key: asdict(one) for key, one in those.items()} for name, those in beside.items()},
            "warnings": list(self.warnings),
            "prompt": self.prompt,
            "template": self.template,
            "decoding": self.decoding,
            "versions": {name: importlib.metadata.version(name) for name in names},
            "skipped": [asdict(one) for one in self.skipped],
            "answers": [asdict(one) for one in self.answers],
        }

    def save(self, path: str | Path, about: Mapping[str, Any] | None = None) -> None:
        """Write everything as JSON, after what `about` says of model and data; the file is there in full or not at all.

        Raises:
            DataError: it cannot be written.
        """
        target = Path(path)
        partial = target.with_name(f".{target.name}.{secrets.token_hex(4)}.partial")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            record = json.dumps({**(about or {}), **self.plain()}, indent=2, ensure_ascii=False)
            partial.write_text(f"{record}\n", encoding="utf-8")
            partial.replace(target)
        except OSError as error:
            raise DataError(f"{target} cannot be written: {error.strerror or error}. Choose another place.") from error
        finally:
            with contextlib.suppress(OSError):  # there may be no such folder
                partial.unlink(missing_ok=True)

    def __rich__(self) -> RenderableType:
        from rich.console import Group

        return Group(*self._parts())

    def __str__(self) -> str:
        from rich.console import Console

        console = Console(width=120, color_system=None)
        with console.capture() as capture:
            console.print(self, soft_wrap=True)
        return capture.get().rstrip()

    def _parts(self) -> Iterator[Any]:
        from rich.table import Table
        from rich.text import Text

        count = f"{self.n:,} question{'s' if self.n != 1 else ''}"
        drawn = "the questions"
        if self.groups < self.n:
            drawn = f"{self.groups:,} conversations, those about the same {self.word}s together"
        yield Text(f"{count}, {self.metric}; in parentheses the 95% interval of a bootstrap over {drawn}")
        beside = {**self.blind, **{f"always {answer!r}": one for answer, one in self.constant.items()}}
        table = Table(box=None, pad_edge=False, header_style="bold")
        for name in ("", f"own {self.word}s", *beside):
            table.add_column(Text(name), no_wrap=True)
        for name, figure in self.figures.items():
            low, high = figure.interval
            others = (f"{one.figures[name].value:.1%}" for one in beside.values())
            table.add_row(name, f"{figure.value:.1%} ({low:.1%} to {high:.1%})", *others)
        yield table
        for sentence in self.warnings:
            yield Text.assemble(("warning: ", "yellow"), sentence)


def _compared(name: str, one: Beside) -> str:
    low, high = one.lead.interval
    reached = next(iter(one.figures.values())).value
    lead = f"{one.lead.value:+.1%}, 95% interval {low:+.1%} to {high:+.1%}"
    return f"{reached + one.lead.value:.1%} as they are, {reached:.1%} {name} (difference {lead})"

"""What the readers of supervised text give: samples of five kinds, in splits, with the names of their labels.

The training split alone decides which labels there are; a validation or test split that lacks one changes no index,
and one that has another is refused. How files become samples is in readers.py and layouts.py; how samples
become batches is in batches.py.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from multimodal.data.images.samples import Sample, Skipped
from multimodal.data.images.split import stratified
from multimodal.errors import ArgumentError, DataError, nearest


@dataclass(frozen=True)
class LabeledText:
    """A text, or a pair of texts, and its class."""

    text: str
    pair: str | None
    label: int  # index into `TextSet.labels`

    @property
    def size(self) -> int:
        """About how long it is, in characters: batches are made of samples of like size."""
        return len(self.text) + len(self.pair or "")

    @property
    def group(self) -> Hashable:
        """Samples that are equal in this stay on one side of a validation split."""
        return self.text, self.pair


@dataclass(frozen=True)
class TaggedWords:
    """A sentence cut into words, with one tag for each."""

    words: tuple[str, ...]
    tags: tuple[int, ...]  # indices into `TextSet.labels`

    @property
    def size(self) -> int:
        """Characters, about."""
        return sum(map(len, self.words)) + len(self.words)

    @property
    def group(self) -> Hashable:
        """The sentence."""
        return self.words


@dataclass(frozen=True)
class Answer:
    """A piece of a question's context: `context[start : start + len(text)] == text`."""

    text: str
    start: int  # in characters


@dataclass(frozen=True)
class Question:
    """A question about a text; without answers it is one that the text does not answer."""

    id: str
    question: str
    context: str
    answers: tuple[Answer, ...]

    @property
    def size(self) -> int:
        """Characters, about."""
        return len(self.question) + len(self.context)

    @property
    def group(self) -> Hashable:
        """The context: no question about a text that was trained on is held out."""
        return self.context


@dataclass(frozen=True)
class Translation:
    """A sentence and what it is in the other language."""

    source: str
    target: str

    @property
    def size(self) -> int:
        """Characters, about."""
        return len(self.source) + len(self.target)

    @property
    def group(self) -> Hashable:
        """The source sentence."""
        return self.source


@dataclass(frozen=True)
class ChoiceQuestion:
    """A question with several answers to choose from, of which one is right."""

    question: str
    choices: tuple[str, ...]
    label: int  # which choice is right, from 0
    context: str = ""

    @property
    def size(self) -> int:
        """Characters, about: of all choices."""
        return len(self.choices) * (len(self.context) + len(self.question)) + sum(map(len, self.choices))

    @property
    def group(self) -> Hashable:
        """The question and its context."""
        return self.context, self.question


TextSample: TypeAlias = LabeledText | TaggedWords | Question | Translation | ChoiceQuestion


@dataclass(frozen=True)
class TextSet:
    """A set of samples of one kind, as read."""

    root: str
    labels: tuple[str, ...]  # names of classes or tags; () for kinds that have none
    splits: dict[str, tuple[TextSample, ...]]  # "train", and "val" and "test" where the data have them
    skipped: tuple[Skipped, ...]


def label_indices(
    root: str, labels: Sequence[str], used: dict[str, dict[str, str]], *, what: str = "class"
) -> dict[str, int]:
    """Label to index, after a look at the labels that each split uses.

    Args:
        root: what was read, for messages.
        labels: names in the order of their indices: those of the training split.
        used: for each split, label to a place where it stands.
        what: what a label is called in messages.

    Raises:
        DataError: a single label, or a split that has a label which training lacks.
    """
    if len(labels) == 1:
        raise DataError(f"{root} has one {what}, {labels[0]!r}, in its training part; there must be at least two.")
    for split, places in used.items():
        for name, where in places.items():
            if name not in labels:
                raise DataError(
                    f"The {split} part of {root} has the {what} {name!r} (at {where}), which training lacks; add "
                    f"training examples of it, rename it or take it out.{nearest(name, labels)}"
                )
    return {name: i for i, name in enumerate(labels)}


def hold_out(data: TextSet, fraction: float, seed: int) -> TextSet:
    """`data` with part of its training samples as "val", where it has no such split; classes are divided alike.

    Equal texts stay together, and so do all questions about one text (`group`).

    Raises:
        ArgumentError: `fraction` does not lie between 0 and 1.
        DataError: no class has two groups to divide.
    """
    if "val" in data.splits:
        return data
    if not 0 < fraction < 1:
        raise ArgumentError(f"The fraction to hold out is {fraction}; it must lie between 0 and 1.")
    samples = data.splits["train"]
    numbers: dict[Hashable, int] = {}
    groups = {str(i): numbers.setdefault(sample.group, len(numbers)) for i, sample in enumerate(samples)}
    strata = [Sample(str(i), _stratum(sample)) for i, sample in enumerate(samples)]
    try:
        train, val = stratified(strata, fraction, seed, groups)
    except DataError:  # its sentence is about images
        raise DataError(
            f"{data.root} has too few different training texts to hold any out; give a validation file."
        ) from None
    parts = {name: tuple(samples[int(one.path)] for one in part) for name, part in (("train", train), ("val", val))}
    return replace(data, splits={**data.splits, **parts})


def _stratum(sample: TextSample) -> tuple[int, ...]:
    return (sample.label,) if isinstance(sample, LabeledText) else ()

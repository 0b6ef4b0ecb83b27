"""A model's answers on held-out images, and the lists one reads off them: classes, confusions, worst mistakes.

`HeldOut` is plain data: logits beside targets, made once after training. The scores themselves are in
`multimodal/metrics.py`; how they are shown is in report.py.

Axes: n images · c classes
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from multimodal import metrics


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """What a model answered on images it was not trained on.

    Raises:
        ValueError: logits, targets, paths and labels do not fit together.
    """

    split: str  # "val" or "test"
    labels: tuple[str, ...]
    logits: Float[Tensor, "n c"]  # as the model gave them, before the temperature
    targets: Int[Tensor, " n"] | Bool[Tensor, "n c"]  # class indices; rows of booleans where an image has several
    paths: tuple[str, ...]  # where each image is, as in `Sample.path`
    temperature: float = 1.0

    def __post_init__(self) -> None:
        n, c = len(self.paths), len(self.labels)
        if tuple(self.logits.shape) != (n, c):
            raise ValueError(f"logits are {tuple(self.logits.shape)}; {n} paths and {c} labels need {(n, c)}.")
        wanted = (n, c) if self.targets.dtype == torch.bool else (n,)
        if tuple(self.targets.shape) != wanted:
            raise ValueError(f"targets of type {self.targets.dtype} are {tuple(self.targets.shape)}, not {wanted}.")
        if not self.logits.isfinite().all():
            raise ValueError("logits hold NaN or infinity; the training has diverged, and its answers mean nothing.")
        if not self.temperature > 0:
            raise ValueError(f"temperature is {self.temperature}; it must be above 0.")

    @property
    def multi_label(self) -> bool:
        """Whether an image may carry several labels."""
        return self.targets.dtype == torch.bool

    def probabilities(self, temperature: float) -> Float[Tensor, "n c"]:
        """Of every class: a softmax, or independent sigmoids where there may be several labels."""
        scaled = self.logits.double() / temperature
        return scaled.sigmoid() if self.multi_label else scaled.softmax(dim=1)

    @cached_property
    def predicted(self) -> Int[Tensor, " n"] | Bool[Tensor, "n c"]:
        """In the form of `targets`: the likeliest class, or every label of probability 0.5 or more."""
        return self.logits >= 0 if self.multi_label else self.logits.argmax(dim=1)

    @cached_property
    def right(self) -> Bool[Tensor, " n"]:
        """Which images have exactly the answer wanted."""
        same = self.predicted == self.targets
        return same.all(dim=1) if self.multi_label else same

    @cached_property
    def confusion(self) -> Int[Tensor, "c c"]:
        """True classes as rows, predicted ones as columns; only where an image has one label."""
        return metrics.confusion_matrix(self.predicted, self.targets, len(self.labels))

    @cached_property
    def per_class(self) -> metrics.PerClass:
        """Precision, recall, F1 and support of every label."""
        if self.multi_label:
            return metrics.per_label(self.predicted, self.targets)
        return metrics.per_class(self.confusion)

    @cached_property
    def average_precision(self) -> Float[Tensor, " c"]:
        """Of every label; only where an image may have several."""
        return metrics.average_precision(self.logits, self.targets)

    @cached_property
    def score(self) -> float:
        """The one number, in 0..1: accuracy, or mean average precision where an image may have several labels."""
        if self.multi_label:
            return metrics.mean_over_present(self.average_precision, self.per_class.support)
        return metrics.top_k_accuracy(self.logits, self.targets)

    def reliability(self, temperature: float) -> metrics.ReliabilityBins:
        """Promise and outcome: of the chosen class or, where there may be several labels, of each label."""
        probabilities = self.probabilities(temperature)
        if self.multi_label:
            return metrics.reliability_bins(probabilities.flatten(), self.targets.flatten())
        return metrics.reliability_bins(probabilities.amax(dim=1), self.right)


@dataclass(frozen=True, kw_only=True)
class Confusion:
    """How often one class was taken for another."""

    true: str
    predicted: str
    count: int
    share: float  # of the images of the true class


@dataclass(frozen=True, kw_only=True)
class Mistake:
    """One image with a wrong answer."""

    path: str
    true: tuple[str, ...]
    predicted: tuple[str, ...]
    label: str  # the wrong decision: the class that was predicted, or the label that was wrongly given or left out
    probability: float  # of `label`, calibrated


def top_confusions(held_out: HeldOut, most: int) -> list[Confusion]:
    """The commonest ones, by count and then by share of the true class."""
    matrix = held_out.confusion
    totals = matrix.sum(dim=1)
    wrong = matrix - torch.diag(matrix.diagonal())
    found = [
        Confusion(
            true=held_out.labels[i],
            predicted=held_out.labels[j],
            count=int(wrong[i, j]),
            share=float(wrong[i, j] / totals[i]),
        )
        for i, j in wrong.nonzero().tolist()
    ]
    return sorted(found, key=lambda pair: (-pair.count, -pair.share))[:most]


def worst_mistakes(held_out: HeldOut, most: int) -> list[Mistake]:
    """The wrong answers that the model was surest of, the surest first."""
    probabilities = held_out.probabilities(held_out.temperature)
    if held_out.multi_label:
        # how far each wrong decision is from what it should have been: a probability in 0.5..1
        weight = (probabilities - held_out.targets.double()).abs() * (held_out.predicted != held_out.targets)
        severity, decision = weight.max(dim=1)
    else:
        severity, decision = probabilities.max(dim=1)
    rows = (~held_out.right).nonzero().flatten()
    rows = rows[severity[rows].argsort(descending=True, stable=True)][:most]
    return [
        Mistake(
            path=held_out.paths[i],
            true=_names(held_out, held_out.targets[i]),
            predicted=_names(held_out, held_out.predicted[i]),
            label=held_out.labels[int(decision[i])],
            probability=float(probabilities[i, decision[i]]),
        )
        for i in rows.tolist()
    ]


def _names(held_out: HeldOut, answer: Tensor) -> tuple[str, ...]:
    indices = answer.nonzero().flatten().tolist() if held_out.multi_label else [int(answer)]
    return tuple(held_out.labels[i] for i in indices)

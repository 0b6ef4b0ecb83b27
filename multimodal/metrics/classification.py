"""How often a classifier is right, where it is wrong, and whether its probabilities can be believed.

Pure functions on tensors, evaluated once over a whole held-out set; nothing here knows of models, files or training.
Numbers that stand alone come back as floats, numbers per class or per bin as tensors. A ratio with an empty denominator
is 0, and `support` says so: average over classes with `mean_over_present`.

Axes: n examples · c classes · m calibration bins
Refs: Wilson 1927 (the interval) · calibration error and temperature arXiv:1706.04599 · Platt 1999 §2.2 (its smoothing)
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

TEMPERATURE_RANGE = (0.01, 100.0)  # what fit_temperature may answer


@dataclass(frozen=True, kw_only=True)
class PerClass:
    """Scores of every class, each in 0..1, and the number of examples that carry it."""

    precision: Float[Tensor, " c"]
    recall: Float[Tensor, " c"]
    f1: Float[Tensor, " c"]
    support: Int[Tensor, " c"]


@dataclass(frozen=True, kw_only=True)
class ReliabilityBins:
    """Probabilities grouped into bins of equal width: what was promised beside what happened."""

    confidence: Float[Tensor, " m"]  # mean probability in the bin; 0 where it is empty
    accuracy: Float[Tensor, " m"]  # share that came true; 0 where it is empty
    count: Int[Tensor, " m"]

    @property
    def error(self) -> float:
        """Expected calibration error: the mean distance of promise and outcome, weighted by count; 0 without data."""
        gap = (self.confidence - self.accuracy).abs()
        return float((gap * self.count).sum() / self.count.sum().clamp(min=1))


def wilson_interval(correct: int, n: int, *, z: float = 1.959964) -> tuple[float, float]:
    """The range of true accuracies that `correct` of `n` leaves plausible, at 95% unless `z` says otherwise.

    Wilson's score interval: never outside 0..1 and sound for few examples and for 0% or 100%. `n = 0` gives (0, 1).

    Raises:
        ValueError: `correct` is not within 0..n.
    """
    if not 0 <= correct <= n:
        raise ValueError(f"correct is {correct}; it must lie within 0 and n = {n}.")
    if n == 0:
        return 0.0, 1.0
    share, weight = correct / n, z * z / n
    centre = (share + weight / 2) / (1 + weight)
    half = math.sqrt(weight * share * (1 - share) + weight * weight / 4) / (1 + weight)
    return max(0.0, centre - half), min(1.0, centre + half)


def top_k_accuracy(scores: Float[Tensor, "n c"], target: Int[Tensor, " n"], k: int = 1) -> float:
    """Share of examples whose target is among the `k` highest scores; `k` beyond c counts as c, no examples as 0."""
    if len(target) == 0:
        return 0.0
    best = scores.topk(min(k, scores.shape[1]), dim=1).indices
    return float((best == target[:, None]).any(dim=1).double().mean())


def confusion_matrix(predicted: Int[Tensor, " n"], target: Int[Tensor, " n"], classes: int) -> Int[Tensor, "c c"]:
    """Counts with the true class as row and the predicted one as column.

    Raises:
        ValueError: an index is not within 0..classes-1.
    """
    for name, index in (("predicted", predicted), ("target", target)):
        if len(index) and not (int(index.min()) >= 0 and int(index.max()) < classes):
            raise ValueError(
                f"{name} holds {int(index.min())}..{int(index.max())}; it must be within 0..{classes - 1}."
            )
    pairs = target.long() * classes + predicted.long()
    return torch.bincount(pairs, minlength=classes * classes).unflatten(0, (classes, classes))


def per_class(confusion: Int[Tensor, "c c"]) -> PerClass:
    """Precision, recall, F1 and support of every class of a confusion matrix."""
    return _scores(hits=confusion.diagonal(), claimed=confusion.sum(dim=0), actual=confusion.sum(dim=1))


def per_label(predicted: Bool[Tensor, "n c"], target: Bool[Tensor, "n c"]) -> PerClass:
    """Precision, recall, F1 and support of every label where an example may carry several."""
    return _scores(hits=(predicted & target).sum(dim=0), claimed=predicted.sum(dim=0), actual=target.sum(dim=0))


def micro_f1(predicted: Bool[Tensor, "n c"], target: Bool[Tensor, "n c"]) -> float:
    """F1 over all (example, label) decisions together, so that a common label weighs more than a rare one."""
    hits = (predicted & target).sum()
    return float(2 * hits / (predicted.sum() + target.sum()).clamp(min=1))


def _scores(*, hits: Tensor, claimed: Tensor, actual: Tensor) -> PerClass:
    return PerClass(
        precision=hits.double() / claimed.clamp(min=1),
        recall=hits.double() / actual.clamp(min=1),
        f1=2 * hits.double() / (claimed + actual).clamp(min=1),
        support=actual,
    )


def mean_over_present(values: Float[Tensor, " c"], support: Int[Tensor, " c"]) -> float:
    """The plain (macro) mean over the classes that occur, so that absent ones do not count as failures; 0 for none."""
    present = values[support > 0]
    return float(present.mean()) if len(present) else 0.0


def average_precision(scores: Float[Tensor, "n c"], target: Bool[Tensor, "n c"]) -> Float[Tensor, " c"]:
    """Area under each label's precision-recall steps, the mean precision at its positives; 0 for a label without any.

    Equal scores are one step, as in scikit-learn, so the order of the examples does not matter. mAP is
    `mean_over_present(average_precision(scores, target), target.sum(0))`.
    """
    n = len(scores)
    ranked, order = scores.sort(dim=0, descending=True)
    hits = target.gather(0, order).double()
    rank = torch.arange(n, device=scores.device)[:, None].expand_as(order)
    last = torch.ones_like(target)  # whether this is the last of a run of equal scores
    last[:-1] = ranked[:-1] != ranked[1:]
    end = rank.where(last, n).flip(0).cummin(0).values.flip(0) if n else rank  # where the run of equal scores ends
    precision = hits.cumsum(0).gather(0, end) / (end + 1)
    return (precision * hits).sum(0) / hits.sum(0).clamp(min=1)


def reliability_bins(confidence: Float[Tensor, " n"], came_true: Bool[Tensor, " n"], bins: int = 15) -> ReliabilityBins:
    """Group probabilities into `bins` intervals of equal width, each open below and closed above, as in the paper.

    For a classifier, `confidence` is the highest probability of each example and `came_true` whether that class is the
    right one. For several labels per example, flatten: every (example, label) probability is one promise.
    """
    place = (confidence.double() * bins).ceil().long().sub(1).clamp(0, bins - 1)
    count = torch.bincount(place, minlength=bins)
    promised = torch.bincount(place, weights=confidence.double(), minlength=bins) / count.clamp(min=1)
    happened = torch.bincount(place, weights=came_true.double(), minlength=bins) / count.clamp(min=1)
    return ReliabilityBins(confidence=promised, accuracy=happened, count=count)


def expected_calibration_error(probabilities: Float[Tensor, "n c"], target: Int[Tensor, " n"], bins: int = 15) -> float:
    """Mean distance between the confidence in the chosen class and how often the choice is right, in 0..1.

    Grows by chance when there are few examples a bin: with 200 examples a perfectly calibrated model shows 0.05 to 0.1.
    """
    confidence, chosen = probabilities.max(dim=1)
    return reliability_bins(confidence, chosen == target, bins).error


def fit_temperature(logits: Float[Tensor, "n c"], target: Int[Tensor, " n"] | Bool[Tensor, "n c"]) -> float:
    """The one number T by which to divide held-out logits so that their probabilities fit the targets best.

    Above 1 the model was too sure, below 1 too timid. With class indices as target the probabilities are a softmax,
    with a row of booleans (several labels per example) sigmoids. The negative log-likelihood is convex in 1/T, so the
    root of its slope is found by bisection, in float64: the same answer every time, within `TEMPERATURE_RANGE`.

    A model without a mistake has no best temperature (the likelihood rises forever as T falls), and one with few makes
    a wild one. So one more example is counted, half right and half won by the runner-up, which is Platt's smoothing:
    it fades as 1/n, and the answer stays finite for a perfect model. No examples or constant logits give 1.

    Raises:
        ValueError: the logits are not finite.
    """
    z, target = logits.detach().double().cpu(), target.detach().cpu()
    if not z.isfinite().all():
        raise ValueError("logits hold NaN or infinity; a temperature needs finite ones.")
    exclusive = target.ndim == 1
    if exclusive and len(z):
        z = z - z.amax(dim=1, keepdim=True)
    if not z.any():
        return 1.0
    wanted = _smoothed_mean_of_classes(z, target.long()) if exclusive else _smoothed_mean_of_labels(z, target)
    low, high = (-math.log(bound) for bound in reversed(TEMPERATURE_RANGE))  # of log(1/T)
    for _ in range(24):  # to a millionth
        middle = (low + high) / 2
        scaled = z * math.exp(middle)
        # at the best T the logits' mean under the model's own probabilities equals their mean under the targets
        expected = (scaled.softmax(1) * z).sum(1).mean() if exclusive else (scaled.sigmoid() * z).mean()
        low, high = (low, middle) if expected > wanted else (middle, high)
    return math.exp(-(low + high) / 2)


def _smoothed_mean_of_classes(z: Float[Tensor, "n c"], target: Int[Tensor, " n"]) -> Tensor:
    top, second = z.topk(2, dim=1).values.unbind(1)
    right = z.gather(1, target[:, None]).squeeze(1)
    rival = torch.where(right == top, second, top)
    return torch.lerp(right, rival, 0.5 / (len(z) + 1)).mean()


def _smoothed_mean_of_labels(z: Float[Tensor, "n c"], target: Bool[Tensor, "n c"]) -> Tensor:
    return (z * torch.lerp(target.double(), (~target).double(), 0.5 / (z.numel() + 1))).mean()

"""What answers are worth by a metric, with intervals: counts of each sample, and the figures that sums of them give.

Any figure of sums (a mean, F1, BLEU) has a bootstrap interval so. Samples that are alike by their origin, as the
answers of one conversation are, are drawn as one. Two runs over the same questions are compared with both resampled
together, which finds smaller differences than their intervals would.

Axes: n samples · g groups of samples · k counts that are summed over samples · r resamples
Refs: bootstrap and paired bootstrap for scores of texts: Koehn, EMNLP 2004 · groups: Davison and Hinkley, Bootstrap
Methods and their Application, 1997, §3.8
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor

from multimodal.metrics.classification import wilson_interval

RESAMPLES = 1000

Sums: TypeAlias = Float[Tensor, "r k"]


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A number and the 95% interval of it over resampled samples."""

    value: float
    interval: tuple[float, float]


@dataclass(frozen=True, kw_only=True, eq=False)
class Scored:
    """What answers are worth by one metric. The first of its figures is *the* score, the one to compare by."""

    metric: str  # id, with a number that counts up when a score may come out in another way: "exact-1"
    each: tuple[float, ...]  # of each sample, in 0..1
    counts: Float[Tensor, "n k"]
    rates: Callable[[Sums], dict[str, Float[Tensor, " r"]]]  # figures of sums of `counts`, in 0..1
    groups: tuple[int, ...] | None = None  # of each sample: those of one are drawn together; None: each is its own
    _known: dict[int, dict[str, Tensor]] = field(default_factory=dict, init=False, repr=False)  # resampled, by seed

    def figures(self, seed: int = 0) -> dict[str, Figure]:
        """Every figure by name, the score first, with its interval.

        Where all samples are equally right or wrong a bootstrap has no width; the interval is Wilson's then, of as many
        samples as there are groups. One group says nothing of others: all is possible.
        """
        whole, drawn = self.rates(self.counts.sum(0)[None]), self._drawn(seed)
        same, n = len(set(self.each)) == 1 and self.each[0] in (0, 1), len(self._units)
        found = {}
        for name, value in whole.items():
            if same and float(value) in (0, 1):
                interval = wilson_interval(round(float(value)) * n, n)
            else:
                interval = _middle(drawn[name]) if n > 1 else (0.0, 1.0)
            found[name] = Figure(value=float(value), interval=interval)
        return found

    def above(self, other: Scored, seed: int = 0) -> Figure:
        """How far the score lies above that of `other` answers to the same questions; both are resampled together.

        Raises:
            ValueError: other questions, other groups of them, or another metric.
        """
        if (self.metric, len(self.each), self.groups) != (other.metric, len(other.each), other.groups):
            ours, theirs = f"{len(self.each)} by {self.metric}", f"{len(other.each)} by {other.metric}"
            raise ValueError(f"{ours} cannot be compared with {theirs}: give answers to the same questions.")
        whole, drawn = [], []
        for one in (self, other):
            name, value = next(iter(one.rates(one.counts.sum(0)[None]).items()))
            whole.append(float(value))
            drawn.append(one._drawn(seed)[name])
        interval = _middle(drawn[0] - drawn[1]) if len(self._units) > 1 else (-1.0, 1.0)
        return Figure(value=whole[0] - whole[1], interval=interval)

    @cached_property
    def _units(self) -> Float[Tensor, "g k"]:
        """The counts of each group: what is drawn."""
        if self.groups is None:
            return self.counts
        places = {group: place for place, group in enumerate(dict.fromkeys(self.groups))}
        index = torch.tensor([places[group] for group in self.groups])
        return self.counts.new_zeros(len(places), self.counts.shape[1]).index_add(0, index, self.counts)

    def _drawn(self, seed: int) -> dict[str, Float[Tensor, " r"]]:
        """The figures of resampled groups; the same ones for everything of this size and seed."""
        if seed not in self._known:
            generator, n = torch.Generator().manual_seed(seed), len(self._units)
            drawn = (torch.randint(n, (n,), generator=generator) for _ in range(RESAMPLES))
            self._known[seed] = self.rates(torch.stack([self._units[places].sum(0) for places in drawn]))
        return self._known[seed]


def check_answers(answers: Sequence[str], wanted: Sequence[Sequence[str]]) -> None:
    """Refuse what cannot be scored.

    Raises:
        ValueError: no answers, not as many as there are questions, or a question without one that is wanted.
    """
    if not answers or len(answers) != len(wanted):
        raise ValueError(f"There are {len(answers)} answers to {len(wanted)} questions; give one to each.")
    for place, right in enumerate(wanted):
        if isinstance(right, str) or not right:
            raise ValueError(f"wanted[{place}] is {right!r}; it must be a list of at least one right answer.")


def _middle(values: Float[Tensor, " r"]) -> tuple[float, float]:
    low, high = values.double().quantile(torch.tensor([0.025, 0.975], dtype=torch.float64)).tolist()
    return low, high

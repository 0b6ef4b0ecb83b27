"""What a classifier answers, of images or of texts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Prediction:
    """The likeliest labels of one input, best first."""

    source: Any  # what was given: a path, a picture, a text
    labels: tuple[str, ...]
    probabilities: tuple[float, ...]

    @property
    def label(self) -> str:
        """The likeliest label."""
        return self.labels[0]

    @property
    def probability(self) -> float:
        """The probability of the likeliest label, calibrated if the model is."""
        return self.probabilities[0]

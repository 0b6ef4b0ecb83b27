"""Rotary frequencies for texts longer than those that a model was first trained on.

Each config turns the frequencies of `Rotary` into slower ones; which is used belongs to the checkpoint. Scaling that
depends on the length of the text at hand (dynamic NTK, LongRoPE) is not here: it would change keys that are cached.

Axes: p channel pairs
Refs: linear arXiv:2306.15595 · YaRN arXiv:2309.00071 · Llama 3 arXiv:2407.21783 §3.4.2
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor

from multimodal.errors import ArgumentError


@dataclass(frozen=True, kw_only=True)
class LinearScalingConfig:
    """All angles are divided by one factor: positions are squeezed into the range that was trained."""

    factor: float
    amplitude = 1.0  # of cosines and sines

    def __post_init__(self) -> None:
        _check(self.factor)

    def scale(self, frequencies: Float[Tensor, " p"], base: float) -> Float[Tensor, " p"]:
        """The slower frequencies."""
        return frequencies / self.factor


@dataclass(frozen=True, kw_only=True)
class Llama3ScalingConfig:
    """Slow channels are divided by the factor, fast ones kept, those between are blended.

    A channel that turns at least `fast` times over `original_length` tokens is fast; at most `slow` times, slow.
    """

    factor: float
    original_length: int  # tokens, before the context was extended
    slow: float = 1.0  # turns
    fast: float = 4.0  # turns
    amplitude = 1.0  # of cosines and sines

    def __post_init__(self) -> None:
        _check(self.factor, self.original_length, self.slow, self.fast)

    def scale(self, frequencies: Float[Tensor, " p"], base: float) -> Float[Tensor, " p"]:
        """The slower frequencies."""
        turns = self.original_length * frequencies / (2 * math.pi)
        kept = ((turns - self.slow) / (self.fast - self.slow)).clamp(0, 1)
        return frequencies * (kept + (1 - kept) / self.factor)


@dataclass(frozen=True, kw_only=True)
class YarnScalingConfig:
    """As Llama 3's, but blended evenly over the channels between, and cosines and sines grow by `amplitude`.

    The growth makes attention sharper, which longer texts need.
    """

    factor: float
    original_length: int  # tokens, before the context was extended
    slow: float = 1.0  # turns over `original_length`
    fast: float = 32.0  # turns over `original_length`
    whole: bool = True  # the blend begins and ends at whole channels
    amplitude: float = 1.0  # the paper's: 0.1 ln(factor) + 1

    def __post_init__(self) -> None:
        _check(self.factor, self.original_length, self.slow, self.fast)

    def scale(self, frequencies: Float[Tensor, " p"], base: float) -> Float[Tensor, " p"]:
        """The slower frequencies; `base` is the `Rotary`'s."""
        pairs = len(frequencies)
        first, last = (self._channel(turns, pairs, base) for turns in (self.fast, self.slow))
        if self.whole:
            first, last = math.floor(first), math.ceil(last)
        first, last = max(first, 0), min(last, 2 * pairs - 1)
        steps = torch.arange(pairs, dtype=torch.float32, device=frequencies.device)
        slowed = ((steps - first) / max(last - first, 0.001)).clamp(0, 1)
        return frequencies * (1 - slowed) + frequencies / self.factor * slowed

    def _channel(self, turns: float, pairs: int, base: float) -> float:
        """Which channel pair turns so often over the original length; a fraction."""
        return pairs * math.log(self.original_length / (turns * 2 * math.pi)) / math.log(base)


def _check(factor: float, original_length: int = 1, slow: float = 1.0, fast: float = 2.0) -> None:
    if not factor > 0:
        raise ArgumentError(f"factor is {factor}; it must be above 0.")
    if original_length < 1:
        raise ArgumentError(f"original_length is {original_length}; it must be at least 1.")
    if not 0 < slow < fast:
        raise ArgumentError(f"slow is {slow} and fast {fast}; they must be above 0, and slow below fast.")


ScalingConfig: TypeAlias = LinearScalingConfig | Llama3ScalingConfig | YarnScalingConfig

"""SpecAugment: stretches of time and bands of frequency are hidden, on spectrograms on the device.

Hidden values are 0, which is the mean of standardized features.

Axes: b batch · k channels of a picture · m mel channels · t frames
Ref: arXiv:1904.08779; widths that follow the length of a clip: arXiv:1912.05533
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from multimodal.errors import ArgumentError


@dataclass(frozen=True, kw_only=True)
class SpecAugmentConfig:
    """How much is hidden; each width is drawn evenly from 0 to the largest."""

    bands: int = 2  # of frequency, in each clip
    band: float = 0.25  # part of the channels that one hides at most
    stretches: int = 4  # of time, in each clip
    stretch: float = 0.06  # part of the clip that one hides at most

    def __post_init__(self) -> None:
        for name, value in (("band", self.band), ("stretch", self.stretch)):
            if not 0 <= value <= 1:
                raise ArgumentError(f"{name} is {value}; it is a part, from 0 to 1.")
        for name, value in (("bands", self.bands), ("stretches", self.stretches)):
            if value < 0:
                raise ArgumentError(f"{name} is {value}; it must be at least 0.")

    def build(self) -> SpecAugment:
        """A `SpecAugment`."""
        return SpecAugment(self)


class SpecAugment:
    """Hides other parts of each clip; from torch's random state."""

    def __init__(self, config: SpecAugmentConfig) -> None:
        self.config = config

    def __call__(self, mel: Float[Tensor, "b m t"], keep: Bool[Tensor, "b t"] | None = None) -> Float[Tensor, "b m t"]:
        """The clips with parts of them 0; `keep` is False at padding, on the right."""
        b, m, t = mel.shape
        full = torch.full((b,), t, device=mel.device)
        channels = _hidden(torch.full_like(full, m), m, self.config.bands, self.config.band)
        frames = _hidden(full if keep is None else keep.sum(1), t, self.config.stretches, self.config.stretch)
        return mel.masked_fill(channels[:, :, None] | frames[:, None], 0.0)


def hide_pictures(hide: SpecAugment, pixels: Float[Tensor, "b k m t"]) -> Float[Tensor, "b k m t"]:
    """Spectrograms as pictures of one channel with parts of them 0.

    Raises:
        ArgumentError: pictures of several channels, which are no spectrograms.
    """
    if pixels.shape[1] != 1:
        raise ArgumentError("hide is set, which hides parts of spectrograms; for a model of images it must be None.")
    return hide(pixels[:, 0])[:, None]


def _hidden(lengths: Tensor, size: int, count: int, part: float) -> Bool[Tensor, "b size"]:
    """Which of `size` places lie in one of `count` runs, each within the first `lengths[row]` places."""
    draws = torch.rand(2, len(lengths), count, 1, device=lengths.device)
    whole = lengths[:, None, None]
    widths = (draws[0] * (whole * part + 1)).floor().clamp(max=whole)
    starts = (draws[1] * (whole - widths + 1)).floor()
    places = torch.arange(size, device=lengths.device)
    return ((places >= starts) & (places < starts + widths)).any(1)

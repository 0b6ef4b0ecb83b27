"""Mixtures of two training images, or spectrograms, and their labels, on batches on the device.

Axes: b batch · c classes · k channels · h, w pixels
Refs: mixup arXiv:1710.09412 · CutMix arXiv:1905.04899
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class MixConfig:
    """Strength a of the weight's Beta(a, a) distribution; 0: off. With both on, each batch has one at random."""

    mixup: float = 0.0
    cutmix: float = 0.0

    def build(self) -> Mix:
        """A `Mix`."""
        return Mix(self)


class Mix:
    """Blends each image of a batch with its neighbour, or pastes a rectangle of the neighbour into it."""

    def __init__(self, config: MixConfig) -> None:
        self.config = config

    def __call__(
        self, pixels: Float[Tensor, "b k h w"], target: Float[Tensor, "b c"]
    ) -> tuple[Float[Tensor, "b k h w"], Float[Tensor, "b c"]]:
        """The mixed images and their mixed class probabilities; one weight for the batch, from torch's random state."""
        alphas = [a for a in (self.config.mixup, self.config.cutmix) if a > 0]
        if not alphas:
            return pixels, target
        cut = self.config.cutmix > 0 and (self.config.mixup == 0 or bool(torch.rand(()) < 0.5))
        alpha = self.config.cutmix if cut else self.config.mixup
        weight = float(torch.distributions.Beta(alpha, alpha).sample())
        other = pixels.roll(1, 0)
        if cut:
            top, bottom, left, right = _rectangle(pixels.shape[-2:], 1 - weight)
            pixels = pixels.clone()
            pixels[..., top:bottom, left:right] = other[..., top:bottom, left:right]
            height, width = pixels.shape[-2:]
            weight = 1 - (bottom - top) * (right - left) / (height * width)  # what is left after clipping
        else:
            pixels = pixels.lerp(other, 1 - weight)
        return pixels, target.lerp(target.roll(1, 0), 1 - weight)


def _rectangle(size: torch.Size, area: float) -> tuple[int, int, int, int]:
    """A rectangle of that part of the area around a random centre, clipped to the image: top, bottom, left, right."""
    height, width = size
    half_height, half_width = int(height * area**0.5) // 2, int(width * area**0.5) // 2
    y, x = int(torch.randint(height, ())), int(torch.randint(width, ()))
    return (
        max(y - half_height, 0),
        min(y + half_height, height),
        max(x - half_width, 0),
        min(x + half_width, width),
    )

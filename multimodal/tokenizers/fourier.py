"""Pixels as they are, each beside what says where it stands: the Perceiver's input.

Nothing is learned. A patch of one pixel is that pixel; of a larger one all values stand side by side. Behind them come
its place, from -1 at one border to 1 at the other, and sines and cosines of it, whose frequencies go in even steps from
half a wave over the image up to a wave over every two patches.

Axes: b batch · k channels · H, W pixels · h, w patches · t = h w · n bands · d = k · patch + 2 (2 n + 1)
Refs: Perceiver arXiv:2103.03206 §3.2, §D
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from multimodal.errors import ArgumentError
from multimodal.tokenizers.tokens import Tokens


@dataclass(frozen=True, kw_only=True)
class FourierTokenizerConfig:
    """Hyper-parameters of `FourierTokenizer`."""

    size: tuple[int, int] = (224, 224)  # pixels (height, width) that the frequencies are made for
    patch: tuple[int, int] = (1, 1)  # pixels (height, width) of one token
    channels: int = 3
    bands: int = 64  # n, frequencies for each axis

    @property
    def grid(self) -> tuple[int, int]:
        """(h, w): tokens along the height and the width of an image of `size`."""
        return self.grid_of(*self.size)

    def grid_of(self, height: int, width: int) -> tuple[int, int]:
        """(h, w): tokens along the height and the width of an image of that many pixels."""
        return -(-height // self.patch[0]), -(-width // self.patch[1])

    @property
    def width(self) -> int:
        """d, which follows from the other fields."""
        return self.channels * self.patch[0] * self.patch[1] + 2 * (2 * self.bands + 1)

    def build(self) -> FourierTokenizer:
        """A `FourierTokenizer`; it gives tokens of its own `width`.

        Raises:
            ArgumentError: a size, patch, or number of channels or bands below 1.
        """
        if min(*self.size, *self.patch, self.channels, self.bands) < 1:
            raise ArgumentError(
                f"size={self.size}, patch={self.patch}, channels={self.channels} and bands={self.bands} must be "
                "positive."
            )
        return FourierTokenizer(self)


class FourierTokenizer(nn.Module):
    """Patches of pixels and Fourier features of their places, side by side."""

    def __init__(self, config: FourierTokenizerConfig) -> None:
        super().__init__()
        self.config = config

    def forward(self, pixels: Float[Tensor, "b k H W"]) -> Tokens:
        """Tokens of normalised pixels, row by row; zeros are added where the patches do not divide the image.

        Raises:
            ArgumentError: the number of channels differs from the config's.
        """
        config = self.config
        if pixels.shape[1] != config.channels:
            raise ArgumentError(f"pixels have {pixels.shape[1]} channels; the model takes {config.channels}.")
        (height, width), (ph, pw) = pixels.shape[-2:], config.patch
        h, w = config.grid_of(height, width)
        pixels = F.pad(pixels, (0, w * pw - width, 0, h * ph - height))
        patches = pixels.unflatten(-1, (w, pw)).unflatten(-3, (h, ph))  # b k h ph w pw
        patches = patches.permute(0, 2, 4, 3, 5, 1).flatten(3).flatten(1, 2)  # b t (ph pw k)
        places = fourier_features((h, w), config.grid, config.bands, pixels.device).to(pixels.dtype)
        x = torch.cat([patches, places.expand(len(patches), -1, -1)], dim=-1)
        return Tokens(x=x, runs=((h * w, False),))


def fourier_features(
    grid: tuple[int, int], reference: tuple[int, int], bands: int, device: torch.device
) -> Float[Tensor, "t f"]:
    """Of each place of `grid`, row by row: row and column in [-1, 1], then their sines, then their cosines.

    The highest frequency is a wave over two places of the grid `reference`, whatever the size of `grid`.
    """
    axes = [torch.linspace(-1, 1, n, device=device) for n in grid]
    places = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).flatten(0, 1)  # t 2
    frequencies = torch.stack([torch.linspace(1, n / 2, bands, device=device) for n in reference])  # 2 n
    angles = math.pi * (places[..., None] * frequencies).flatten(1)  # t (2 n)
    return torch.cat([places, angles.sin(), angles.cos()], dim=-1)

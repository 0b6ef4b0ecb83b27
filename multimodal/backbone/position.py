"""Positions added to the tokens before the first block: learned or sinusoidal, along a line or over a grid.

Positions that act inside attention are in `rotary.py` and `bias.py`.

Axes: n positions · h, w rows and columns of a grid · d model width
Refs: sinusoidal arXiv:1706.03762 §3.5 · learned grids and their resizing arXiv:2010.11929 §3.2 · 2-D sinusoidal
arXiv:2104.02057 §5
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from multimodal.errors import ArgumentError


@dataclass(frozen=True, kw_only=True)
class LearnedPositionConfig:
    """One learned vector for each place of a line `(n,)` or a grid `(h, w)`."""

    def build(self, dim: int, grid: tuple[int, ...]) -> LearnedPosition:
        """A `LearnedPosition` for vectors of width `dim`."""
        return LearnedPosition(dim, grid)


@dataclass(frozen=True, kw_only=True)
class SinusoidalPositionConfig:
    """Sines and cosines of geometrically spaced frequencies; nothing is learned."""

    base: float = (
        10_000.0  # the longest wave is nearly 2π · base places; Whisper's is 2π · 10,000: base 10,000^(d / (d - 2))
    )
    interleaved: bool = False  # order of channels: sin cos sin cos (the paper), or all sines first (Whisper, MoCo v3)

    def build(self, dim: int, grid: tuple[int, ...]) -> SinusoidalPosition:
        """A `SinusoidalPosition` for vectors of width `dim`."""
        return SinusoidalPosition(self, dim, grid)


PositionConfig: TypeAlias = LearnedPositionConfig | SinusoidalPositionConfig


class LearnedPosition(nn.Module):
    """A table of position vectors, resized smoothly when asked for another grid."""

    def __init__(self, dim: int, grid: tuple[int, ...]) -> None:
        super().__init__()
        self.grid = grid
        self.weight = nn.Parameter(torch.empty(math.prod(grid), dim))
        nn.init.trunc_normal_(self.weight, std=0.02, a=-0.04, b=0.04)

    def forward(self, grid: tuple[int, ...]) -> Float[Tensor, "n d"]:
        """The vectors of all places of `grid`, row by row.

        A grid of other proportions is interpolated (bicubic, antialiased). A line is cut when shorter.

        Raises:
            ArgumentError: a line longer than the learned one.
        """
        if grid == self.grid:
            return self.weight
        if len(grid) == 1:
            if grid[0] > self.grid[0]:
                raise ArgumentError(
                    f"{grid[0]} tokens were given; the model learned positions for {self.grid[0]}. Shorten the input."
                )
            return self.weight[: grid[0]]
        return resize_grid(self.weight, self.grid, grid)


class SinusoidalPosition(nn.Module):
    """Position vectors by formula; over a grid, half of the channels for the row and half for the column."""

    table: Tensor

    def __init__(self, config: SinusoidalPositionConfig, dim: int, grid: tuple[int, ...]) -> None:
        super().__init__()
        self.config, self.dim, self.grid = config, dim, grid
        if dim % (2 * len(grid)):
            raise ArgumentError(f"width {dim} must be divisible by {2 * len(grid)} for sinusoidal positions.")
        self.register_buffer("table", self._vectors(grid), persistent=False)

    def _vectors(self, grid: tuple[int, ...]) -> Float[Tensor, "n d"]:
        places = torch.stack(torch.meshgrid(*(torch.arange(n) for n in grid), indexing="ij"), dim=-1)
        per_axis = self.dim // len(grid)
        parts = [sinusoids(axis, per_axis, self.config) for axis in places.flatten(0, -2).unbind(-1)]
        return torch.cat(parts, dim=-1)

    def forward(self, grid: tuple[int, ...]) -> Float[Tensor, "n d"]:
        """The vectors of all places of `grid`, row by row; any size."""
        return self.table if grid == self.grid else self._vectors(grid).to(self.table)


def sinusoids(places: Tensor, width: int, config: SinusoidalPositionConfig) -> Float[Tensor, "n w"]:
    """Sines and cosines of each place, `width` channels in all."""
    frequencies = config.base ** -(torch.arange(width // 2, dtype=torch.float64) / (width // 2))
    angles = places[:, None].double() * frequencies
    joined = torch.stack if config.interleaved else torch.cat
    return joined([angles.sin(), angles.cos()], dim=-1).flatten(1).float()


def resize_grid(vectors: Float[Tensor, "n d"], old: tuple[int, ...], new: tuple[int, ...]) -> Float[Tensor, "m d"]:
    """Position vectors of the grid `old` (h, w), interpolated to the grid `new`; in float32, bicubic, antialiased."""
    picture = vectors.float().unflatten(0, old).permute(2, 0, 1)[None]  # 1 d h w
    picture = F.interpolate(picture, size=new, mode="bicubic", antialias=True)
    return picture[0].flatten(1).t().to(vectors.dtype)

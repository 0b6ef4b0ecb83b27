"""From an encoder's tokens to a language model's: the only layers that a LLaVA-style model trains first.

Each config has `build(width, dim)` and `length(grid, extra)`, the tokens that an image of that grid becomes. The
resampler, which gives any image the same number, is in `perceiver.py`.

Axes: n images · s tokens of an encoder · h, w their rows and columns · e their width · t tokens of a projector ·
d width of the language model · f hidden width
Refs: linear: LLaVA arXiv:2304.08485 §4.1 · two layers: LLaVA-1.5 arXiv:2310.03744 §3.3 · pixel shuffle: InternVL 1.5
arXiv:2404.16821 §3.1 · resampler: Flamingo arXiv:2204.14198 §3.1.1
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from jaxtyping import Float
from torch import Tensor, nn

from multimodal.backbone.backbone import initialize
from multimodal.backbone.mlp import Activation, activate
from multimodal.errors import ArgumentError
from multimodal.models.perceiver import ResamplerConfig

Grid: TypeAlias = tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class LinearProjectorConfig:
    """One linear layer for each token."""

    bias: bool = True

    def length(self, grid: Grid, extra: int) -> int:
        """t: as many as there are, the `extra` in front of the grid too."""
        return extra + grid[0] * grid[1]

    def build(self, width: int, dim: int) -> LinearProjector:
        """A `LinearProjector` with fresh weights."""
        return LinearProjector(self, width, dim)


class LinearProjector(nn.Linear):
    """W x + b."""

    def __init__(self, config: LinearProjectorConfig, width: int, dim: int) -> None:
        super().__init__(width, dim, bias=config.bias)
        initialize(self)

    def forward(self, x: Float[Tensor, "n s e"], grid: Grid) -> Float[Tensor, "n s d"]:
        """The tokens in the language model's width."""
        return super().forward(x)


@dataclass(frozen=True, kw_only=True)
class MlpProjectorConfig:
    """Two linear layers for each token, with an activation between them (LLaVA-1.5)."""

    activation: Activation = "gelu"
    hidden: int | None = None  # f; None: d
    bias: bool = True

    def length(self, grid: Grid, extra: int) -> int:
        """t: as many as there are, the `extra` in front of the grid too."""
        return extra + grid[0] * grid[1]

    def build(self, width: int, dim: int) -> MlpProjector:
        """An `MlpProjector` with fresh weights."""
        return MlpProjector(self, width, dim)


class MlpProjector(nn.Module):
    """W₂ act(W₁ x + b₁) + b₂."""

    def __init__(self, config: MlpProjectorConfig, width: int, dim: int) -> None:
        super().__init__()
        hidden = config.hidden or dim
        self.up, self.down = nn.Linear(width, hidden, bias=config.bias), nn.Linear(hidden, dim, bias=config.bias)
        self.activation = activate(config.activation)
        self.apply(initialize)

    def forward(self, x: Float[Tensor, "n s e"], grid: Grid) -> Float[Tensor, "n s d"]:
        """The tokens in the language model's width."""
        return self.down(self.activation(self.up(x)))


@dataclass(frozen=True, kw_only=True)
class PixelShuffleProjectorConfig:
    """Neighbours become one token, as much wider, under a norm and two layers: fewer tokens, and nothing averaged."""

    fold: tuple[int, int] = (2, 2)  # rows and columns of neighbours; of sound (1, n): it has one row
    activation: Activation = "gelu"
    hidden: int | None = None  # f; None: d

    def length(self, grid: Grid, extra: int) -> int:
        """t: one for each group of neighbours.

        Raises:
            ArgumentError: a grid that `fold` does not divide, or tokens outside it.
        """
        if min(self.fold) < 1 or grid[0] % self.fold[0] or grid[1] % self.fold[1]:
            raise ArgumentError(
                f"fold is {self.fold}, which does not divide the encoder's {grid[0]} rows of {grid[1]} tokens."
            )
        if extra:
            raise ArgumentError("A class token has no place in a grid that is folded: leave class_token out.")
        return grid[0] * grid[1] // (self.fold[0] * self.fold[1])

    def build(self, width: int, dim: int) -> PixelShuffleProjector:
        """A `PixelShuffleProjector` with fresh weights."""
        return PixelShuffleProjector(self, width, dim)


class PixelShuffleProjector(nn.Module):
    """The neighbours side by side, a norm, and an `MlpProjector`."""

    def __init__(self, config: PixelShuffleProjectorConfig, width: int, dim: int) -> None:
        super().__init__()
        self.fold = config.fold
        width *= config.fold[0] * config.fold[1]
        self.norm = nn.LayerNorm(width)
        self.mlp = MlpProjectorConfig(activation=config.activation, hidden=config.hidden).build(width, dim)

    def forward(self, x: Float[Tensor, "n s e"], grid: Grid) -> Float[Tensor, "n t d"]:
        """One token for each group of neighbours in `grid`, row by row."""
        (h, w), (rows, columns) = grid, self.fold
        x = x.unflatten(1, (h // rows, rows, w // columns, columns))
        x = x.transpose(2, 3).flatten(3).flatten(1, 2)  # n t (rows columns e)
        return self.mlp(self.norm(x), grid)


AnyProjectorConfig: TypeAlias = (
    LinearProjectorConfig | MlpProjectorConfig | PixelShuffleProjectorConfig | ResamplerConfig
)

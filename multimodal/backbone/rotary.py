"""Rotary positions: queries and keys are turned by an angle that grows with their position.

One class covers text (one axis) and images (two axes: row and column, half of the channels each). A token at the
origin is not turned at all, which is how class and register tokens stay without a position.

Axes: b batch · t length · a position axes · h heads · k head width
Refs: RoFormer arXiv:2104.09864 · two axes as in EVA-02 arXiv:2303.11331 · longer texts: see `rotary_scaling.py`
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from multimodal.backbone.rotary_scaling import ScalingConfig
from multimodal.errors import ArgumentError


class Rotation(NamedTuple):
    """Cosines and sines of the angles of each position, one per channel of a head."""

    cos: Float[Tensor, "#b 1 t k"]
    sin: Float[Tensor, "#b 1 t k"]


@dataclass(frozen=True, kw_only=True)
class RotaryConfig:
    """Hyper-parameters of `Rotary`."""

    axes: Literal[1, 2] = 1
    base: float = 10_000.0  # the slowest channel turns once in about 2π · base positions
    layout: Literal["half", "interleaved"] = (
        "half"  # channel i pairs with i + k/2 (Llama) or with its neighbour (GPT-J)
    )
    width: int | None = None  # channels of a head that turn; None: all
    scaling: ScalingConfig | None = None  # slower, for texts longer than those first trained on

    def __post_init__(self) -> None:
        if not self.base > 1:
            raise ArgumentError(f"base is {self.base}; it must be above 1.")

    def build(self, heads: int, head_dim: int) -> Rotary:
        """A `Rotary` for heads of `head_dim` channels."""
        return Rotary(self, head_dim)


class Rotary(nn.Module):
    """Angles for positions; `rotate` applies them.

    Frequencies are computed when asked for and not kept in a buffer, which a cast of the model to bfloat16 would round.
    """

    def __init__(self, config: RotaryConfig, head_dim: int) -> None:
        super().__init__()
        self.config = config
        width = config.width or head_dim
        if width > head_dim or width % (2 * config.axes):
            raise ArgumentError(
                f"rotary width is {width}; it must be at most the head width {head_dim} "
                f"and divisible by {2 * config.axes}."
            )
        self.width = width

    def frequencies(self, device: torch.device | None = None) -> Float[Tensor, " p"]:
        """Radians per position of each of an axis's channel pairs, the fastest first."""
        pairs = self.width // 2 // self.config.axes
        found = 1.0 / self.config.base ** (torch.arange(pairs, dtype=torch.float32, device=device) / pairs)
        return self.config.scaling.scale(found, self.config.base) if self.config.scaling else found

    def forward(self, positions: Shaped[Tensor, "#b t a"]) -> Rotation:
        """The rotation of tokens at `positions`, counted in tokens (text) or patches (images)."""
        if positions.shape[-1] != self.config.axes:
            raise ArgumentError(
                f"positions have {positions.shape[-1]} axes; this rotary embedding turns {self.config.axes}."
            )
        angles = (positions[..., None].float() * self.frequencies(positions.device)).flatten(-2)  # b t pairs
        if self.config.layout == "half":
            angles = torch.cat([angles, angles], dim=-1)
        else:
            angles = angles.repeat_interleave(2, dim=-1)
        cos, sin = angles.cos()[:, None], angles.sin()[:, None]
        amplitude = self.config.scaling.amplitude if self.config.scaling else 1.0
        return Rotation(cos, sin) if amplitude == 1.0 else Rotation(cos * amplitude, sin * amplitude)

    def rotate(self, x: Float[Tensor, "b h t k"], rotation: Rotation) -> Float[Tensor, "b h t k"]:
        """`x` turned; the angles are applied in float32 whatever the dtype of `x`."""
        width = rotation.cos.shape[-1]
        turned = x[..., :width].float()
        if self.config.layout == "half":
            first, second = turned.chunk(2, dim=-1)
            partner = torch.cat([-second, first], dim=-1)
        else:
            partner = torch.stack([-turned[..., 1::2], turned[..., ::2]], dim=-1).flatten(-2)
        turned = (turned * rotation.cos + partner * rotation.sin).to(x.dtype)
        return turned if width == x.shape[-1] else torch.cat([turned, x[..., width:]], dim=-1)

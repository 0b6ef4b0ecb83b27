"""Latents that read an array of any length: the resampler, which makes a few vectors of an image's many.

The Perceiver, whose latents are a model of their own, is in `perceiver_encoder.py`; with output queries in
`perceiver_io.py`.

Axes: n views · s tokens of a view · e feature width · l latents · d language width
Refs: the Perceiver resampler (Flamingo) arXiv:2204.14198 §3.1.1
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from multimodal.backbone.attention import AttentionConfig
from multimodal.backbone.backbone import DEEPEST, initialize
from multimodal.backbone.mlp import Activation, MlpConfig
from multimodal.backbone.norm import LayerNormConfig, NormConfig
from multimodal.errors import ArgumentError


@dataclass(frozen=True, kw_only=True)
class ResamplerConfig:
    """A fixed number of learned latents that look at the features and at each other, layer after layer."""

    latents: int = 64  # l: vectors of a view, whatever its size
    depth: int = 2  # layers; Flamingo has 6
    heads: int = 8
    hidden: int | None = None  # width of the MLPs; None: 4 e
    activation: Activation = "gelu"
    norm: NormConfig = LayerNormConfig()

    def length(self, grid: tuple[int, int], extra: int = 0) -> int:
        """Vectors of a view: as many as there are latents, whatever the grid (h, w) and what stands in front of it."""
        return self.latents

    def build(self, width: int, dim: int) -> Resampler:
        """A `Resampler` from features of `width` to vectors of `dim`, with fresh weights.

        Raises:
            ArgumentError: no latents, no layers, or a width that the heads do not divide.
        """
        return Resampler(self, width, dim)


class Resampler(nn.Module):
    """Features of a view to `latents` vectors of the language model's width."""

    def __init__(self, config: ResamplerConfig, width: int, dim: int) -> None:
        super().__init__()
        if config.latents < 1 or not 1 <= config.depth <= DEEPEST:
            raise ArgumentError(
                f"latents is {config.latents} and depth {config.depth}; both must be at least 1, depth at most "
                f"{DEEPEST:,}."
            )
        self.config = config
        self.latents = fresh_latents(config.latents, width)
        self.layers = nn.ModuleList(ResamplerLayer(config, width) for _ in range(config.depth))
        self.norm = config.norm.build(width)
        self.out = nn.Linear(width, dim)
        self.apply(initialize)

    def forward(self, x: Float[Tensor, "n s e"], grid: tuple[int, int]) -> Float[Tensor, "n l d"]:
        """What the latents found in features; `grid` does not matter, for features know their place."""
        latents = self.latents.to(x.dtype).expand(x.shape[0], -1, -1)
        for layer in self.layers:
            latents = layer(latents, x)
        return self.out(self.norm(latents))


class ResamplerLayer(nn.Module):
    """Latents look at the features and the latents together, then go through an MLP, each on a residual branch."""

    def __init__(self, config: ResamplerConfig, width: int) -> None:
        super().__init__()
        self.feature_norm = config.norm.build(width)
        self.latent_norm = config.norm.build(width)
        self.attention = AttentionConfig(heads=config.heads).build(width)
        self.mlp_norm = config.norm.build(width)
        self.mlp = MlpConfig(hidden=config.hidden or 4 * width, activation=config.activation).build(width)

    def forward(self, latents: Float[Tensor, "n l e"], x: Float[Tensor, "n s e"]) -> Float[Tensor, "n l e"]:
        """The latents after one look."""
        queries = self.latent_norm(latents)
        context = torch.cat([self.feature_norm(x), queries], dim=1)
        latents = latents + self.attention(queries, context=context)
        return latents + self.mlp(self.mlp_norm(latents))


def fresh_latents(count: int, dim: int) -> nn.Parameter:
    """Learned vectors (count, dim), drawn as the Perceiver's are: normal with deviation 0.02, cut at 2 (§3.2)."""
    latents = nn.Parameter(torch.empty(count, dim))
    nn.init.trunc_normal_(latents, std=0.02)
    return latents

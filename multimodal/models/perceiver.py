"""Learned latents that read an array of any length: the Perceiver, and the resampler made of the same idea.

The Perceiver's latents read the input by cross-attention and think about it in a stack of the shared backbone, so that
its cost grows with the length of the input and not with its square. It reads once (Perceiver IO) or again and again
(the first Perceiver). An encoder of images and sound made of it is in `perceiver_encoder.py`, output queries are in
`perceiver_io.py`. The resampler makes a few vectors of an image's many, for a language model to read.

Axes: b batch · n views · s tokens of an input or view · c input width · e feature width · l latents · d model width
Refs: Perceiver arXiv:2103.03206 · Perceiver IO arXiv:2107.14795 · the Perceiver resampler (Flamingo) arXiv:2204.14198
§3.1.1
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from multimodal.backbone.attention import AttentionConfig
from multimodal.backbone.backbone import DEEPEST, BackboneConfig, initialize
from multimodal.backbone.block import BlockConfig
from multimodal.backbone.cross_block import CrossBlockConfig
from multimodal.backbone.mlp import Activation, MlpConfig
from multimodal.backbone.norm import LayerNormConfig, NormConfig
from multimodal.errors import ArgumentError


@dataclass(frozen=True, kw_only=True)
class PerceiverConfig:
    """Hyper-parameters of `Perceiver`; the width of the input comes from the parent, in `build`.

    The first Perceiver reads in every round, later ones once: `rounds=8, readings=8` and `rounds=8, readings=1`.
    """

    latents: int  # l
    dim: int  # d, their width
    depth: int  # blocks of a round
    block: BlockConfig
    reading: CrossBlockConfig
    rounds: int = 1  # of the same blocks, with the same weights
    readings: int = 1  # rounds, from the first, that begin with the input; all but the first share their weights
    norm: NormConfig | None = None  # of the latents at the end

    def build(self, width: int) -> Perceiver:
        """A `Perceiver` of inputs of `width`, with fresh weights.

        Raises:
            ArgumentError: no latents, a number of rounds that no model has, or more readings than rounds.
        """
        if self.latents < 1 or not 1 <= self.rounds <= DEEPEST:
            raise ArgumentError(
                f"latents is {self.latents} and rounds {self.rounds}; both must be at least 1, rounds at most "
                f"{DEEPEST:,}."
            )
        if not 1 <= self.readings <= self.rounds:
            raise ArgumentError(
                f"readings is {self.readings}; the input is read at the start of a round, so from 1 to {self.rounds} "
                "times."
            )
        return Perceiver(self, width)


class Perceiver(nn.Module):
    """An array of any length to a fixed number of latents."""

    def __init__(self, config: PerceiverConfig, width: int) -> None:
        super().__init__()
        self.config = config
        self.latents = fresh_latents(config.latents, config.dim)
        self.readings = nn.ModuleList(
            config.reading.build(config.dim, width) for _ in range(min(config.readings, 2))
        )  # the first, and the one that all others are
        self.backbone = BackboneConfig(dim=config.dim, depth=config.depth, block=config.block, final_norm=False).build()
        self.norm = config.norm.build(config.dim) if config.norm else nn.Identity()
        self.readings.apply(initialize_by_inputs)
        self.backbone.apply(initialize_by_inputs)

    def forward(self, x: Float[Tensor, "b s c"], *, keep: Bool[Tensor, "b s"] | None = None) -> Float[Tensor, "b l d"]:
        """The latents once they have read `x`, whose padding is where `keep` is False."""
        latents = self.latents.to(x.dtype).expand(x.shape[0], -1, -1)
        for number in range(self.config.rounds):
            if number < self.config.readings:
                latents = self.readings[min(number, 1)](latents, x, keep=keep)
            latents = self.backbone(latents)
        return self.norm(latents)


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
        self.layers.apply(initialize_by_inputs)
        initialize(self.out)  # as faint as words are

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


def initialize_by_inputs(module: nn.Module) -> None:
    """Fresh weights of a linear layer as the Perceiver has them: with deviation 1 / sqrt(inputs), biases zero.

    With the usual 0.02, what a narrow model's latents read is too faint to learn from (8 px digits, width 48, 250
    steps: 71% against 93%).
    """
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=module.in_features**-0.5)
        if module.bias is not None:
            nn.init.zeros_(module.bias)

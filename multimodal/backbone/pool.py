"""Many tokens to one vector: class tokens, the last token, the mean, or learned attention.

Axes: b batch · t length · d model width
Refs: class token arXiv:2010.11929 · mean of two arXiv:2104.01778 · mean of all arXiv:2205.01580 · attention pooling
("MAP head", SigLIP) arXiv:2106.04560
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from multimodal.backbone.attention import AttentionConfig
from multimodal.backbone.backbone import initialize
from multimodal.backbone.mask import Scores
from multimodal.backbone.mlp import MlpConfig
from multimodal.backbone.norm import LayerNormConfig, NormConfig


@dataclass(frozen=True, kw_only=True)
class ClassPoolConfig:
    """The first tokens, side by side: the class token; with `tokens=2` also DeiT's distillation token."""

    tokens: int = 1

    def build(self, dim: int) -> ClassPool:
        """A `ClassPool`; its output is `tokens * dim` wide."""
        return ClassPool(self)


@dataclass(frozen=True, kw_only=True)
class ClassMeanPoolConfig:
    """The mean of the first tokens: AST's class and distillation token."""

    tokens: int = 2

    def build(self, dim: int) -> ClassMeanPool:
        """A `ClassMeanPool`; its output is `dim` wide."""
        return ClassMeanPool(self)


@dataclass(frozen=True, kw_only=True)
class LastPoolConfig:
    """The last token, the only one that has seen all others where they are causal."""

    def build(self, dim: int) -> LastPool:
        """A `LastPool`."""
        return LastPool()


@dataclass(frozen=True, kw_only=True)
class MeanPoolConfig:
    """The mean of the tokens, without class and register tokens unless `include_prefix`."""

    include_prefix: bool = False

    def build(self, dim: int) -> MeanPool:
        """A `MeanPool`."""
        return MeanPool(self)


@dataclass(frozen=True, kw_only=True)
class AttentionPoolConfig:
    """A learned query that attends to all tokens, and an MLP on what it found."""

    attention: AttentionConfig
    mlp: MlpConfig
    norm: NormConfig = LayerNormConfig()
    include_prefix: bool = True  # whether it sees class and register tokens

    def build(self, dim: int) -> AttentionPool:
        """An `AttentionPool` for tokens of width `dim`."""
        return AttentionPool(self, dim)


PoolConfig: TypeAlias = ClassPoolConfig | ClassMeanPoolConfig | LastPoolConfig | MeanPoolConfig | AttentionPoolConfig


class ClassPool(nn.Module):
    """The first tokens, side by side."""

    def __init__(self, config: ClassPoolConfig) -> None:
        super().__init__()
        self.config = config

    def forward(
        self, x: Float[Tensor, "b t d"], *, prefix: int = 0, keep: Bool[Tensor, "b t"] | None = None
    ) -> Float[Tensor, "b e"]:
        """The first tokens of each row (e = tokens · d); `prefix` and `keep` do not matter."""
        return x[:, : self.config.tokens].flatten(1)


class ClassMeanPool(nn.Module):
    """The mean of the first tokens."""

    def __init__(self, config: ClassMeanPoolConfig) -> None:
        super().__init__()
        self.config = config

    def forward(
        self, x: Float[Tensor, "b t d"], *, prefix: int = 0, keep: Bool[Tensor, "b t"] | None = None
    ) -> Float[Tensor, "b d"]:
        """The mean of the first tokens of each row; `prefix` and `keep` do not matter."""
        return x[:, : self.config.tokens].mean(1)


class LastPool(nn.Module):
    """The last token."""

    def forward(
        self, x: Float[Tensor, "b t d"], *, prefix: int = 0, keep: Bool[Tensor, "b t"] | None = None
    ) -> Float[Tensor, "b d"]:
        """The last token of each row that is no padding (`keep` False); `prefix` does not matter."""
        if keep is None:
            return x[:, -1]
        last = keep.long().cumsum(1).argmax(1)  # the first place where no more are to come
        return x[torch.arange(x.shape[0], device=x.device), last]


class MeanPool(nn.Module):
    """The mean of the tokens that count."""

    def __init__(self, config: MeanPoolConfig) -> None:
        super().__init__()
        self.config = config

    def forward(
        self, x: Float[Tensor, "b t d"], *, prefix: int = 0, keep: Bool[Tensor, "b t"] | None = None
    ) -> Float[Tensor, "b d"]:
        """The mean over tokens, leaving out the first `prefix` (unless included) and padding (`keep` False)."""
        start = 0 if self.config.include_prefix else prefix
        if keep is None:
            return x[:, start:].mean(1)
        weight = keep[:, start:, None].to(x.dtype)
        return (x[:, start:] * weight).sum(1) / weight.sum(1).clamp(min=1)


class AttentionPool(nn.Module):
    """y = attention(query, tokens); y + mlp(norm(y))."""

    def __init__(self, config: AttentionPoolConfig, dim: int) -> None:
        super().__init__()
        self.config = config
        self.query = nn.Parameter(torch.empty(1, dim))
        self.attention = config.attention.build(dim)
        self.norm = config.norm.build(dim)
        self.mlp = config.mlp.build(dim)
        self.apply(initialize)
        nn.init.trunc_normal_(self.query, std=dim**-0.5)

    def forward(
        self, x: Float[Tensor, "b t d"], *, prefix: int = 0, keep: Bool[Tensor, "b t"] | None = None
    ) -> Float[Tensor, "b d"]:
        """What the learned query found in the tokens; with `include_prefix`, also in the first `prefix`."""
        if not self.config.include_prefix:
            x, keep = x[:, prefix:], keep[:, prefix:] if keep is not None else None
        scores = Scores(keep[:, None, None]) if keep is not None else Scores()
        y = self.attention(self.query.expand(x.shape[0], 1, -1), scores=scores, context=x)
        return (y + self.mlp(self.norm(y)))[:, 0]

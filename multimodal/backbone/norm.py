"""The two normalisations of the backbone: LayerNorm and RMSNorm.

Each is a config whose `build(dim)` gives the torch module; `eps` differs between published models (1e-5 GPT-2,
1e-6 timm's ViT, 1e-12 BERT) and changes the output, so it is always explicit.

Refs: LayerNorm arXiv:1607.06450 · RMSNorm arXiv:1910.07467
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from torch import nn


@dataclass(frozen=True, kw_only=True)
class LayerNormConfig:
    """Subtract the mean, divide by the deviation, scale and (with `bias`) shift each channel."""

    eps: float = 1e-5
    bias: bool = True

    def build(self, dim: int) -> nn.LayerNorm:
        """A LayerNorm over the last axis of width `dim`."""
        return nn.LayerNorm(dim, eps=self.eps, bias=self.bias)


@dataclass(frozen=True, kw_only=True)
class RMSNormConfig:
    """Divide by the root mean square and scale each channel."""

    eps: float = 1e-6

    def build(self, dim: int) -> nn.RMSNorm:
        """An RMSNorm over the last axis of width `dim`."""
        return nn.RMSNorm(dim, eps=self.eps)


NormConfig: TypeAlias = LayerNormConfig | RMSNormConfig

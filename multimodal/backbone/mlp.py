"""The channel mixer of a block: two linear layers around an activation, plain or gated.

Axes: b batch · t length · d model width · f hidden width
Refs: GELU arXiv:1606.08415 · gated units (GEGLU, SwiGLU) arXiv:2002.05202 · inner norm (EVA-02) arXiv:2303.11331
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from multimodal.backbone.norm import NormConfig

Activation: TypeAlias = Literal["gelu", "gelu_tanh", "quick_gelu", "relu", "silu"]


def activate(name: Activation) -> Callable[[Tensor], Tensor]:
    """The activation function called `name`. OpenAI's CLIP uses `quick_gelu`, GPT-2 and T5 v1.1 `gelu_tanh`."""
    functions: dict[Activation, Callable[[Tensor], Tensor]] = {
        "gelu": F.gelu,
        "gelu_tanh": gelu_tanh,
        "quick_gelu": quick_gelu,
        "relu": F.relu,
        "silu": F.silu,
    }
    return functions[name]


def gelu_tanh(x: Tensor) -> Tensor:
    """GELU with its tanh approximation."""
    return F.gelu(x, approximate="tanh")


def quick_gelu(x: Tensor) -> Tensor:
    """The sigmoid approximation of GELU: x · sigmoid(1.702 x)."""
    return x * torch.sigmoid(1.702 * x)


@dataclass(frozen=True, kw_only=True)
class MlpConfig:
    """Hyper-parameters of `Mlp`."""

    hidden: int  # f: commonly 4 d
    activation: Activation = "gelu"
    bias: bool = True
    dropout: float = 0.0  # probability of zeroing a hidden unit while training
    norm: NormConfig | None = None  # of the hidden units, after the activation

    def build(self, dim: int) -> Mlp:
        """An `Mlp` for tokens of width `dim`."""
        return Mlp(self, dim)


@dataclass(frozen=True, kw_only=True)
class GatedMlpConfig:
    """Hyper-parameters of `GatedMlp`. SwiGLU is `activation="silu"`, GEGLU `"gelu"`."""

    hidden: int  # f: commonly 8/3 d, which has as many parameters as a plain MLP of 4 d
    activation: Activation = "silu"
    bias: bool = False
    dropout: float = 0.0  # probability of zeroing a hidden unit while training
    norm: NormConfig | None = None  # of the hidden units, after the product

    def build(self, dim: int) -> GatedMlp:
        """A `GatedMlp` for tokens of width `dim`."""
        return GatedMlp(self, dim)


class Mlp(nn.Module):
    """down(norm(activation(up(x))))."""

    def __init__(self, config: MlpConfig, dim: int) -> None:
        super().__init__()
        self.up = nn.Linear(dim, config.hidden, bias=config.bias)
        self.activation = activate(config.activation)
        self.norm = config.norm.build(config.hidden) if config.norm else nn.Identity()
        self.dropout = nn.Dropout(config.dropout)
        self.down = nn.Linear(config.hidden, dim, bias=config.bias)

    def forward(self, x: Float[Tensor, "b t d"]) -> Float[Tensor, "b t d"]:
        """Mix the channels of each token."""
        return self.down(self.dropout(self.norm(self.activation(self.up(x)))))


class GatedMlp(nn.Module):
    """down(norm(activation(gate(x)) · up(x)))."""

    def __init__(self, config: GatedMlpConfig, dim: int) -> None:
        super().__init__()
        self.gate = nn.Linear(dim, config.hidden, bias=config.bias)
        self.up = nn.Linear(dim, config.hidden, bias=config.bias)
        self.activation = activate(config.activation)
        self.norm = config.norm.build(config.hidden) if config.norm else nn.Identity()
        self.dropout = nn.Dropout(config.dropout)
        self.down = nn.Linear(config.hidden, dim, bias=config.bias)

    def forward(self, x: Float[Tensor, "b t d"]) -> Float[Tensor, "b t d"]:
        """Mix the channels of each token, the activated gate deciding which pass."""
        return self.down(self.dropout(self.norm(self.activation(self.gate(x)) * self.up(x))))

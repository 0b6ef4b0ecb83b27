"""The channel mixers, against their formulas."""

import math
from typing import get_args

import pytest
import torch
from torch import Tensor

from multimodal.backbone.mlp import Activation, GatedMlpConfig, MlpConfig, activate
from multimodal.backbone.norm import LayerNormConfig

X = torch.randn(2, 3, 8, generator=torch.Generator().manual_seed(0))

FORMULAS = {
    "gelu": lambda x: x * 0.5 * (1 + torch.erf(x / math.sqrt(2))),
    "gelu_tanh": lambda x: 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
    "quick_gelu": lambda x: x / (1 + torch.exp(-1.702 * x)),
    "relu": lambda x: torch.where(x > 0, x, torch.zeros(())),
    "silu": lambda x: x / (1 + torch.exp(-x)),
}


def linear(x: Tensor, layer: torch.nn.Linear) -> Tensor:
    return torch.einsum("...i,oi->...o", x, layer.weight) + (layer.bias if layer.bias is not None else 0)


def test_every_activation_has_a_formula_here():
    assert set(FORMULAS) == set(get_args(Activation))


@pytest.mark.parametrize("name", get_args(Activation))
def test_activation(name: Activation):
    x = torch.linspace(-6, 6, 101)
    torch.testing.assert_close(activate(name)(x), FORMULAS[name](x))


@pytest.mark.parametrize("name", get_args(Activation))
@pytest.mark.parametrize("bias", [True, False])
def test_mlp(name: Activation, bias: bool):
    mlp = MlpConfig(hidden=12, activation=name, bias=bias).build(8)
    assert (mlp.up.bias is not None) == (mlp.down.bias is not None) == bias
    torch.testing.assert_close(mlp(X), linear(FORMULAS[name](linear(X, mlp.up)), mlp.down))


@pytest.mark.parametrize("name", get_args(Activation))
@pytest.mark.parametrize("bias", [True, False])
def test_gated_mlp(name: Activation, bias: bool):
    mlp = GatedMlpConfig(hidden=12, activation=name, bias=bias).build(8)
    expected = linear(FORMULAS[name](linear(X, mlp.gate)) * linear(X, mlp.up), mlp.down)
    torch.testing.assert_close(mlp(X), expected)


def test_inner_norm_stands_before_the_last_layer():
    plain = MlpConfig(hidden=12, norm=LayerNormConfig()).build(8)
    hidden = FORMULAS["gelu"](linear(X, plain.up))
    torch.testing.assert_close(plain(X), linear(torch.layer_norm(hidden, (12,)), plain.down))
    gated = GatedMlpConfig(hidden=12, norm=LayerNormConfig()).build(8)
    hidden = FORMULAS["silu"](linear(X, gated.gate)) * linear(X, gated.up)
    torch.testing.assert_close(gated(X), linear(torch.layer_norm(hidden, (12,)), gated.down))


@pytest.mark.parametrize("kind", [MlpConfig, GatedMlpConfig])
def test_dropout_only_while_training(kind: type[MlpConfig] | type[GatedMlpConfig]):
    mlp = kind(hidden=12, dropout=0.5, bias=False).build(8)
    assert not torch.equal(mlp(X), mlp(X))
    mlp.eval()
    assert torch.equal(mlp(X), mlp(X))

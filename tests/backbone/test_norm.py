"""The two norms, against their formulas."""

import pytest
import torch

from multimodal.backbone.norm import LayerNormConfig, RMSNormConfig

X = torch.randn(2, 3, 8, generator=torch.Generator().manual_seed(0)) * 3 + 1


@pytest.mark.parametrize("eps", [1e-12, 1e-5, 0.5])
def test_layer_norm(eps: float):
    norm = LayerNormConfig(eps=eps).build(8)
    torch.nn.init.normal_(norm.weight)
    torch.nn.init.normal_(norm.bias)
    centred = X - X.mean(-1, keepdim=True)
    expected = centred / ((centred**2).mean(-1, keepdim=True) + eps).sqrt() * norm.weight + norm.bias
    torch.testing.assert_close(norm(X), expected)


def test_layer_norm_without_bias():
    assert [name for name, _ in LayerNormConfig(bias=False).build(8).named_parameters()] == ["weight"]


@pytest.mark.parametrize("eps", [1e-12, 1e-5, 0.5])
def test_rms_norm(eps: float):
    norm = RMSNormConfig(eps=eps).build(8)
    torch.nn.init.normal_(norm.weight)
    expected = X / ((X**2).mean(-1, keepdim=True) + eps).sqrt() * norm.weight
    torch.testing.assert_close(norm(X), expected)

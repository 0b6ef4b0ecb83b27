"""Projectors against sums written out, neighbours gathered by loops."""

from __future__ import annotations

import pytest
import torch
from tiny_speech import shaken
from torch.nn import functional as F

from multimodal.errors import ArgumentError
from multimodal.models.projector import LinearProjectorConfig, MlpProjectorConfig, PixelShuffleProjectorConfig

GRID = (4, 6)
X = torch.randn(2, 24, 5, generator=torch.Generator().manual_seed(0))
KINDS = {
    "linear": LinearProjectorConfig(),
    "linear, no bias": LinearProjectorConfig(bias=False),
    "two layers": MlpProjectorConfig(),
    "two layers, narrow": MlpProjectorConfig(activation="gelu_tanh", hidden=3, bias=False),
    "folded": PixelShuffleProjectorConfig(),
    "folded, one row": PixelShuffleProjectorConfig(fold=(1, 3), hidden=4),
}


def built(name):
    return shaken(KINDS[name].build(5, 7))


@torch.no_grad()
@pytest.mark.parametrize("name", ["linear", "linear, no bias"])
def test_a_linear_projector(name):
    model = built(name)
    expected = torch.einsum("nse,de->nsd", X, model.weight)
    if "no bias" not in name:
        expected = expected + model.bias
    torch.testing.assert_close(model(X, GRID), expected)
    assert (model.bias is None) == ("no bias" in name)


@torch.no_grad()
@pytest.mark.parametrize(("name", "approximate"), [("two layers", "none"), ("two layers, narrow", "tanh")])
def test_two_layers(name, approximate):
    model = built(name)
    hidden = torch.einsum("nse,fe->nsf", X, model.up.weight)
    hidden = F.gelu(hidden if model.up.bias is None else hidden + model.up.bias, approximate=approximate)
    expected = torch.einsum("nsf,df->nsd", hidden, model.down.weight)
    expected = expected if model.down.bias is None else expected + model.down.bias
    torch.testing.assert_close(model(X, GRID), expected)
    assert {name.split(".")[0] for name in model.state_dict()} == {"up", "down"}
    assert model.up.out_features == (KINDS[name].hidden or 7) and (model.up.bias is None) == ("narrow" in name)


@torch.no_grad()
@pytest.mark.parametrize("name", ["folded", "folded, one row"])
def test_neighbours_become_one_token(name):
    model, (rows, columns) = built(name), KINDS[name].fold
    tokens = []
    for top in range(0, GRID[0], rows):
        for left in range(0, GRID[1], columns):
            near = [X[:, (top + i) * GRID[1] + left + j] for i in range(rows) for j in range(columns)]
            tokens.append(torch.cat(near, dim=-1))
    wide = torch.stack(tokens, dim=1)  # n t e·rows·columns
    normed = (wide - wide.mean(-1, keepdim=True)) / (wide.var(-1, keepdim=True, unbiased=False) + 1e-5).sqrt()
    normed = normed * model.norm.weight + model.norm.bias
    hidden = F.gelu(normed @ model.mlp.up.weight.T + model.mlp.up.bias)
    expected = hidden @ model.mlp.down.weight.T + model.mlp.down.bias
    torch.testing.assert_close(model(X, GRID), expected)


@pytest.mark.parametrize("name", KINDS)
def test_lengths_and_gradients(name):
    model, config = KINDS[name].build(5, 7), KINDS[name]
    found = model(X, GRID)
    assert found.shape == (2, config.length(GRID, 0), 7)
    found.square().sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    if not isinstance(config, PixelShuffleProjectorConfig):
        assert config.length(GRID, 1) == 25


def test_what_cannot_be_folded():
    with pytest.raises(ArgumentError, match=r"fold is \(2, 2\), which does not divide the encoder's 4 rows of 5"):
        PixelShuffleProjectorConfig().length((4, 5), 0)
    for fold in ((3, 2), (0, 1)):
        with pytest.raises(ArgumentError, match="which does not divide"):
            PixelShuffleProjectorConfig(fold=fold).length(GRID, 0)
    with pytest.raises(ArgumentError, match="leave class_token out"):
        PixelShuffleProjectorConfig().length(GRID, 1)

"""The Perceiver and the resampler against their definitions written out; invariances, gradients and refusals."""

from __future__ import annotations

import pytest
import torch
from written_perceivers import BLOCK, READING, attention, mlp, norm, randomized, read, think

from multimodal.backbone.norm import LayerNormConfig
from multimodal.errors import ArgumentError
from multimodal.models.perceiver import PerceiverConfig, ResamplerConfig


def perceiver(**parts):
    return randomized(PerceiverConfig(latents=5, dim=8, depth=2, block=BLOCK, reading=READING, **parts).build(6))


@pytest.mark.parametrize(("rounds", "readings"), [(1, 1), (3, 1), (3, 2), (4, 4)])
def test_the_perceiver_is_its_definition(rounds, readings):
    model = perceiver(rounds=rounds, readings=readings, norm=LayerNormConfig()).double()
    x = torch.randn(2, 9, 6, dtype=torch.float64)
    seen = torch.ones(2, 9, dtype=torch.bool)
    seen[1, 4:] = False
    z = model.latents.expand(2, -1, -1)
    first, later = model.readings[0], model.readings[-1]
    for number in range(rounds):
        if number < readings:
            z = read(z, x, first if number == 0 else later, seen)
        z = think(z, model.backbone)
    torch.testing.assert_close(model(x, keep=seen), norm(z, model.norm))


def test_later_readings_share_their_weights_and_the_first_has_its_own():
    count = {n: sum(p.numel() for p in perceiver(rounds=8, readings=n).parameters()) for n in (1, 2, 8)}
    reading = sum(p.numel() for p in perceiver().readings[0].parameters())
    assert count[2] == count[1] + reading and count[8] == count[2]


def test_the_input_has_no_order_and_no_padding():
    model, x = perceiver(rounds=2, readings=2), torch.randn(2, 9, 6)
    order = torch.randperm(9)
    torch.testing.assert_close(model(x[:, order]), model(x), msg="what stands where, the input itself must say")
    padded = torch.cat([x, torch.full((2, 3, 6), 1e3)], dim=1)
    torch.testing.assert_close(model(padded, keep=torch.arange(12).expand(2, -1) < 9), model(x))


def test_the_resampler_is_its_definition():
    model = randomized(ResamplerConfig(latents=3, depth=2, heads=2, hidden=20).build(8, 14)).double()
    x = torch.randn(2, 6, 8, dtype=torch.float64)
    z = model.latents.expand(2, -1, -1)
    for layer in model.layers:
        y = norm(z, layer.latent_norm)
        z = z + attention(y, torch.cat([norm(x, layer.feature_norm), y], dim=1), layer.attention)
        z = z + mlp(norm(z, layer.mlp_norm), layer.mlp)
    torch.testing.assert_close(model(x, (2, 3)), model.out(norm(z, model.norm)))


def test_the_resampler_gives_as_many_vectors_for_any_grid():
    config = ResamplerConfig(latents=4, heads=2)
    model = config.build(8, 16)
    for grid, extra in (((2, 3), 0), ((5, 5), 1), ((1, 1), 0)):
        x = torch.randn(2, grid[0] * grid[1] + extra, 8)
        assert model(x, grid).shape == (2, config.length(grid, extra), 16) == (2, 4, 16)


def test_gradients_reach_every_parameter():
    x = torch.randn(2, 7, 6)
    reader, resampler = perceiver(rounds=3, readings=2), randomized(ResamplerConfig(heads=2).build(6, 8))
    (reader(x).square().sum() + resampler(x, (1, 7)).square().sum()).backward()
    for name, parameter in [*reader.named_parameters(), *resampler.named_parameters()]:
        if not name.endswith(".k.bias"):  # which adds the same to all scores of a query, and so changes nothing
            assert parameter.grad is not None and parameter.grad.abs().max() > 1e-6, name


def test_the_latents_start_apart_from_each_other():
    fresh = ResamplerConfig(heads=2).build(6, 8).latents
    assert fresh.std().item() == pytest.approx(0.02, rel=0.2) and len(fresh.unique(dim=0)) == 64


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"rounds": 0}, "rounds 0; both must be at least 1"),
        ({"rounds": 2, "readings": 3}, "readings is 3; .* from 1 to 2 times"),
        ({"readings": 0}, "readings is 0"),
    ],
)
def test_perceivers_that_no_one_means_are_refused(parts, message):
    with pytest.raises(ArgumentError, match=message):
        perceiver(**parts)


def test_resamplers_that_no_one_means_are_refused():
    with pytest.raises(ArgumentError, match="latents is 0 and depth 2"):
        ResamplerConfig(latents=0).build(8, 8)
    with pytest.raises(ArgumentError, match="depth 0"):
        ResamplerConfig(depth=0).build(8, 8)
    with pytest.raises(ArgumentError, match="width 9 is not divisible by heads=8"):
        ResamplerConfig().build(9, 8)

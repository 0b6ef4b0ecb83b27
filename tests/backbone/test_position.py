"""Positions added to the tokens: sinusoids against their formulas, grids that are resized."""

import math

import pytest
import torch

from multimodal.backbone.position import (
    LearnedPositionConfig,
    SinusoidalPositionConfig,
    resize_grid,
)
from multimodal.errors import ArgumentError


def wave(place: int, pair: int, pairs: int, base: float) -> tuple[float, float]:
    angle = place * base ** (-pair / pairs)
    return math.sin(angle), math.cos(angle)


def line(n: int, dim: int, base: float, interleaved: bool) -> torch.Tensor:
    """PE(place, 2i) = sin(place / base^(2i/d)), PE(place, 2i+1) = cos of the same; or all sines first."""
    table = torch.zeros(n, dim)
    for place in range(n):
        for pair in range(dim // 2):
            sine, cosine = wave(place, pair, dim // 2, base)
            table[place, 2 * pair if interleaved else pair] = sine
            table[place, 2 * pair + 1 if interleaved else dim // 2 + pair] = cosine
    return table


@pytest.mark.parametrize("interleaved", [True, False])
@pytest.mark.parametrize("base", [10_000.0, 100.0])
def test_sinusoids_on_a_line(interleaved: bool, base: float):
    position = SinusoidalPositionConfig(base=base, interleaved=interleaved).build(8, (20,))
    torch.testing.assert_close(position((20,)), line(20, 8, base, interleaved))
    torch.testing.assert_close(position((33,)), line(33, 8, base, interleaved))  # longer than built for
    assert position.state_dict() == {}


@pytest.mark.parametrize("interleaved", [True, False])
def test_sinusoids_on_a_grid(interleaved: bool):
    position = SinusoidalPositionConfig(interleaved=interleaved).build(16, (3, 4))
    for grid in ((3, 4), (5, 2)):
        rows, columns = line(grid[0], 8, 10_000.0, interleaved), line(grid[1], 8, 10_000.0, interleaved)
        expected = [torch.cat([rows[r], columns[c]]) for r in range(grid[0]) for c in range(grid[1])]
        torch.testing.assert_close(position(grid), torch.stack(expected))


def test_sinusoids_of_whisper():
    """Its last wave has exactly the base, as its `sinusoids` has log(10,000) / (pairs - 1) between waves."""
    n, dim = 30, 16
    scales = torch.exp(-math.log(10_000) / (dim // 2 - 1) * torch.arange(dim // 2))
    angles = torch.arange(n)[:, None] * scales
    found = SinusoidalPositionConfig(base=10_000.0 ** (dim / (dim - 2))).build(dim, (n,))((n,))
    torch.testing.assert_close(found, torch.cat([angles.sin(), angles.cos()], dim=1), atol=1e-5, rtol=1e-5)


def test_sinusoids_need_pairs_of_channels_on_each_axis():
    with pytest.raises(ArgumentError, match="width 6 must be divisible by 4"):
        SinusoidalPositionConfig().build(6, (2, 2))


def test_learned_line_is_cut_and_never_stretched():
    position = LearnedPositionConfig().build(4, (6,))
    assert position((6,)) is position.weight
    assert torch.equal(position((4,)), position.weight[:4])
    with pytest.raises(ArgumentError, match="7 tokens were given; the model learned positions for 6"):
        position((7,))


def test_learned_grid_of_the_same_size_is_the_weight():
    position = LearnedPositionConfig().build(4, (3, 5))
    assert position.weight.shape == (15, 4)
    assert position((3, 5)) is position.weight


@pytest.mark.parametrize("new", [(6, 8), (2, 9), (5, 3)])
def test_resized_grid_keeps_rows_and_columns_apart(new: tuple[int, int]):
    """A grid that grows by 1 per row and is the same in all columns does so after resizing, between the borders."""
    slope = torch.arange(4.0)[:, None, None].expand(4, 3, 2).flatten(0, 1)
    found = resize_grid(slope, (4, 3), new).unflatten(0, new)
    assert torch.allclose(found, found[:, :1].expand_as(found), atol=1e-5)  # the same in all columns
    assert (found[1:, 0] > found[:-1, 0]).all()  # growing from row to row
    constant = resize_grid(torch.full((12, 2), 3.0), (4, 3), new)
    torch.testing.assert_close(constant, torch.full((math.prod(new), 2), 3.0))


@pytest.mark.parametrize("new", [(10, 10), (4, 4), (5, 8)])
def test_resized_grid_equals_timm(new: tuple[int, int]):
    layers = pytest.importorskip("timm.layers")
    weight = torch.randn(49, 6)
    expected = layers.resample_abs_pos_embed(weight[None], list(new), old_size=[7, 7], num_prefix_tokens=0)[0]
    torch.testing.assert_close(resize_grid(weight, (7, 7), new), expected)


def test_resizing_is_differentiable_and_works_in_bfloat16():
    position = LearnedPositionConfig().build(4, (3, 3))
    position((5, 5)).sum().backward()
    assert position.weight.grad is not None
    assert position.weight.grad.abs().min() > 0
    assert position.to(torch.bfloat16)((5, 5)).dtype == torch.bfloat16

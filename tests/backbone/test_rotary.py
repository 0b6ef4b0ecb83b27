"""Rotary positions, against a multiplication by complex numbers."""

import pytest
import torch
from torch import Tensor

from multimodal.backbone.rotary import RotaryConfig
from multimodal.errors import ArgumentError

B, H, T, K = 2, 3, 9, 16
X = torch.randn(B, H, T, K, generator=torch.Generator().manual_seed(0))
LINE = torch.arange(T)[None, :, None]
GRID = torch.stack([torch.arange(T) // 3, torch.arange(T) % 3], dim=-1)[None]


def turn(x: Tensor, positions: Tensor, base: float, layout: str) -> Tensor:
    """Channel pairs of x (b h t k) as complex numbers, times exp(i · position · base^(-pair / pairs)), per axis."""
    k, axes = x.shape[-1], positions.shape[-1]
    pairs = k // 2 // axes  # of one axis
    if layout == "half":
        z = torch.complex(x[..., : k // 2].double(), x[..., k // 2 :].double())
    else:
        z = torch.complex(x[..., ::2].double(), x[..., 1::2].double())
    for axis in range(axes):
        for pair in range(pairs):
            angle = positions[..., axis].double() * base ** (-pair / pairs)  # b t
            z[..., axis * pairs + pair] *= torch.polar(torch.ones_like(angle), angle)[:, None]
    if layout == "half":
        return torch.cat([z.real, z.imag], dim=-1).float()
    return torch.stack([z.real, z.imag], dim=-1).flatten(-2).float()


@pytest.mark.parametrize("layout", ["half", "interleaved"])
@pytest.mark.parametrize(
    "positions", [LINE, GRID, LINE + torch.tensor([0, 5])[:, None, None]], ids=["1-D", "2-D", "ragged"]
)
@pytest.mark.parametrize("base", [10_000.0, 50.0])
def test_against_complex_numbers(layout, positions: Tensor, base: float):
    rotary = RotaryConfig(axes=positions.shape[-1], base=base, layout=layout).build(H, K)
    found = rotary.rotate(X, rotary(positions))
    torch.testing.assert_close(found, turn(X, positions, base, layout), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("layout", ["half", "interleaved"])
def test_partial_width_leaves_the_rest_alone(layout):
    rotary = RotaryConfig(width=8, layout=layout).build(H, K)
    found = rotary.rotate(X, rotary(LINE))
    torch.testing.assert_close(found[..., :8], turn(X[..., :8], LINE, 10_000.0, layout), atol=1e-5, rtol=1e-5)
    assert torch.equal(found[..., 8:], X[..., 8:])


def test_origin_is_not_turned():
    rotary = RotaryConfig(axes=2).build(H, K)
    assert torch.equal(rotary.rotate(X, rotary(torch.zeros(1, T, 2))), X)


@pytest.mark.parametrize("axes", [1, 2])
def test_products_depend_on_differences_only(axes):
    rotary = RotaryConfig(axes=axes).build(H, K)
    positions = LINE if axes == 1 else GRID
    near, far = (rotary.rotate(X, rotary(positions + shift)) for shift in (0, 40))
    torch.testing.assert_close(near @ near.mT, far @ far.mT, atol=1e-4, rtol=1e-4)


def test_fractional_positions():
    rotary = RotaryConfig().build(H, K)
    torch.testing.assert_close(
        rotary.rotate(X, rotary(LINE * 0.5)), turn(X, LINE * 0.5, 10_000.0, "half"), atol=1e-5, rtol=1e-5
    )


def test_angles_stay_exact_in_a_bfloat16_model():
    """A model that is cast to bfloat16 must not round its frequencies: at position 1,000 the angles would be random."""
    positions = LINE + 1000
    exact = RotaryConfig().build(H, K)
    cast = RotaryConfig().build(H, K).to(torch.bfloat16)
    for found, expected in zip(cast(positions), exact(positions), strict=True):
        assert torch.equal(found, expected)
    turned = cast.rotate(X.bfloat16(), cast(positions))
    assert turned.dtype == torch.bfloat16
    torch.testing.assert_close(
        turned.float(), turn(X.bfloat16().float(), positions, 10_000.0, "half"), atol=2e-2, rtol=1e-2
    )


def test_nothing_is_stored_with_the_weights():
    assert RotaryConfig().build(H, K).state_dict() == {}


def test_bad_widths_and_positions_are_refused():
    with pytest.raises(ArgumentError, match="rotary width is 32; it must be at most the head width 16"):
        RotaryConfig(width=32).build(H, K)
    with pytest.raises(ArgumentError, match=r"rotary width is 6; .* divisible by 4"):
        RotaryConfig(axes=2, width=6).build(H, K)
    with pytest.raises(ArgumentError, match="positions have 2 axes; this rotary embedding turns 1"):
        RotaryConfig().build(H, K)(GRID)

"""Frequencies for longer texts, against the papers' formulas written out channel by channel."""

from __future__ import annotations

import math

import pytest
import torch

from multimodal.backbone.rotary import RotaryConfig
from multimodal.backbone.rotary_scaling import (
    LinearScalingConfig,
    Llama3ScalingConfig,
    ScalingConfig,
    YarnScalingConfig,
)
from multimodal.config import from_plain, to_plain

PAIRS, BASE, ORIGINAL = 32, 500.0, 256


def llama3(frequency: float, factor: float, slow: float, fast: float) -> float:
    wavelength = 2 * math.pi / frequency  # tokens
    if wavelength < ORIGINAL / fast:
        return frequency
    if wavelength > ORIGINAL / slow:
        return frequency / factor
    smooth = (ORIGINAL / wavelength - slow) / (fast - slow)
    return (1 - smooth) * frequency / factor + smooth * frequency


def yarn(channel: int, frequency: float, factor: float, slow: float, fast: float, *, whole: bool) -> float:
    """arXiv:2309.00071 §3.2, the ramp over channels as in its code."""
    first, last = (PAIRS * math.log(ORIGINAL / (turns * 2 * math.pi)) / math.log(BASE) for turns in (fast, slow))
    if whole:
        first, last = math.floor(first), math.ceil(last)
    first = max(first, 0)
    slowed = min(max((channel - first) / (last - first), 0), 1)
    return frequency * (1 - slowed) + frequency / factor * slowed


def found(scaling: ScalingConfig | None) -> list[float]:
    return RotaryConfig(base=BASE, scaling=scaling).build(1, 2 * PAIRS).frequencies().tolist()


PLAIN = [BASE ** (-i / PAIRS) for i in range(PAIRS)]


def test_linear() -> None:
    assert found(LinearScalingConfig(factor=4.0)) == pytest.approx([f / 4 for f in PLAIN], rel=1e-6)


def test_llama3() -> None:
    expected = [llama3(f, 8.0, 1.0, 4.0) for f in PLAIN]
    kinds = {"kept": 0, "slowed": 0, "between": 0}
    for before, after in zip(PLAIN, expected, strict=True):
        kinds["kept" if after == before else "slowed" if after == before / 8 else "between"] += 1
    assert min(kinds.values()) > 0
    assert found(Llama3ScalingConfig(factor=8.0, original_length=ORIGINAL)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("whole", [True, False])
def test_yarn(whole: bool) -> None:
    expected = [yarn(i, f, 4.0, 1.0, 32.0, whole=whole) for i, f in enumerate(PLAIN)]
    config = YarnScalingConfig(factor=4.0, original_length=ORIGINAL, whole=whole)
    assert found(config) == pytest.approx(expected, rel=1e-5)


def test_amplitude_sharpens_attention() -> None:
    scaling = YarnScalingConfig(factor=4.0, original_length=ORIGINAL, amplitude=1.3)
    x, places = torch.randn(1, 1, 5, 16), torch.arange(5)[None, :, None]
    plain, grown = (
        RotaryConfig(scaling=each).build(1, 16)
        for each in (YarnScalingConfig(factor=4.0, original_length=ORIGINAL), scaling)
    )
    torch.testing.assert_close(grown.rotate(x, grown(places)), plain.rotate(x, plain(places)) * 1.3)


@pytest.mark.parametrize(
    "scaling",
    [None, LinearScalingConfig(factor=2.0), Llama3ScalingConfig(factor=2.0, original_length=8)],
)
def test_configs_are_plain_data(scaling: ScalingConfig | None) -> None:
    config = RotaryConfig(scaling=scaling)
    assert from_plain(RotaryConfig, to_plain(config)) == config

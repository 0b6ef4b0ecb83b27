"""Pixels beside Fourier features of their places: against the formula, on grids of other sizes, and refusals."""

from __future__ import annotations

import math

import pytest
import torch

from multimodal.config import from_plain, to_plain
from multimodal.errors import ArgumentError
from multimodal.tokenizers.fourier import FourierTokenizerConfig


def test_each_token_is_its_pixel_and_its_place():
    config = FourierTokenizerConfig(size=(6, 4), bands=3)
    pixels = torch.randn(2, 3, 5, 4)
    tokens = config.build()(pixels)
    assert tokens.x.shape == (2, 20, config.width) and tokens.runs == ((20, False),) and tokens.prefix == 0
    for row, column in ((0, 0), (2, 1), (4, 3)):
        places = (2 * row / 4 - 1, 2 * column / 3 - 1)
        highest = (6 / 2, 4 / 2)  # waves over half of an axis: of the size that the config names, not of this image
        angles = [
            math.pi * place * (1 + (most - 1) * i / 2)
            for place, most in zip(places, highest, strict=True)
            for i in range(3)
        ]
        told = [*places, *map(math.sin, angles), *map(math.cos, angles)]
        expected = torch.cat([pixels[1, :, row, column], torch.tensor(told)])
        torch.testing.assert_close(tokens.x[1, row * 4 + column], expected)


def test_a_patch_is_all_its_values_row_by_row():
    config = FourierTokenizerConfig(size=(4, 6), patch=(2, 3), channels=1, bands=2)
    assert config.grid == (2, 2) and config.width == 6 + 10
    pixels = torch.arange(24.0).reshape(1, 1, 4, 6)
    x = config.build()(pixels).x
    assert x[0, 1, :6].tolist() == [3, 4, 5, 9, 10, 11] and x[0, 2, :6].tolist() == [12, 13, 14, 18, 19, 20]


def test_what_patches_do_not_divide_is_filled_with_zeros():
    config = FourierTokenizerConfig(size=(4, 4), patch=(2, 2), channels=1, bands=1)
    x = config.build()(torch.ones(1, 1, 3, 5)).x
    assert x.shape[1] == 6 and x[0, -1, :4].tolist() == [1, 0, 0, 0]


def test_an_image_of_one_place_has_finite_features():
    assert FourierTokenizerConfig(size=(1, 1), bands=1).build()(torch.randn(1, 3, 1, 1)).x.isfinite().all()


def test_configs_survive_json_and_nonsense_is_refused():
    config = FourierTokenizerConfig(size=(4, 4), bands=2)
    assert from_plain(FourierTokenizerConfig, to_plain(config)) == config
    with pytest.raises(ArgumentError, match="bands=0 must be positive"):
        FourierTokenizerConfig(bands=0).build()
    with pytest.raises(ArgumentError, match="pixels have 1 channels; the model takes 3"):
        config.build()(torch.randn(1, 1, 4, 4))

"""Images as tiles: the canvas, the cut, and the way back into one row, against loops that say it plainly."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from PIL import Image

from multimodal.errors import ArgumentError
from multimodal.models.chat.tiles import LLAVA_NEXT_CANVASES, TilesConfig, arrange, length, read_tiles
from multimodal.models.chat.views import Reader
from multimodal.tokenizers.image_transform import ImageTransformConfig

VIEW = (12, 12)
CONFIG = TilesConfig(canvases=((12, 24), (24, 12), (24, 24), (36, 12), (12, 36), (12, 12)))
SIZES = ((30, 40), (40, 30), (24, 24), (5, 90), (90, 5), (7, 9), (25, 23), (100, 101), (1, 400))  # (height, width)


def picture(height: int, width: int) -> Image.Image:
    levels = np.random.default_rng(height * 1000 + width).integers(1, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(levels)


def best_by_loops(height: int, width: int, canvases: tuple[tuple[int, int], ...]) -> tuple[int, int]:
    """The canvas that shows most pixels; of those that show as many, the one with the least area left over."""
    best, most, least = canvases[0], -1, math.inf
    for rows, columns in canvases:
        scale = min(columns / width, rows / height)
        shown = min(int(width * scale) * int(height * scale), width * height)
        left = rows * columns - shown
        if shown > most or (shown == most and left < least):
            best, most, least = (rows, columns), shown, left
    return best


def test_the_canvas_shows_most_of_the_image_and_wastes_least() -> None:
    for size in SIZES:
        assert CONFIG.canvas(*size) == best_by_loops(*size, CONFIG.canvases)
    assert CONFIG.canvas(300, 900) == (12, 36) and CONFIG.canvas(900, 300) == (36, 12)
    assert CONFIG.canvas(400, 400) == (24, 24)
    assert CONFIG.canvas(6, 6) == (12, 12)  # all show all of it; this is the smallest
    assert TilesConfig().canvases == LLAVA_NEXT_CANVASES and TilesConfig().canvas(600, 600) == (672, 672)
    twins = TilesConfig(canvases=((24, 12), (12, 24)))
    assert twins.canvas(10, 10) == (24, 12)  # the first of equals


@pytest.mark.parametrize("size", SIZES)
def test_views_are_the_whole_image_and_then_the_tiles_row_by_row(size: tuple[int, int]) -> None:
    image, transform = picture(*size), ImageTransformConfig(size=VIEW).build()
    views = read_tiles(image, CONFIG, transform)
    height, width = CONFIG.canvas(*size)
    assert views.dtype == torch.uint8 and views.shape == (1 + height // 12 * (width // 12), 3, 12, 12)
    bicubic = Image.Resampling.BICUBIC
    assert np.array_equal(views[0].permute(1, 2, 0), np.asarray(image.resize((12, 12), bicubic)))
    scale = min(height / size[0], width / size[1])
    new_height, new_width = min(math.ceil(size[0] * scale), height), min(math.ceil(size[1] * scale), width)
    canvas = np.zeros((height, width, 3), dtype=np.uint8)
    top, left = (height - new_height) // 2, (width - new_width) // 2
    canvas[top : top + new_height, left : left + new_width] = np.asarray(image.resize((new_width, new_height), bicubic))
    number = 0
    for row in range(0, height, 12):
        for column in range(0, width, 12):
            number += 1
            assert np.array_equal(views[number].permute(1, 2, 0), canvas[row : row + 12, column : column + 12])


def test_how_an_image_would_be_cropped_does_not_matter_but_its_interpolation_does() -> None:
    image = picture(20, 50)
    plain = read_tiles(image, CONFIG, ImageTransformConfig(size=VIEW).build())
    squashed = ImageTransformConfig(size=VIEW, resize="squash").build()
    assert torch.equal(read_tiles(image, CONFIG, squashed), plain)
    nearest = ImageTransformConfig(size=VIEW, interpolation="nearest").build()
    assert not torch.equal(read_tiles(image, CONFIG, nearest), plain)


@pytest.mark.parametrize("grid", [(4, 4), (3, 3), (2, 5)])
@pytest.mark.parametrize("size", SIZES)
def test_vectors_come_back_as_one_grid_without_the_margin(size: tuple[int, int], grid: tuple[int, int]) -> None:
    height, width = CONFIG.canvas(*size)
    rows, columns = height // 12, width // 12
    (h, w), newline = grid, torch.full((2,), -1.0)
    features = torch.arange((1 + rows * columns) * h * w * 2.0).view(1 + rows * columns, h * w, 2)
    all_rows, all_columns = rows * h, columns * w
    top = left = 0
    if size[1] / size[0] > all_columns / all_rows:
        top = (all_rows - int(round(size[0] * (all_columns / size[1]), 7))) // 2
    else:
        left = (all_columns - int(round(size[1] * (all_rows / size[0]), 7))) // 2
    expected = list(features[0])
    for row in range(top, all_rows - top):
        for column in range(left, all_columns - left):
            tile = 1 + row // h * columns + column // w
            expected.append(features[tile, row % h * w + column % w])
        expected.append(newline)
    found = arrange(features, CONFIG, size, grid, VIEW, newline)
    assert torch.equal(found, torch.stack(expected))
    assert length(CONFIG, size, grid, VIEW) == len(expected)


def test_gradients_reach_the_newline_and_what_is_shown() -> None:
    features, newline = torch.randn(3, 16, 2, requires_grad=True), torch.zeros(2, requires_grad=True)
    arrange(features, TilesConfig(canvases=((12, 24),)), (12, 24), (4, 4), VIEW, newline).sum().backward()
    assert features.grad is not None and (features.grad == 1).all()
    assert newline.grad is not None and newline.grad.tolist() == [4, 4]  # one for each row


def test_canvases_must_be_whole_tiles() -> None:
    CONFIG.fits(VIEW)
    with pytest.raises(ArgumentError, match=r"canvases has \(12, 30\), which cannot be cut into tiles of 12 x 12"):
        Reader(
            ImageTransformConfig(size=VIEW), tiles=TilesConfig(canvases=((12, 24), (12, 30))), length=16, grid=(4, 4)
        )
    for canvases in ((), ((12, 0),)):
        with pytest.raises(ArgumentError, match="it must hold at least one"):
            TilesConfig(canvases=canvases)

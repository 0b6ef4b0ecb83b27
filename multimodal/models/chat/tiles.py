"""An image of any size as tiles: which canvas fits it, its views as pixels, and their vectors back in one row.

The image is put on the canvas that shows most of it, as large as it goes and black around; the canvas is cut into
tiles of the size that the encoder reads. The first view is the image as a whole, squashed. Behind the projector the
tiles become one grid again, of which the black margin is cut off, and each row of it ends with a learned *newline*.
All of this equals LLaVA-NeXT. How a view becomes vectors is in `features.py` and `projector.py`.

Axes: n views · s vectors of a view · d language width · h, w the grid of a view · S pixels of a view's side
Refs: LLaVA-NeXT (Liu et al. 2024, https://llava-vl.github.io/blog/2024-01-30-llava-next) · LLaVA-1.5-HD
arXiv:2310.03744 §4.5
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

from multimodal.errors import ArgumentError
from multimodal.tokenizers.image_transform import ImageTransform

# Those of LLaVA-NeXT, whose encoder reads 336 pixels.
LLAVA_NEXT_CANVASES = ((336, 672), (672, 336), (672, 672), (1008, 336), (336, 1008))


@dataclass(frozen=True, kw_only=True)
class TilesConfig:
    """Into which tiles an image is cut."""

    canvases: tuple[tuple[int, int], ...] = LLAVA_NEXT_CANVASES  # (height, width) in pixels, whole tiles each

    def __post_init__(self) -> None:
        if not self.canvases or any(min(canvas) < 1 for canvas in self.canvases):
            raise ArgumentError(f"canvases is {self.canvases}; it must hold at least one (height, width) in pixels.")

    def fits(self, view: tuple[int, int]) -> None:
        """Refuse canvases that are no whole number of views.

        Args:
            view: height and width in pixels that the encoder reads.

        Raises:
            ArgumentError: one of them is not.
        """
        for canvas in self.canvases:
            if canvas[0] % view[0] or canvas[1] % view[1]:
                raise ArgumentError(
                    f"canvases has {canvas}, which cannot be cut into tiles of {view[0]} x {view[1]} pixels, the size "
                    "that the image encoder reads; give multiples of that."
                )

    def canvas(self, height: int, width: int) -> tuple[int, int]:
        """(height, width) of the canvas for an image of `height` x `width` pixels.

        The one on which most of its pixels are left; of several such the smallest, the first of equals.
        """

        def merit(canvas: tuple[int, int]) -> tuple[int, int]:
            scale = min(canvas[1] / width, canvas[0] / height)
            shown = min(int(width * scale) * int(height * scale), width * height)
            return shown, shown - canvas[0] * canvas[1]

        return max(self.canvases, key=merit)

    def tiles(self, size: tuple[int, int], view: tuple[int, int]) -> tuple[int, int]:
        """(rows, columns) of tiles for an image of `size`, both (height, width) in pixels as `view` is."""
        height, width = self.canvas(*size)
        return height // view[0], width // view[1]


def read_tiles(image: Image.Image, config: TilesConfig, transform: ImageTransform) -> UInt8[Tensor, "n 3 S1 S2"]:
    """The views of an upright RGB image: itself, squashed, then its tiles row by row.

    Of `transform`, the size and the interpolation count; how it would crop does not.
    """
    view, resample = transform.config.size, Image.Resampling[transform.config.interpolation.upper()]
    whole = image.resize((view[1], view[0]), resample)
    height, width = config.canvas(image.height, image.width)
    across, down = width / image.width, height / image.height
    if across < down:
        shown = (width, min(math.ceil(image.height * across), height))
    else:
        shown = (min(math.ceil(image.width * down), width), height)
    canvas = Image.new("RGB", (width, height))
    canvas.paste(image.resize(shown, resample), ((width - shown[0]) // 2, (height - shown[1]) // 2))
    rows, columns = height // view[0], width // view[1]
    tiles = _pixels(canvas).unflatten(2, (columns, view[1])).unflatten(1, (rows, view[0]))  # c rows S columns S
    tiles = tiles.permute(1, 3, 0, 2, 4).flatten(0, 1)  # n c S S
    return torch.cat([_pixels(whole)[None], tiles])


def length(config: TilesConfig, size: tuple[int, int], grid: tuple[int, int], view: tuple[int, int]) -> int:
    """How many vectors `arrange` gives for an image of `size`, newlines included.

    Args:
        config: the canvases.
        size: height and width of the image in pixels.
        grid: rows and columns of a view's vectors.
        view: height and width of a view in pixels.
    """
    rows, columns = config.tiles(size, view)
    top, left = _margin(size, (rows * grid[0], columns * grid[1]))
    shown = rows * grid[0] - 2 * top, columns * grid[1] - 2 * left
    return grid[0] * grid[1] + shown[0] * (shown[1] + 1)


def arrange(
    features: Float[Tensor, "n s d"],
    config: TilesConfig,
    size: tuple[int, int],
    grid: tuple[int, int],
    view: tuple[int, int],
    newline: Float[Tensor, " d"],
) -> Float[Tensor, "tokens d"]:
    """The vectors of an image in one row: those of the whole, then the tiles' as one grid, without the black margin.

    Args:
        features: of its views, each a grid row by row.
        config: the canvases.
        size: height and width of the image in pixels.
        grid: rows and columns of a view's vectors.
        view: height and width of a view in pixels.
        newline: what stands at the end of each row of the large grid.
    """
    rows, columns = config.tiles(size, view)
    tiles = features[1:].unflatten(1, grid).unflatten(0, (rows, columns))  # rows columns h w d
    whole = tiles.transpose(1, 2).flatten(2, 3).flatten(0, 1)  # rows·h columns·w d
    top, left = _margin(size, (whole.shape[0], whole.shape[1]))
    whole = whole[top : whole.shape[0] - top, left : whole.shape[1] - left]
    ends = newline.to(whole.dtype).expand(whole.shape[0], 1, -1)
    return torch.cat([features[0], torch.cat([whole, ends], dim=1).flatten(0, 1)])


def _margin(size: tuple[int, int], grid: tuple[int, int]) -> tuple[int, int]:
    """(rows at the top and at the bottom, columns at the left and at the right) of a grid that show no image."""
    (height, width), (rows, columns) = size, grid
    if width / height > columns / rows:
        return (rows - int(round(height * (columns / width), 7))) // 2, 0
    return 0, (columns - int(round(width * (rows / height), 7))) // 2


def _pixels(image: Image.Image) -> UInt8[Tensor, "3 h w"]:
    return torch.from_numpy(np.ascontiguousarray(np.asarray(image).transpose(2, 0, 1)))

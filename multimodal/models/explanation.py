"""The answer to "where did the model look?" as numbers and as a picture.

Relevance is found on the model's own view of an image, which may be cut, squeezed or padded. Here it is laid over the
upright original: what the model never saw has relevance 0 and is dimmed.

Axes: h, w pixels of the original · y, x rows and columns of the model's grid
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from multimodal.models.png import png_bytes, write_png

_SMALLEST, _LARGEST = 448, 1024  # pixels of the longer side of the picture
_COLOURS = "inferno"  # of matplotlib: brightness grows evenly with relevance, also in print and for the colour-blind


@dataclass(frozen=True, eq=False)
class Explanation:
    """How much each place of an image spoke for a label."""

    grid: Float[Tensor, "y x"]  # relevance in [0, 1] on the model's own grid
    cells: tuple[float, float]  # how many rows and columns of it cover the box; a last one may be padding in part
    box: tuple[float, float, float, float]  # left, top, right, bottom of the model's view, in pixels of the photo
    photo: Image.Image  # upright
    label: str
    probability: float  # of the label, calibrated if the model is
    method: str

    @property
    def relevance(self) -> Float[Tensor, "h w"]:
        """Relevance in [0, 1] of each pixel of the upright original; 0 where the model did not look at all."""
        return self._over(self.photo.size)

    def image(self) -> Image.Image:
        """The original under its relevance, from dark to bright, with a caption."""
        width, height = self.photo.size
        longer = max(width, height)
        scale = min(max(longer, _SMALLEST), _LARGEST) / longer
        size = max(1, round(width * scale)), max(1, round(height * scale))
        photo = self.photo.resize(size, Image.Resampling.LANCZOS if scale < 1 else Image.Resampling.BICUBIC)
        return _captioned(_overlay(photo, self._over(size), self._seen(size)), self.label, self.probability)

    def save(self, path: str | Path) -> Path:
        """Write the overlay as a PNG, in full or not at all; the path.

        Raises:
            DataError: it cannot be written.
        """
        return write_png(self.image(), path)

    def _repr_png_(self) -> bytes:
        """The picture, for notebooks."""
        return png_bytes(self.image())

    def _over(self, size: tuple[int, int]) -> Float[Tensor, "h w"]:
        """Relevance of each pixel of the original resized to `size` (width, height), interpolated linearly."""
        left, top, right, bottom = self._scaled_box(size)
        rows = _interpolation(size[1], top, bottom, self.cells[0], self.grid.shape[0])
        columns = _interpolation(size[0], left, right, self.cells[1], self.grid.shape[1])
        return (rows @ self.grid @ columns.T).clamp(0, 1)

    def _seen(self, size: tuple[int, int]) -> np.ndarray:
        """Which pixels (h w) of the original, resized to `size`, the model saw."""
        left, top, right, bottom = self._scaled_box(size)
        x, y = np.arange(size[0]) + 0.5, np.arange(size[1]) + 0.5
        return np.outer((y > top) & (y < bottom), (x > left) & (x < right))

    def _scaled_box(self, size: tuple[int, int]) -> tuple[float, float, float, float]:
        x, y = size[0] / self.photo.width, size[1] / self.photo.height
        left, top, right, bottom = self.box
        return left * x, top * y, right * x, bottom * y


def _interpolation(pixels: int, start: float, stop: float, cells: float, count: int) -> Float[Tensor, "p n"]:
    """The share of each of `count` cells in each pixel; `cells` of them lie from `start` to `stop`, none elsewhere."""
    centres = torch.arange(pixels) + 0.5
    places = ((centres - start) / (stop - start) * cells - 0.5).clamp(0, count - 1)  # counted in cells
    shares = (1 - (places[:, None] - torch.arange(count)).abs()).clamp(min=0)
    return shares * ((centres > start) & (centres < stop))[:, None]


def _overlay(photo: Image.Image, relevance: Tensor, seen: np.ndarray) -> Image.Image:
    """The photo in grey, coloured by relevance; the more relevant, the stronger the colour."""
    from matplotlib import colormaps

    strength = relevance.numpy()[..., None]  # h w 1
    grey = np.asarray(photo.convert("L"), dtype=np.float32)[..., None] / 255
    colour = colormaps[_COLOURS](0.25 + 0.65 * strength[..., 0])[..., :3]
    share = 0.25 + 0.45 * strength
    mixed = (1 - share) * grey + share * colour
    mixed = np.where(seen[..., None], mixed, 0.35 * grey + 0.1)
    return Image.fromarray((mixed * 255).round().astype(np.uint8))


def _captioned(picture: Image.Image, label: str, probability: float) -> Image.Image:
    """The picture above a line with the label, its probability and the colours from irrelevant to relevant."""
    import matplotlib
    from matplotlib import colormaps

    size = max(14, min(picture.width // 24, 28))
    font = ImageFont.truetype(Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf"), size)
    canvas = Image.new("RGB", (picture.width, picture.height + 2 * size), (24, 24, 27))
    canvas.paste(picture)
    draw = ImageDraw.Draw(canvas)
    middle, margin = picture.height + size, size // 2
    bar = Image.fromarray((colormaps[_COLOURS](np.linspace(0.25, 0.9, 4 * size))[None, :, :3] * 255).astype(np.uint8))
    bar = bar.resize((4 * size, size // 2))
    room = picture.width - bar.width - 3 * margin
    if room < 6 * size:
        room = picture.width - 2 * margin
    else:
        canvas.paste(bar, (picture.width - bar.width - margin, middle - bar.height // 2))
    text, percent = label if label.isprintable() else ascii(label), f" {probability:.1%}"
    while text and draw.textlength(text + percent, font=font) > room:
        text = text.rstrip("…")[:-1] + "…" if len(text) > 1 else ""
    draw.text((margin, middle), text + percent, font=font, fill=(244, 244, 245), anchor="lm")
    return canvas

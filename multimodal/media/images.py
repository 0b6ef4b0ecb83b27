"""The pixels of an image: upright, RGB, eight bits, whatever the file stored; and what its header says.

Not here: how a source is opened and refused (`opening.py`), and resizing to a model's input
(`tokenizers/image_transform.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image

from multimodal.media.opening import ImageSource, opened

MinSide = int | Callable[[int, int], int] | None
Box = tuple[float, float, float, float]  # left, top, right, bottom, in pixels

_ORIENTATION = 0x0112  # EXIF tag
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SIDEWAYS = 5  # from this orientation on, width and height change places


@dataclass(frozen=True, kw_only=True)
class ImageInfo:
    """What the header of an image says."""

    width: int  # pixels, as shown: after EXIF rotation
    height: int
    mode: str  # Pillow's name of the stored colour mode: "RGB", "L", "P", "CMYK", "I;16" ...
    format: str | None  # "JPEG", "PNG" ...; None: not from a file
    frames: int  # 1 unless animated or of several pages


def probe_image(source: ImageSource) -> ImageInfo:
    """What the header says; pixels are not decoded, so a damaged body is not noticed.

    A PNG that keeps its EXIF block behind the pixels is described as stored.

    Raises:
        MediaError: not a readable image, or more than `MAX_PIXELS`.
    """
    with opened(source) as image:
        width, height = image.size
        stored = getattr(image, "tag_v2", {})  # TIFF: recent versions of Pillow have exchanged the sides already
        if _orientation(image) >= _SIDEWAYS and (stored.get(256, width), stored.get(257, height)) == (width, height):
            width, height = height, width
        frames = getattr(image, "n_frames", 1)
        return ImageInfo(width=width, height=height, mode=image.mode, format=image.format, frames=frames)


def read_image(source: ImageSource, *, min_side: MinSide = None) -> Image.Image:
    """The picture, upright and in mode RGB. Of an animation: the first frame.

    Transparency is laid over white. Sixteen bits are scaled to eight; floats (and wider integers) are scaled from the
    smallest of the ranges 0-1, 0-255 and 0-65535 that holds them, or else from their own minimum and maximum.
    Colour profiles are not applied, as in torchvision and timm.

    Args:
        source: a path, the bytes of a file, a binary file object (read from its start), a PIL image, or an array
            `h w`, `h w 3` or `h w 4`, of uint8 or of floats in [0, 1].
        min_side: the shorter side in pixels that the caller needs, or a function that says it, given the upright
            (width, height). A JPEG is then decoded at 1/2, 1/4 or 1/8 of its size, the smallest whose shorter side is
            still at least twice that. Other formats are not affected. To resize exactly, see `read_reduced`.

    Raises:
        MediaError: not a readable image, or more than `MAX_PIXELS`.
    """
    return read_reduced(source, min_side=min_side)[0]


def read_reduced(source: ImageSource, *, min_side: MinSide) -> tuple[Image.Image, Box]:
    """`read_image`, and the box of the result that the picture covers.

    At 1/8 a JPEG of 1001 pixels becomes 126, of which the last is covered by one eighth only. Whoever resizes exactly
    must resize this box (`Image.resize(..., box=box)`), and take proportions from it: its sides are the full ones
    divided by 1, 2, 4 or 8, without rounding. Otherwise the result is stretched and often shifted by a pixel, which
    a vision transformer notices: of photographs at 64 pixels the worst embedding had a cosine of 0.984 with that of
    the full decode, instead of 0.9998.

    Raises:
        MediaError: not a readable image, or more than `MAX_PIXELS`.
    """
    with opened(source) as image:
        covered = None
        if min_side is not None and image is not source:  # never reduce the caller's own image object
            covered = _reduce(image, min_side)
        image.load()
        orientation = _orientation(image)  # after load: a PNG may carry it behind the pixels; a TIFF is upright by now
        width, height = covered or (float(image.width), float(image.height))
        image = _to_rgb(image)
        if orientation != 1:
            image = image.transpose(_UPRIGHT[orientation])
            image.info = {}  # among it the orientation, which no longer holds
        if orientation >= _SIDEWAYS:
            width, height = height, width
        left = image.width - width if orientation in (2, 3, 6, 7) else 0.0  # the incomplete last column is now first
        top = image.height - height if orientation in (3, 4, 7, 8) else 0.0
        return image, (left, top, left + width, top + height)


def _reduce(image: Image.Image, min_side: int | Callable[[int, int], int]) -> tuple[float, float] | None:
    """Have a JPEG decoded smaller; (width, height) that its picture will cover, as stored. Other formats: None."""
    if callable(min_side):
        width, height = image.size
        min_side = min_side(height, width) if _orientation(image) >= _SIDEWAYS else min_side(width, height)
    least = 2 * max(1, min_side)
    drafted = image.draft(None, (least, least))
    return (drafted[1][2], drafted[1][3]) if drafted else None


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 to 8, from what has been read of the file so far."""
    try:
        value = Image.Image.getexif(image).get(_ORIENTATION, 1)  # not PngImageFile's, which would decode the pixels
    except Exception:  # a broken EXIF block does not make a picture unreadable: viewers show it as it is stored
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _to_rgb(image: Image.Image) -> Image.Image:
    """Mode RGB; the image itself where it is so already."""
    if image.mode.startswith("I"):  # I;16 and its byte orders; I: sixteen-bit PGM, TIFF of wider integers
        image = _eight_bits(np.asarray(image), (65535,))
    elif image.mode == "F":
        image = _eight_bits(np.asarray(image), (1, 255, 65535))
    if not image.has_transparency_data:
        return image if image.mode == "RGB" else image.convert("RGB")
    image = image.convert("RGBA")
    alpha = image.getchannel("A")
    if alpha.getextrema() == (255, 255):
        return image.convert("RGB")
    white = Image.new("RGB", image.size, "white")
    white.paste(image, mask=alpha)
    return white


def _eight_bits(values: np.ndarray, tops: tuple[int, ...]) -> Image.Image:
    """Grey `h w` scaled to 0-255: from 0 and the first of `tops` that is not exceeded, or else from min and max."""
    values = values.astype(np.float64)
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    top = next((top for top in tops if low >= 0 and high <= top), None)
    if top is not None:
        low, high = 0.0, float(top)
    values = np.nan_to_num(values, nan=low, posinf=high, neginf=low)
    return Image.fromarray(np.rint((values - low) * (255 / ((high - low) or 1.0))).astype(np.uint8))

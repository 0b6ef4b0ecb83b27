"""Small pictures, files made of them, and how the tests of `media` look at results."""

import io
import struct
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image

from multimodal.media import MediaError, read_image

QUARTERS = np.array([[[250, 10, 20], [10, 240, 30]], [[20, 30, 245], [240, 235, 15]]], dtype=np.uint8)  # r g / b y


def picture(width: int = 48, height: int = 32) -> Image.Image:
    """Four flat quarters: red, green / blue, yellow; no symmetry, JPEG-friendly."""
    return Image.fromarray(QUARTERS.repeat(height // 2, axis=0).repeat(width // 2, axis=1))


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def difference(image: Image.Image, expected: Image.Image | np.ndarray) -> int:
    assert image.mode == "RGB"
    a, b = np.asarray(image).astype(int), np.asarray(expected).astype(int)
    assert a.shape == b.shape
    return int(np.abs(a - b).max())


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def exif_of(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def refused(source) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(MediaError) as caught:
            read_image(source)
    message = str(caught.value)
    assert message.endswith(".")
    assert "\n" not in message
    return message

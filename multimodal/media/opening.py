"""Any source of an image to a Pillow image whose header has been read and judged; pixels are not decoded here.

A file is judged by its content, not by its name. Not through `Image.open`: that warns about large pictures (we refuse
them by one rule, `MAX_PIXELS`) and tries every format it knows, among them some that start other programs (.eps).
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from PIL import Image

from multimodal.media.files import MediaError, open_file, shown, text_start

MAX_PIXELS = 200_000_000  # the largest phone sensor; 0.8 GB decoded
FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "AVIF", "BMP", "TIFF", "PPM", "JPEG2000", "HEIF", "JXL")  # last two: plugins

ImageSource = str | Path | bytes | IO[bytes] | io.BufferedIOBase | Image.Image | np.ndarray


@contextmanager
def opened(source: ImageSource) -> Iterator[Image.Image]:
    """The image of `source`, lazily: its pixels can be loaded while the context lasts.

    What goes wrong inside the context, decoding included, is raised as `MediaError` under the source's name.

    Raises:
        MediaError: not a readable image, or more than `MAX_PIXELS`.
        TypeError: `source` is none of the kinds above.
    """
    if isinstance(source, Image.Image):
        with _naming("The image"):
            yield _judged(source, "The image")
    elif isinstance(source, np.ndarray):
        with _naming("The array"):
            yield _judged(_from_array(source), "The array")
    elif isinstance(source, str | Path):
        name = shown(source)
        with open_file(Path(source)) as stream, _naming(name):
            yield _judged(_identify(stream, name), name)
    elif isinstance(source, bytes):
        name = f"The image of {len(source)} bytes"
        with _naming(name):
            yield _judged(_identify(io.BytesIO(source), name), name)
    elif hasattr(source, "read"):
        label = getattr(source, "name", None)
        name = shown(label) if isinstance(label, str) else "The image stream"
        with _naming(name):
            stream = source if source.seekable() else io.BytesIO(source.read())
            yield _judged(_identify(stream, name), name)
    else:
        kind = type(source).__name__
        raise TypeError(f"An image is a path, bytes, a binary file object, a PIL image or a numpy array, not {kind}.")


@contextmanager
def _naming(name: str) -> Iterator[None]:
    """Whatever a decoder raises over damaged bytes (OSError, SyntaxError, struct.error ...), as a `MediaError`."""
    try:
        yield
    except (MediaError, MemoryError):
        raise
    except Exception as error:
        reason = str(error).rstrip(".") or type(error).__name__
        raise MediaError(f"{name} cannot be decoded: {reason}.") from error


def _judged(image: Image.Image, name: str) -> Image.Image:
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise MediaError(f"{name} is {width} x {height} pixels; more than {MAX_PIXELS:,} in all are not decoded.")
    return image


def _identify(stream: Any, name: str) -> Image.Image:
    """The Pillow image of a file, its header read."""
    stream.seek(0)
    prefix = stream.read(1024)
    if not prefix:
        raise MediaError(f"{name} is empty (0 bytes).")
    Image.init()  # registers the formats; does nothing from the second call on
    problem: Exception | None = None
    for kind in FORMATS:
        factory, accepts = Image.OPEN.get(kind, (None, None))
        accepted = accepts(prefix[:16]) if factory and accepts else False
        if isinstance(accepted, str):  # the format is known, but this Pillow was built without it
            problem = OSError(accepted)
        elif factory and accepted:
            stream.seek(0)
            try:
                return factory(stream, "")  # no file name: Pillow would memory-map it, fatal if the file shrinks
            except (SyntaxError, IndexError, TypeError, struct.error) as error:  # how a format says "not mine"
                problem = error
    foreign = _foreign(prefix)
    if foreign is None and problem is not None:
        raise problem
    raise MediaError(f"{name} {foreign or 'is not an image in a format that can be read'}.")


def _foreign(prefix: bytes) -> str | None:
    """What a file is that is often found in place of an image."""
    if prefix[4:8] == b"ftyp" and any(brand in prefix[8:48] for brand in (b"heic", b"heix", b"hevc", b"heif")):
        return "is a HEIC picture, for which Pillow has no decoder; convert it to JPEG"
    if prefix.startswith((b"\xff\x0a", b"\x00\x00\x00\x0cJXL ")):
        return "is a JPEG XL picture, for which Pillow has no decoder; convert it to JPEG or PNG"
    if b"<svg" in prefix.lower():
        return "is an SVG drawing, which has no pixels; export it as PNG"
    text = text_start(prefix)
    return None if text is None else f"is a text file, not an image; it begins with {text!r}"


def _from_array(array: np.ndarray) -> Image.Image:
    """`h w`, `h w 3` or `h w 4`, of uint8 or of floats in [0, 1]."""
    shape = " x ".join(map(str, array.shape))
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (3, 4)) or 0 in array.shape:
        raise MediaError(f"The array has the shape {shape}; an image is h x w, h x w x 3 or h x w x 4, channels last.")
    if np.issubdtype(array.dtype, np.floating):
        if not (array.min() >= 0 and array.max() <= 1):  # also refuses NaN
            raise MediaError(f"The array ({shape}) holds floats outside of [0, 1]; divide them by their full scale.")
        array = np.rint(array * 255).astype(np.uint8)
    if array.dtype != np.uint8:
        raise MediaError(f"The array ({shape}) is of type {array.dtype}; an image is uint8, or floats in [0, 1].")
    return Image.fromarray(array)

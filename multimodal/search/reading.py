"""One file, read once: its hash, what its header and EXIF say, a thumbnail, and the pixels that the model wants.

A JPEG is decoded once, at 1/2, 1/4 or 1/8, the smallest that is enough for both thumbnail and model. Broken EXIF is no
fault of the picture: what cannot be understood of it is left out.
"""

from __future__ import annotations

import hashlib
import io
import math
import os
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

from multimodal.data.images.inspect import THUMBNAIL_SIDE, perceptual_hash
from multimodal.media import MediaError, read_reduced
from multimodal.media.files import open_file
from multimodal.media.opening import opened
from multimodal.search.known import State
from multimodal.search.rows import text_of

SIDE = 256  # px, the longer side of a thumbnail
QUALITY = 80  # of its JPEG: about 10 KB
MAX_BYTES = 1 << 30  # a larger file is not read into memory
_CAPTURE, _GPS = 0x8769, 0x8825  # EXIF: where the blocks of the exposure and of the place are
_DATES = ((_CAPTURE, 0x9003), (_CAPTURE, 0x9004), (None, 0x0132))  # original, digitized, last written
_MAKE, _MODEL = 0x010F, 0x0110
_LONGEST_NAME = 100  # characters of a maker's or camera's name that are kept


@contextmanager
def quietly_broken() -> Iterator[None]:
    """Without Pillow's warnings about EXIF that is broken, which would be one for each tag of each such file."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
        yield


class ReadEarlier(MediaError):
    """The bytes of this file are those of a picture that is known: it need not be decoded."""


@dataclass(eq=False)
class Candidate:
    """A file to be read, and what reading it told."""

    path: str
    state: State
    hash: str = ""  # of its bytes, as soon as they were read
    known: bool = False  # the same bytes were met before, so they were not decoded
    facts: dict[str, Any] = field(default_factory=dict)  # columns of the table of pictures
    jpeg: bytes = b""  # thumbnail
    tiny: bytes = b""  # 32 x 32 x 3 bytes, for finding duplicates


@dataclass(frozen=True, eq=False)
class Part:
    """Some of the candidates."""

    read: Sequence[Candidate]  # filled in
    vectors: Float[np.ndarray, "b d"]  # of `read`
    failed: Sequence[tuple[Candidate, str]]  # not decoded: `known` is true, or the reason why it cannot be read


class Reader:
    """Candidates to pixels, filling the candidates in; called from several threads."""

    def __init__(self, transform: Any, known: set[str] | None) -> None:
        self._transform = transform
        self._known = known  # hashes; each that is met joins them; None: every file is decoded
        self._lock = threading.Lock()

    def __call__(self, candidate: Candidate) -> UInt8[Tensor, "3 h w"]:
        """The pixels of a picture that is not known yet.

        Raises:
            ReadEarlier: its bytes are known, or another thread reads the same at this moment.
            MediaError: it cannot be read.
        """
        data = read_file(candidate.path)
        candidate.hash = content_hash(data)
        candidate.known = False
        if self._known is not None:
            with self._lock:
                candidate.known = candidate.hash in self._known
                if candidate.known:
                    raise ReadEarlier(candidate.path)
                self._known.add(candidate.hash)
        return look(candidate, data, self._transform)


def look(candidate: Candidate, data: bytes, transform: Any) -> UInt8[Tensor, "3 h w"]:
    """Fill `candidate` in from the bytes of its file; the pixels for the model."""
    file = _NamedBytes(data)
    file.name = text_of(candidate.path)
    candidate.facts = header(file)
    image, box = read_reduced(file, min_side=_needed(transform))
    small = shrunk(image, box)
    candidate.jpeg = thumbnail(small)
    tiny = np.asarray(small.resize((THUMBNAIL_SIDE, THUMBNAIL_SIDE), Image.Resampling.BICUBIC))
    candidate.tiny = tiny.tobytes()
    candidate.facts["perceptual"] = perceptual_hash(tiny)
    if hasattr(transform, "render"):
        return transform.render(image, box)
    file.seek(0)
    return transform.read(file)


def read_file(path: str) -> bytes:
    """All bytes of a file.

    Raises:
        MediaError: it is gone, is no regular file, is too large, or may not be read.
    """
    name = text_of(path)
    with open_file(Path(path)) as stream:
        size = os.fstat(stream.fileno()).st_size
        if size > MAX_BYTES:
            raise MediaError(f"{name} has {size / 1e9:.1f} GB; files above {MAX_BYTES / 1e9:.1f} GB are not read.")
        try:
            return stream.read()
        except OSError as error:
            raise MediaError(f"{name} cannot be read: {error.strerror or error}.") from error


def content_hash(data: bytes) -> str:
    """32 hexadecimal digits of the bytes of a file."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def header(file: io.BytesIO | bytes) -> dict[str, Any]:
    """Size as shown, format, and what EXIF says of time, camera and place.

    Raises:
        MediaError: not an image.
    """
    with opened(file) as image:
        width, height = image.size
        exif = _exif(image)
        stored = getattr(image, "tag_v2", {})  # of a TIFF: recent versions of Pillow have turned it already
        sideways = _quietly(lambda: exif.get(0x0112)) in (5, 6, 7, 8)
        if sideways and (stored.get(256, width), stored.get(257, height)) == (width, height):
            width, height = height, width
        taken = _quietly(lambda: _taken(exif))
        return {
            "width": width,
            "height": height,
            "format": image.format,
            "taken": taken,
            "year": taken.year if taken else None,
            "month": taken.month if taken else None,
            "day": taken.day if taken else None,
            "make": _quietly(lambda: _name(exif.get(_MAKE))),
            "camera": _quietly(lambda: _name(exif.get(_MODEL))),
            **(_quietly(lambda: _place(exif)) or {"latitude": None, "longitude": None}),
        }


def shrunk(image: Image.Image, box: tuple[float, float, float, float]) -> Image.Image:
    """What `box` holds of an RGB image, its longer side at most `SIDE`."""
    width, height = box[2] - box[0], box[3] - box[1]
    scale = min(1.0, SIDE / max(width, height))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return image.resize(size, Image.Resampling.BICUBIC, box=box)


def thumbnail(small: Image.Image) -> bytes:
    """The JPEG of a shrunk picture."""
    stream = io.BytesIO()
    small.save(stream, "JPEG", quality=QUALITY)
    return stream.getvalue()


def _needed(transform: Any) -> Callable[[int, int], int] | None:
    """The shorter side, in pixels, that both model and thumbnail can do with; None: the full picture."""
    if getattr(transform.config, "interpolation", None) == "nearest":
        return None
    needed = getattr(transform, "needed", None)

    def side(width: int, height: int) -> int:
        own = math.ceil(min(width, height) * min(1.0, SIDE / 2 / max(width, height)))  # read_image doubles it
        return max(own, needed(width, height)) if needed else own

    return side


class _NamedBytes(io.BytesIO):
    """A file's bytes that still know the file, for error messages."""

    name: str


def _exif(image: Image.Image) -> Any:
    try:
        return Image.Image.getexif(image)  # not PngImageFile's, which would decode the pixels
    except Exception:  # whatever a broken block makes Pillow raise
        return {}


def _quietly(work: Callable[[], Any]) -> Any:
    """What `work` makes of EXIF, or None: values there are of any type, and may be cut short or lie."""
    try:
        return work()
    except Exception:  # Pillow reads lazily and raises struct.error, KeyError, ZeroDivisionError and others
        return None


def _block(exif: Any, block: int | None) -> Any:
    return exif if block is None else exif.get_ifd(block)


def _taken(exif: Any) -> datetime | None:
    for block, tag in _DATES:
        value = _quietly(lambda block=block, tag=tag: _block(exif, block).get(tag))
        found = _quietly(lambda value=value: datetime.strptime(str(value).strip("\0 ")[:19], "%Y:%m:%d %H:%M:%S"))
        if found is not None and 1800 < found.year < 2200:
            return found
    return None


def _name(value: Any) -> str | None:
    text = "".join(letter for letter in str(value or "") if letter.isprintable()).strip()
    return text.encode("utf-8", "replace").decode()[:_LONGEST_NAME] or None


def _place(exif: Any) -> dict[str, float] | None:
    block = exif.get_ifd(_GPS)
    latitude, longitude = _degrees(block[2], block.get(1), "S", 90), _degrees(block[4], block.get(3), "W", 180)
    return {"latitude": latitude, "longitude": longitude}


def _degrees(value: Any, reference: Any, negative: str, limit: int) -> float:
    degrees, minutes, seconds = (float(part) for part in value)
    found = degrees + minutes / 60 + seconds / 3600
    if not 0 <= found <= limit:  # also NaN, of 0/0
        raise ValueError("not a place on this planet")
    return -found if str(reference).strip("\0 ").upper() == negative else found

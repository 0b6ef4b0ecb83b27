"""One pass over image files: what decodes, how large, which colours, and what it takes to find the same picture again.

Each file is read and decoded once, JPEGs at reduced scale, in threads (decoding releases the interpreter's lock).
Finding duplicates among the facts is in duplicates.py; judging them is in check.py.

Perceptual hash: the signs of the 64 lowest frequencies of a 32 x 32 grey version against their median, after
Zauner, "Implementation and benchmarking of perceptual image hash functions", 2010.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Resampling

from multimodal.data.images.samples import LabeledImages, Sample, Skipped
from multimodal.data.images.shards import read_bytes
from multimodal.errors import DataError
from multimodal.media import MediaError, probe_image, read_reduced
from multimodal.progress import track

THUMBNAIL_SIDE = 32  # px; the whole picture, squashed to a square
THUMBNAIL_SHAPE = (THUMBNAIL_SIDE, THUMBNAIL_SIDE, 3)
GREY = np.array([0.299, 0.587, 0.114], dtype=np.float32)  # ITU-R BT.601, as PIL's mode L


@dataclass(frozen=True, kw_only=True, eq=False)
class ImageFacts:
    """What one look at a file tells. Where `error` is set, the fields after `content` may be empty."""

    path: str
    error: str | None = None  # a sentence that says why it cannot be used
    content: str = ""  # hash of the file's bytes; "" where they cannot be read
    width: int = 0  # px, as shown, after rotation
    height: int = 0
    mode: str = ""  # PIL's colour mode as stored: "RGB", "L", "CMYK", "P", "RGBA", "I;16" ...
    format: str = ""  # "JPEG", "PNG" ...
    frames: int = 1
    perceptual: int = 0  # 64 bits; few differ between versions of one picture
    thumbnail: NDArray[np.uint8] = field(default_factory=lambda: np.zeros(THUMBNAIL_SHAPE, np.uint8))  # h w c


def inspect_images(samples: Sequence[Sample], *, threads: int | None = None) -> list[ImageFacts]:
    """The facts of every sample, in order, with a progress bar on stderr where it takes long."""
    workers = threads or _cores()
    pool = ThreadPoolExecutor(workers)
    try:
        facts = list(track(pool.map(_inspect, [sample.path for sample in samples]), len(samples), "Reading images"))
    except BaseException:  # Ctrl-C must not wait for the files still queued
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    pool.shutdown()
    return facts


def leave_out_unreadable(images: LabeledImages, facts: dict[str, list[ImageFacts]]) -> LabeledImages:
    """`images` without the files that do not decode, which join `skipped`. `facts` holds a list for each split."""
    splits, skipped = {}, list(images.skipped)
    for split, samples in images.splits.items():
        looked = list(zip(samples, facts[split], strict=True))
        splits[split] = tuple(sample for sample, fact in looked if fact.error is None)
        skipped += [Skipped(fact.path, fact.error) for _, fact in looked if fact.error is not None]
    if not splits["train"]:
        raise DataError(f"None of the training images of {images.root} can be read, for example: {skipped[-1].reason}")
    return replace(images, splits=splits, skipped=tuple(skipped))


def perceptual_hash(pixels: NDArray[np.uint8]) -> int:
    """64 bits of a thumbnail (h, w, c)."""
    from scipy.fft import dctn

    frequencies = np.asarray(dctn(pixels @ GREY, norm="ortho"))[:8, :8].ravel()
    bits = frequencies > np.median(frequencies[1:])  # the first is the mean brightness, far above the others
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def _inspect(path: str) -> ImageFacts:
    known: dict = {"path": path}
    try:
        data = read_bytes(path)
        known["content"] = hashlib.blake2b(data, digest_size=16).hexdigest()
        file = _NamedBytes(data)
        file.name = path
        info = probe_image(file)
        known |= {"width": info.width, "height": info.height, "mode": info.mode, "frames": info.frames}
        known |= {"format": info.format or "", **_look(file)}
    except (MediaError, DataError) as error:
        return ImageFacts(**known, error=str(error))
    return ImageFacts(**known)


def _look(file: io.BytesIO) -> dict:
    image, box = read_reduced(file, min_side=THUMBNAIL_SIDE)
    thumbnail = np.asarray(image.resize((THUMBNAIL_SIDE, THUMBNAIL_SIDE), Resampling.BICUBIC, box=box))
    return {"perceptual": perceptual_hash(thumbnail), "thumbnail": thumbnail}


class _NamedBytes(io.BytesIO):
    """A file's bytes that still know the file, for error messages."""

    name: str


def _cores() -> int:
    """The processors that this process may use, which on a shared machine are fewer than it has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

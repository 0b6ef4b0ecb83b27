"""Many images, or recordings, to batches of pixels, decoded by threads while the model works on the batch before.

Axes: b batch · k channels · h, w pixels
"""

from __future__ import annotations

import itertools
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Num
from torch import Tensor

from multimodal.errors import ArgumentError
from multimodal.media import MediaError


@dataclass(frozen=True, eq=False)
class ImageBatch:
    """Pixels, and the sources that they were read from."""

    pixels: Num[Tensor, "b k h w"]
    sources: tuple[Any, ...]


def read_batches(
    sources: Iterable[Any],
    read: Callable[[Any], Num[Tensor, "k h w"]],
    *,
    batch_size: int,
    errors: list[tuple[Any, str]] | None = None,
    threads: int | None = None,
) -> Iterator[ImageBatch]:
    """Batches of `read(source)` in the order of `sources`, which may be a stream of any length.

    Decoding runs ahead by two batches. An unreadable source is appended to `errors` with its reason and left out.

    Raises:
        ArgumentError: `batch_size` is below 1.
        MediaError: a source cannot be read and no `errors` list was given.
    """
    if batch_size < 1:
        raise ArgumentError(f"batch_size is {batch_size}; it must be at least 1.")
    stream = iter(sources)
    with ThreadPoolExecutor(threads or min(8, os.cpu_count() or 1)) as pool:
        ahead: deque[tuple[Any, Future[Tensor]]] = deque()
        ready: list[tuple[Any, Tensor]] = []

        def refill() -> None:
            for source in itertools.islice(stream, 2 * batch_size - len(ahead)):
                ahead.append((source, pool.submit(read, source)))

        refill()
        try:
            while ahead:
                source, pending = ahead.popleft()
                try:
                    ready.append((source, pending.result()))
                except MediaError as error:
                    if errors is None:
                        raise
                    errors.append((source, str(error)))
                refill()
                if ready and (len(ready) == batch_size or not ahead):
                    yield ImageBatch(torch.stack([pixels for _, pixels in ready]), tuple(s for s, _ in ready))
                    ready = []
        finally:
            for _, pending in ahead:
                pending.cancel()


def several_images(images: Any) -> Iterable[Any]:
    """One image or many, as many.

    Raises:
        MediaError: neither an image nor several.
    """
    single = isinstance(images, str | Path | bytes) or hasattr(images, "convert") or hasattr(images, "read")
    if single or getattr(images, "ndim", None) in (2, 3):
        return [images]
    if not isinstance(images, Iterable):
        raise MediaError(f"{type(images).__name__} is not an image: give a path, a PIL image or an array, or several.")
    return images

"""Labelled images as pixels and targets, one at a time.

Axes: h, w pixels · c classes · b batch
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor
from torch.utils.data import Dataset

from multimodal.data.images.augment import Augment
from multimodal.data.images.samples import Sample
from multimodal.data.images.shards import read_bytes
from multimodal.errors import DataError
from multimodal.media import MediaError, read_image
from multimodal.tokenizers.image_transform import ImageTransform


class ImageItem(TypedDict):
    """One image, ready to be put into a batch."""

    pixels: UInt8[Tensor, "3 h w"]
    target: Int[Tensor, ""] | Float[Tensor, " c"]  # a class, or for several labels a 1 at each
    index: int  # of the sample in its split
    failed: list[str]  # what could not be read on the way to this image


class ImageDataset(Dataset[ImageItem]):
    """Reads, and where `transform` is an `Augment` randomly changes, the images of one split."""

    def __init__(
        self,
        samples: Sequence[Sample],
        transform: ImageTransform | Augment,
        *,
        classes: int,
        multi_label: bool = False,
        seed: int = 0,
    ) -> None:
        self.samples, self.transform = tuple(samples), transform
        self.classes, self.multi_label, self.seed = classes, multi_label, seed

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, place: tuple[int, int]) -> ImageItem:
        """The image at (epoch, index); one that has become unreadable is replaced by the next and named in `failed`.

        Raises:
            DataError: no image can be read at all.
        """
        epoch, index = place
        failed: list[str] = []
        for step in range(len(self.samples)):
            at = (index + step) % len(self.samples)
            try:
                pixels = read_pixels(self.samples[at].path, self.transform, seed=(self.seed, epoch, at))
            except (MediaError, DataError) as error:
                failed.append(str(error))
                continue
            return {"pixels": pixels, "target": self._target(at), "index": at, "failed": failed}
        raise DataError(f"None of the {len(self.samples)} images can be read any more; the first: {failed[0]}")

    def _target(self, index: int) -> Tensor:
        labels = self.samples[index].labels
        if not self.multi_label:
            return torch.tensor(labels[0])
        target = torch.zeros(self.classes)
        target[list(labels)] = 1.0
        return target


def read_pixels(
    path: str, transform: ImageTransform | Augment, *, seed: tuple[int, int, int]
) -> UInt8[Tensor, "3 h w"]:
    """The pixels of a file or shard member; the changes of an `Augment` follow from `seed`: (run, epoch, index).

    Raises:
        DataError, MediaError: it cannot be read, or is no image.
    """
    data = read_bytes(path)
    try:
        if isinstance(transform, ImageTransform):
            return transform.read(data)
        image = read_image(data, min_side=transform.min_side)
    except MediaError as error:
        raise MediaError(f"{path}: {error}") from error
    return transform(image, seed=hash(seed) & 0x7FFF_FFFF_FFFF_FFFF)


class ImageItems(TypedDict):
    """A batch of images."""

    pixels: UInt8[Tensor, "b 3 h w"]
    target: Int[Tensor, " b"] | Float[Tensor, "b c"]
    index: Int[Tensor, " b"]
    failed: list[str]


def collate(items: Sequence[ImageItem]) -> ImageItems:
    """One batch of several images."""
    return {
        "pixels": torch.stack([item["pixels"] for item in items]),
        "target": torch.stack([item["target"] for item in items]),
        "index": torch.tensor([item["index"] for item in items]),
        "failed": [name for item in items for name in item["failed"]],
    }

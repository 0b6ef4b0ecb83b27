"""Labelled images, or recordings as spectrograms, as pixels and targets, one at a time.

Axes: k channels · h, w pixels · c classes · b batch
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias, TypedDict

import torch
from jaxtyping import Float, Int, Num
from torch import Tensor
from torch.utils.data import Dataset

from multimodal.data.images.augment import Augment
from multimodal.data.images.samples import Sample
from multimodal.data.images.shards import read_bytes
from multimodal.data.sounds.augment import SoundAugment
from multimodal.errors import DataError
from multimodal.media import MediaError
from multimodal.tokenizers.audio_transform import AudioTransform
from multimodal.tokenizers.image_transform import ImageTransform

Reader: TypeAlias = ImageTransform | AudioTransform | Augment | SoundAugment


class ImageItem(TypedDict):
    """One image or spectrogram, ready to be put into a batch."""

    pixels: Num[Tensor, "k h w"]  # bytes of three channels; or of one, normalised already
    target: Int[Tensor, ""] | Float[Tensor, " c"]  # a class, or for several labels a 1 at each
    index: int  # of the sample in its split
    failed: list[str]  # what could not be read on the way to this image


class ImageDataset(Dataset[ImageItem]):
    """Reads, and where `transform` is an augmentation randomly changes, the files of one split."""

    def __init__(
        self,
        samples: Sequence[Sample],
        transform: Reader,
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
        """The file at (epoch, index); one that has become unreadable is replaced by the next and named in `failed`.

        Raises:
            DataError: no file can be read at all.
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
        raise DataError(f"None of the {len(self.samples)} files can be read any more; the first: {failed[0]}")

    def _target(self, index: int) -> Tensor:
        labels = self.samples[index].labels
        if not self.multi_label:
            return torch.tensor(labels[0])
        target = torch.zeros(self.classes)
        target[list(labels)] = 1.0
        return target


def read_pixels(path: str, transform: Reader, *, seed: tuple[int, int, int]) -> Num[Tensor, "k h w"]:
    """The pixels of a file or shard member; the changes of an augmentation follow from `seed`: (run, epoch, index).

    Raises:
        DataError, MediaError: it cannot be read, or is not what `transform` takes.
    """
    data = read_bytes(path)
    try:
        if isinstance(transform, ImageTransform | AudioTransform):
            return transform.read(data)
        return transform.read(data, seed=hash(seed) & 0x7FFF_FFFF_FFFF_FFFF)
    except MediaError as error:
        raise MediaError(f"{path}: {error}") from error


class ImageItems(TypedDict):
    """A batch of images or spectrograms."""

    pixels: Num[Tensor, "b k h w"]
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

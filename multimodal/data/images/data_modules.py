"""Labelled images, or recordings, for Lightning: loaders of a training, a validation and a test split.

Which pixels the validation split gives is the model's own business: its transform is taken from the model that is
trained, so that validation, prediction and every other process see the same.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Any

from multimodal.data.images.augment import AugmentConfig
from multimodal.data.images.dataset import ImageDataset, Reader, collate
from multimodal.data.images.read import read_labeled_images
from multimodal.data.images.samples import LabeledImages
from multimodal.data.images.split import stratified
from multimodal.data.loader import ResumableLoader
from multimodal.data.resumable import SplitData
from multimodal.data.sounds.augment import SoundAugmentConfig
from multimodal.errors import DataError
from multimodal.tokenizers.transforms import AnyTransformConfig


class LabeledImageData(SplitData):
    """Loaders over images, or recordings, that were read and split already."""

    def __init__(
        self,
        images: LabeledImages,
        *,
        batch_size: int = 32,
        augment: AugmentConfig | SoundAugmentConfig = AugmentConfig(),
        workers: int | None = None,
        seed: int = 0,
        transform: AnyTransformConfig | None = None,
    ) -> None:
        """Loaders over `images`, whose splits must hold "train" and "val".

        Args:
            images: what `read_labeled_images` gave.
            batch_size: images a step and process.
            augment: random changes of the training images, of the kind that they are.
            workers: processes that decode; None: as many as help on this machine.
            seed: of the order and of the changes.
            transform: file to pixels; None: that of the model in training.
        """
        super().__init__(batch_size=batch_size, workers=workers, seed=seed)
        self.images, self.augment, self._transform = images, augment, transform

    @property
    def labels(self) -> tuple[str, ...]:
        """Class names, in the order of the model's outputs."""
        return self.images.labels

    @property
    def transform(self) -> AnyTransformConfig:
        """File to pixels, as the model in training wants it."""
        if self._transform is not None:
            return self._transform
        if self.trainer is None:
            raise DataError("Give this data module a `transform`, or let a Trainer run it with a model that has one.")
        model: Any = self.trainer.lightning_module
        return model.model.transform.config

    def train_dataloader(self) -> ResumableLoader:
        """Shuffled, randomly changed, the incomplete last batch dropped."""
        return self.training(self._dataset("train", self.augment.build(self.transform)), collate)

    @property
    def parts(self) -> Collection[str]:
        """The splits that were read."""
        return self.images.splits

    def evaluation_loader(self, split: str) -> ResumableLoader:
        """Every image of `split`, in order, unchanged."""
        return self.evaluation(self._dataset(split, self.transform.build()), collate)

    def _dataset(self, split: str, transform: Reader) -> ImageDataset:
        samples = self.images.splits[split]
        classes, multi = len(self.images.labels), self.images.multi_label
        return ImageDataset(samples, transform, classes=classes, multi_label=multi, seed=self.seed)


class ImageFolderData(LabeledImageData):
    """A folder, table or tar shards of labelled images; see `multimodal.data.images.read` for the layouts."""

    def __init__(
        self,
        root: str,
        *,
        batch_size: int = 32,
        augment: AugmentConfig = AugmentConfig(),
        val_fraction: float = 0.2,
        workers: int | None = None,
        seed: int = 0,
    ) -> None:
        """Read and split `root`.

        Args:
            root: class folders, folders of splits, a CSV or JSONL table, or tar shards.
            batch_size: images a step and process.
            augment: random changes of the training images.
            val_fraction: part of the training images held out for validation where the data have no such split.
            workers: processes that decode; None: as many as help on this machine.
            seed: of the split, the order and the changes.
        """
        images = with_validation(read_labeled_images(root), val_fraction, seed)
        super().__init__(images, batch_size=batch_size, augment=augment, workers=workers, seed=seed)


def with_validation(
    images: LabeledImages, fraction: float, seed: int, groups: dict[str, int] | None = None
) -> LabeledImages:
    """`images` with a stratified validation split, where they have none. `groups` (path to number) stay whole."""
    if "val" in images.splits:
        return images
    train, val = stratified(images.splits["train"], fraction=fraction, seed=seed, groups=groups)
    return replace(images, splits={**images.splits, "train": train, "val": val})

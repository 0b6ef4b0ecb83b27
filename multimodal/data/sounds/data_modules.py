"""Labelled recordings for Lightning; what is here says that files are recordings, the rest is as with images."""

from __future__ import annotations

from multimodal.data.images.data_modules import LabeledImageData, with_validation
from multimodal.data.images.read import read_labeled_images
from multimodal.data.images.samples import SOUNDS
from multimodal.data.sounds.augment import SoundAugmentConfig


class SoundFolderData(LabeledImageData):
    """A folder, table or tar shards of labelled recordings; the layouts are those of labelled images."""

    def __init__(
        self,
        root: str,
        *,
        batch_size: int = 32,
        augment: SoundAugmentConfig = SoundAugmentConfig(),
        val_fraction: float = 0.1,
        workers: int | None = None,
        seed: int = 0,
    ) -> None:
        """Read and split `root`.

        Args:
            root: class folders, folders of splits, a CSV or JSONL table, or tar shards.
            batch_size: clips a step and process.
            augment: random changes of the training clips.
            val_fraction: part of the training clips held out for validation where the data have no such split.
            workers: processes that decode; None: as many as help on this machine.
            seed: of the split, the order and the changes.
        """
        clips = with_validation(read_labeled_images(root, kind=SOUNDS), val_fraction, seed)
        super().__init__(clips, batch_size=batch_size, augment=augment, workers=workers, seed=seed)

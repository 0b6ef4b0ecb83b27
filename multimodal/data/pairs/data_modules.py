"""Images, or recordings, with captions for Lightning: loaders of a training, a validation and a test split.

What pixels and ids a pair becomes is the model's own business: transform, tokenizer and caption length are those
of the model in training, so that a published model is fed as it was before. A model from fresh weights has its
tokenizer trained on `texts`.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from multimodal.data.images.augment import AugmentConfig
from multimodal.data.loader import ResumableLoader
from multimodal.data.pairs.batches import CaptionConfig
from multimodal.data.pairs.dataset import PairDataset
from multimodal.data.pairs.read import read_pairs
from multimodal.data.pairs.samples import Pair, PairedImages
from multimodal.data.pairs.split import hold_out
from multimodal.data.resumable import SplitData
from multimodal.data.sounds.augment import SoundAugmentConfig
from multimodal.data.text.sources import report
from multimodal.errors import DataError

CLIP_AUGMENT = AugmentConfig(scale=0.9, flip=0.0)  # as CLIP's; a mirrored picture has its left on the right


class PairedImageData(SplitData):
    """Loaders over pairs that were read and split already."""

    def __init__(
        self,
        images: PairedImages,
        *,
        batch_size: int = 256,
        augment: AugmentConfig | SoundAugmentConfig = CLIP_AUGMENT,
        workers: int | None = None,
        seed: int = 0,
    ) -> None:
        """Loaders over the splits of `images`; what they left out is said on stderr.

        Args:
            images: what `read_pairs` gave, with a "val" split (`hold_out`) where there shall be validation.
            batch_size: images a step and process.
            augment: random changes of the training images; of recordings, a `SoundAugmentConfig`.
            workers: processes that decode; None: as many as help on this machine.
            seed: of the order, of the changes and of which caption comes when.
        """
        super().__init__(batch_size=batch_size, workers=workers, seed=seed)
        self.images, self.augment = images, augment
        report(images.skipped, f"entries of {images.root}")

    @property
    def texts(self) -> list[str]:
        """The training captions, for a tokenizer that is trained on them."""
        return [caption for pair in self._pairs("train") for caption in pair.captions]

    @property
    def model(self) -> Any:
        """The model in training, which says how pairs are to be read.

        Raises:
            DataError: there is none, or it reads no images or no text.
        """
        model: Any = getattr(self.trainer.lightning_module, "model", None) if self.trainer is not None else None
        if getattr(model, "transform", None) is None or getattr(model, "tokenizer", None) is None:
            raise DataError("Let a Trainer run this data module with a model that has a transform and a tokenizer.")
        return model

    def train_dataloader(self) -> ResumableLoader:
        """Shuffled, randomly changed, one caption for each image, the incomplete last batch dropped."""
        transform = self.augment.build(self.model.transform.config)
        dataset = PairDataset(self._pairs("train"), transform, training=True, seed=self.seed)
        return self.training(dataset, self._captions().build(self.model.tokenizer))

    @property
    def parts(self) -> Collection[str]:
        """The splits that were read."""
        return self.images.splits

    def evaluation_loader(self, split: str) -> ResumableLoader:
        """Every image of `split`, in order, unchanged, with all its captions.

        Raises:
            DataError: the data have no such split.
        """
        transform = self.model.transform.config.build()
        dataset = PairDataset(self._pairs(split), transform, training=False, seed=self.seed)
        return self.evaluation(dataset, self._captions().build_evaluation(self.model.tokenizer))

    def _captions(self) -> CaptionConfig:
        """Up to the length that the model reads; what it fills up, it fills up itself."""
        return CaptionConfig(longest=self.model.caption_length)

    def _pairs(self, split: str) -> tuple[Pair, ...]:
        pairs = self.images.splits.get(split)
        if not pairs:
            found = ", ".join(self.images.splits)
            raise DataError(f"{self.images.root} has no {split} part; the parts that it has are {found}.")
        return pairs


class PairData(PairedImageData):
    """A table, folder or tar shards of images with captions; see `multimodal.data.pairs.read` for the layouts."""

    def __init__(
        self,
        root: str,
        *,
        batch_size: int = 256,
        augment: AugmentConfig | SoundAugmentConfig = CLIP_AUGMENT,
        val_fraction: float = 0.1,
        image: str | None = None,
        caption: str | None = None,
        workers: int | None = None,
        seed: int = 0,
    ) -> None:
        """Read and split `root`.

        Args:
            root: a table with the columns image and caption, or a folder that holds one; tar shards; a folder with a
                .txt beside each image.
            batch_size: images a step and process.
            augment: random changes of the training images; of recordings, a `SoundAugmentConfig`.
            val_fraction: part of the training images held out for validation where the data have no such split.
            image: of tables, the column with the file; None: the one called path, file, image ...
            caption: the column with the captions; None: the one called caption, captions, text ...
            workers: processes that decode; None: as many as help on this machine.
            seed: of the split, the order, the changes and of which caption comes when.
        """
        images = hold_out(read_pairs(root, image=image, caption=caption), val_fraction, seed)
        super().__init__(images, batch_size=batch_size, augment=augment, workers=workers, seed=seed)

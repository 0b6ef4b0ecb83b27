"""Pairs for training under a locked image tower: an image whose vector is kept is not read again.

The images are the same in every epoch, so nothing random is done to them. Who trains marks in `known` what it keeps;
the flags lie in shared memory, where the processes that read see them.

Axes: b pairs · k of them with pixels · n pairs of the split · h, w pixels
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Bool
from torch import Tensor

from multimodal.data.images.augment import AugmentConfig
from multimodal.data.loader import ResumableLoader
from multimodal.data.pairs.batches import PairBatch
from multimodal.data.pairs.data_modules import PairData
from multimodal.data.pairs.dataset import PairDataset, PairItem

_NOT_READ = torch.empty(3, 0, 0, dtype=torch.uint8)


class LockedPairBatch(PairBatch):
    """As `PairBatch`, but `pixels` (k 3 h w) are those of the images that are not known."""

    known: Bool[Tensor, " b"]


class LockedPairDataset(PairDataset):
    """Images until they are known, and captions."""

    def share(self) -> LockedPairDataset:
        """Itself, with nothing known yet; before processes are started that read."""
        self.known: Bool[Tensor, " n"] = torch.zeros(len(self), dtype=torch.bool).share_memory_()
        return self

    def __getitem__(self, place: tuple[int, int]) -> PairItem:
        """As in `PairDataset`; no pixels of a known image."""
        epoch, index = place
        if not self.known[index]:
            return super().__getitem__(place)
        return {"pixels": _NOT_READ, "captions": self._captions(index, epoch), "index": index, "failed": []}


class LockedPairCollator:
    """Items to a `LockedPairBatch`."""

    def __init__(self, collate: Callable[[Sequence[PairItem]], PairBatch]) -> None:
        self.collate = collate

    def __call__(self, items: Sequence[PairItem]) -> LockedPairBatch:
        """One batch of several pairs."""
        known = [item["pixels"].numel() == 0 for item in items]
        pixels = [item["pixels"] for item, old in zip(items, known, strict=True) if not old]
        batch = self.collate([{**item, "pixels": _NOT_READ} for item in items])
        read = torch.stack(pixels) if pixels else torch.empty(0, 3, 1, 1, dtype=torch.uint8)
        return {**batch, "pixels": read, "known": torch.tensor(known)}


class LockedPairData(PairData):
    """A table, folder or tar shards of images with captions, whose images are the same in every epoch."""

    def __init__(
        self,
        root: str,
        *,
        batch_size: int = 256,
        val_fraction: float = 0.1,
        image: str | None = None,
        caption: str | None = None,
        workers: int | None = None,
        seed: int = 0,
    ) -> None:
        """Read and split `root`; arguments as in `PairData`."""
        unchanged = AugmentConfig(scale=1.0, flip=0.0)
        columns = {"image": image, "caption": caption}
        options = {"val_fraction": val_fraction, "workers": workers, "seed": seed}
        super().__init__(root, batch_size=batch_size, augment=unchanged, **columns, **options)

    def train_dataloader(self) -> ResumableLoader:
        """Shuffled, one caption for each image, the incomplete last batch dropped."""
        transform = self.model.transform.config.build()
        dataset = LockedPairDataset(self._pairs("train"), transform, training=True, seed=self.seed).share()
        return self.training(dataset, LockedPairCollator(self._captions().build(self.model.tokenizer)))

"""What all data modules share: a training loader that goes on where a checkpoint stands, divided among processes.

A data module says what its datasets are and how their items become batches; the order is the loader's (loader.py).
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Sequence
from typing import Any, cast

from lightning.pytorch import LightningDataModule
from torch.utils.data import Dataset

from multimodal.data.loader import EpochOrder, Order, ResumableLoader
from multimodal.errors import DataError


class ResumableData(LightningDataModule):
    """Loaders over datasets that take (epoch, index); a subclass gives them to `training` and `evaluation`."""

    def __init__(self, *, batch_size: int, workers: int | None, seed: int) -> None:
        """Keep what the loaders need.

        Args:
            batch_size: items a step and process.
            workers: processes that read; None: as many as help on this machine.
            seed: of the order.
        """
        super().__init__()
        self.batch_size, self.seed = batch_size, seed
        self.workers = default_workers() if workers is None else workers
        self._training: ResumableLoader | None = None
        self._resume: dict[str, int] | None = None

    def training(
        self, dataset: Dataset[Any], collate: Callable[[Sequence[Any]], Any], *, sizes: Sequence[int] | None = None
    ) -> ResumableLoader:
        """The training loader: shuffled, the incomplete last batch dropped, standing where a checkpoint left it.

        With `sizes` of the items, batches are made of items of like size (see `EpochOrder`).
        """
        count = self._shared(dataset, "training")
        batch = max(1, min(self.batch_size, count // self.world))
        order = EpochOrder(
            count,
            batch,
            shuffle=True,
            drop_last=True,
            seed=self.seed,
            rank=self.rank,
            world=self.world,
            sizes=sizes,
        )
        return self.training_in(order, dataset, collate)

    def training_in(
        self, order: Order, dataset: Dataset[Any], collate: Callable[[Sequence[Any]], Any]
    ) -> ResumableLoader:
        """The training loader in an order of one's own, standing where a checkpoint left it."""
        self._training = self._loader(dataset, collate, order)
        if self._resume is not None:
            self._training.load_state_dict(self._resume)
            self._resume = None
        return self._training

    def evaluation(self, dataset: Dataset[Any], collate: Callable[[Sequence[Any]], Any]) -> ResumableLoader:
        """Every item, in order."""
        count = self._shared(dataset, "validation or test")
        return self.evaluation_in(
            EpochOrder(count, self.batch_size, rank=self.rank, world=self.world), dataset, collate
        )

    def evaluation_in(
        self, order: Order, dataset: Dataset[Any], collate: Callable[[Sequence[Any]], Any]
    ) -> ResumableLoader:
        """A loader of what is not trained on, in an order of one's own."""
        return self._loader(dataset, collate, order)

    @property
    def rank(self) -> int:
        """The number of this process among `world`."""
        return self.trainer.global_rank if self.trainer else 0

    @property
    def world(self) -> int:
        """Processes that share the items."""
        return self.trainer.world_size if self.trainer else 1

    def state_dict(self) -> dict[str, int]:
        """Where the training loader stands.

        Lightning keeps that of loaders too, but forgets to give it back when the length of the training was asked for
        before the checkpoint was read (`estimated_stepping_batches`, which our schedule needs).
        """
        return self._training.state_dict() if self._training is not None else {}

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        """Go on from there with the next training loader."""
        self._resume = state_dict or None

    def _shared(self, dataset: Dataset[Any], split: str) -> int:
        """The number of items.

        Raises:
            DataError: there are fewer than processes.
        """
        count = len(cast(Any, dataset))
        if count < self.world:
            raise DataError(
                f"The {split} split has {count} of its items for {self.world} processes, and each needs one: give it "
                "more data, or the training fewer devices."
            )
        return count

    def _loader(self, dataset: Dataset[Any], collate: Callable[[Sequence[Any]], Any], order: Order) -> ResumableLoader:
        trainer = self.trainer
        pin = trainer is not None and trainer.strategy.root_device.type == "cuda"
        return ResumableLoader(dataset, order, collate=collate, workers=self.workers, pin_memory=pin)


class SplitData(ResumableData, ABC):
    """Loaders over data in splits: a subclass says which there are, and how one is gone through unchanged."""

    @property
    @abstractmethod
    def parts(self) -> Collection[str]:
        """Which of "train", "val" and "test" there are."""

    @abstractmethod
    def evaluation_loader(self, split: str) -> ResumableLoader:
        """Everything in `split`, unchanged."""

    def val_dataloader(self) -> ResumableLoader:
        """The validation split."""
        return self.evaluation_loader("val")

    def test_dataloader(self) -> ResumableLoader:
        """The test split; the validation split where the data have none."""
        return self.evaluation_loader("test" if "test" in self.parts else "val")

    def predict_dataloader(self) -> ResumableLoader:
        """The same as for testing."""
        return self.test_dataloader()


def default_workers() -> int:
    """Processes that read beside the training one: few on a small machine, where they would take its cores."""
    import torch

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(8, cores - 1) if torch.cuda.is_available() else 0

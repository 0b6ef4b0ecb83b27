"""A data loader that can be stopped after any batch and goes on with the next one.

The order of an epoch is a function of (seed, epoch) alone; where the loader stands is two numbers in the checkpoint.
Under several processes each rank takes every n-th place of the same order.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence, Sized
from typing import Any, cast

import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from multimodal.errors import DataError


class EpochOrder(Sampler[list[tuple[int, int]]]):
    """The batches of one epoch, as lists of (epoch, index) for the dataset."""

    def __init__(
        self, length: int, batch_size: int, *, shuffle: bool, drop_last: bool, seed: int, rank: int, world: int
    ) -> None:
        self.length, self.batch_size, self.shuffle, self.drop_last = length, batch_size, shuffle, drop_last
        self.seed, self.rank, self.world = seed, rank, world
        self.epoch = 0
        self.start = 0  # batches to leave out at the front

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning before each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        """Batches of this rank in an epoch."""
        if self.drop_last:
            return max(self.length // (self.batch_size * self.world), min(1, self.length // self.world))
        mine = len(range(self.rank, self.length, self.world))
        return -(-mine // self.batch_size)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        order = torch.arange(self.length)
        if self.shuffle:
            generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
            order = torch.randperm(self.length, generator=generator)
        mine = order[self.rank :: self.world].tolist()
        # A list, not a generator: `start` counts at the call and not when the first batch is asked for.
        batches = [mine[batch * self.batch_size : (batch + 1) * self.batch_size] for batch in range(len(self))]
        return iter([[(self.epoch, i) for i in batch] for batch in batches[self.start :]])


def _next(iterator: Iterator[Any]) -> Any:
    """The next batch, or None; what a worker process raised keeps its sentence and loses its traceback.

    Raises:
        DataError: no image can be read any more, or a worker process was killed.
    """
    try:
        return next(iterator, None)
    except DataError as error:
        raise DataError(str(error).strip().rpartition("DataError: ")[2]) from error
    except RuntimeError as error:
        if not re.match(r"DataLoader worker .* exited unexpectedly", str(error)):
            raise
        raise DataError(
            "A process that reads images was killed, usually for want of memory; give fewer workers, or 0."
        ) from error


class ResumableLoader:
    """Batches of `dataset`; `state_dict` says how many of the current epoch were given out."""

    def __init__(
        self,
        dataset: Dataset[Any],
        *,
        batch_size: int,
        collate: Callable[[Sequence[Any]], Any],
        shuffle: bool = False,
        drop_last: bool = False,
        seed: int = 0,
        rank: int = 0,
        world: int = 1,
        workers: int = 0,
        pin_memory: bool = False,
    ) -> None:
        length = len(cast(Sized, dataset))
        order = EpochOrder(length, batch_size, shuffle=shuffle, drop_last=drop_last, seed=seed, rank=rank, world=world)
        self.sampler = self.batch_sampler = (
            order  # by these names Lightning finds `set_epoch`, and no shuffling to undo
        )
        self.batch_size = batch_size
        self.loader = DataLoader(
            dataset,
            batch_sampler=order,
            collate_fn=collate,
            num_workers=workers,
            pin_memory=pin_memory,
            persistent_workers=workers > 0,
        )
        self.given = 0
        self._skip = 0

    @property
    def dataset(self) -> Dataset[Any]:
        """What the batches are made of."""
        return self.loader.dataset

    def __len__(self) -> int:
        return len(self.sampler)

    def __iter__(self) -> Iterator[Any]:
        # Only a loaded state is gone on with: an epoch that its reader left early is not.
        self.given = self._skip if self._skip < len(self.sampler) else 0
        self._skip = 0
        self.sampler.start = self.given
        iterator = iter(self.loader)
        self.sampler.start = 0
        while (batch := _next(iterator)) is not None:
            self.given += 1
            yield batch
        self.given = 0

    def state_dict(self) -> dict[str, int]:
        """Where the loader stands: read by Lightning when it saves a checkpoint."""
        return {"given": self.given}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on from there at the next iteration."""
        self._skip = state["given"]

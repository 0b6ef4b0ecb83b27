"""A data loader that can be stopped after any batch and goes on with the next one.

The order of an epoch is a function of (seed, epoch) alone; where the loader stands is three numbers in the checkpoint.
Under several processes each rank takes every n-th place of the same order. Items of different size may be given in
batches of like size, which saves padding.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from multimodal.errors import DataError

POOL = 50  # batches of a shuffled order among which items of like size are brought together


class Order(Sampler[list[tuple[int, int]]], ABC):
    """The batches of one epoch for one process, as lists of (epoch, index) for the dataset.

    A subclass says what the batches of `epoch` are, and where a checkpoint of other batches stands among them.
    """

    def __init__(self) -> None:
        self.start = 0  # batches to leave out at the front
        self.asked = 0  # the epoch that the trainer counts
        self.shift = 0  # what it counted too much

    @property
    def epoch(self) -> int:
        """The epoch whose order this is.

        A trainer that was stopped in the middle of an epoch by `max_steps` counts it as done; `shift` takes that back.
        """
        return self.asked + self.shift

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning before each epoch."""
        self.asked = epoch

    @abstractmethod
    def __len__(self) -> int:
        """Batches of this rank in an epoch; the same in each."""

    @abstractmethod
    def batches(self) -> list[list[int]]:
        """Indices of the items of each batch of this rank in `epoch`."""

    @abstractmethod
    def marks(self) -> dict[str, int]:
        """What a checkpoint keeps beside the number of batches, so that `done` understands it under other settings."""

    @abstractmethod
    def done(self, state: dict[str, int]) -> int:
        """Batches of this order that a checkpoint's `state` has behind it."""

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        # A list, not a generator: `start` counts at the call and not when the first batch is asked for.
        return iter([[(self.epoch, i) for i in batch] for batch in self.batches()[self.start :]])


class EpochOrder(Order):
    """Batches of `batch_size` items.

    With `sizes`, a shuffled order is cut into pools of 50 batches, each pool sorted by size and its batches shuffled:
    every item still comes once an epoch, in other company each time.
    """

    def __init__(
        self,
        length: int,
        batch_size: int,
        *,
        shuffle: bool = False,
        drop_last: bool = False,
        seed: int = 0,
        rank: int = 0,
        world: int = 1,
        sizes: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        self.length, self.batch_size, self.shuffle, self.drop_last = length, batch_size, shuffle, drop_last
        self.seed, self.rank, self.world = seed, rank, world
        self.sizes = None if sizes is None else torch.tensor(sizes)
        self.step = batch_size * world  # items of one batch of all processes

    def __len__(self) -> int:
        """Batches of this rank in an epoch."""
        if self.drop_last:
            return max(self.length // self.step, min(1, self.length // self.world))
        mine = len(range(self.rank, self.length, self.world))
        return -(-mine // self.batch_size)

    def batches(self) -> list[list[int]]:
        """Every n-th place of the epoch's order, in batches."""
        order = torch.arange(self.length)
        if self.shuffle:
            generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
            order = torch.randperm(self.length, generator=generator)
            if self.sizes is not None:
                order = self._by_size(order, self.sizes, generator)
        mine = order[self.rank :: self.world].tolist()
        return [mine[batch * self.batch_size : (batch + 1) * self.batch_size] for batch in range(len(self))]

    def marks(self) -> dict[str, int]:
        """The items of a step."""
        return {"step": self.step}

    def done(self, state: dict[str, int]) -> int:
        """With batches of another size or another number of processes, a part of a batch may come again.

        None is left out then, unless `sizes` bring the items into another order.
        """
        items = state["given"] * state.get("step", self.step)  # older checkpoints have neither this nor an epoch
        return items // self.step if items < self.length else len(self)

    def _by_size(self, order: Tensor, sizes: Tensor, generator: torch.Generator) -> Tensor:
        whole = len(order) // self.step * self.step  # the rest stays as it is: sorted, it would be the longest items
        pieces = []
        for pool in order[:whole].split(POOL * self.step):
            batches = pool[sizes[pool].argsort(stable=True)].view(-1, self.step)
            pieces.append(batches[torch.randperm(len(batches), generator=generator)].flatten())
        return torch.cat([*pieces, order[whole:]])


def _next(iterator: Iterator[Any]) -> Any:
    """The next batch, or None; what a worker process raised keeps its sentence and loses its traceback.

    Raises:
        DataError: no item can be read any more, or a worker process was killed.
    """
    try:
        return next(iterator, None)
    except DataError as error:
        raise DataError(str(error).strip().rpartition("DataError: ")[2]) from error
    except RuntimeError as error:
        if not re.match(r"DataLoader worker .* exited unexpectedly", str(error)):
            raise
        raise DataError(
            "A process that reads the data was killed, usually for want of memory; give fewer workers, or 0."
        ) from error


class ResumableLoader:
    """Batches of `dataset`; `state_dict` says how many of the current epoch were given out."""

    def __init__(
        self,
        dataset: Dataset[Any],
        order: Order,
        *,
        collate: Callable[[Sequence[Any]], Any],
        workers: int = 0,
        pin_memory: bool = False,
    ) -> None:
        self.sampler = self.batch_sampler = order  # so Lightning finds `set_epoch`, and no shuffling to undo
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
        self._epoch: int | None = None

    @property
    def dataset(self) -> Dataset[Any]:
        """What the batches are made of."""
        return self.loader.dataset

    def __len__(self) -> int:
        return len(self.sampler)

    def __iter__(self) -> Iterator[Any]:
        # Only a loaded state is gone on with: an epoch that its reader left early is not.
        self.given = self._skip if self._skip < len(self.sampler) else 0
        if self.given and self._epoch is not None:
            self.sampler.shift = self._epoch - self.sampler.asked
        self._skip, self._epoch = 0, None
        self.sampler.start = self.given
        iterator = iter(self.loader)
        self.sampler.start = 0
        while (batch := _next(iterator)) is not None:
            self.given += 1
            yield batch
        self.given = 0

    def state_dict(self) -> dict[str, int]:
        """Where the loader stands: read by Lightning when it saves a checkpoint."""
        order = self.sampler
        return {"given": self.given, "epoch": order.epoch, "shift": order.shift, **order.marks()}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on from there at the next iteration; what differs under other settings is said by the order's `done`."""
        self._skip = self.sampler.done(state)
        self._epoch = state.get("epoch")
        self.sampler.shift = state.get("shift", 0)

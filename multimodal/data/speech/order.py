"""Batches of recorded speech by seconds, not by count: each is about as long as the others once it is padded.

Clips of like length lie in one bucket, whose batches hold as many as fit `seconds` when each is as long as the bucket's
longest. What does not fill a batch goes on into the next, longer bucket; so each clip comes once an epoch, every epoch
has as many batches, and within a bucket each mixes anew. Under several processes a batch of all is drawn together and
dealt out, so that they stay in step with clips of like length.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

import torch

from multimodal.data.loader import Order
from multimodal.errors import ArgumentError

RATIO = 1.1  # longest over shortest of a bucket: at most a tenth of a batch is padding


class SecondsOrder(Order):
    """Batches of at most `seconds`, padding included; a longer clip is a batch of its own.

    Where `shuffle`, clips and batches come in an order that follows from (seed, epoch), and of a last batch with fewer
    clips than processes none is given. Else the longest come first, and all are given.
    """

    def __init__(
        self,
        lengths: Sequence[float],
        seconds: float,
        *,
        shuffle: bool = False,
        seed: int = 0,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        super().__init__()
        if not seconds > 0:
            raise ArgumentError(f"seconds_per_batch is {seconds}; it must be above 0.")
        self.lengths, self.seconds, self.shuffle = tuple(map(float, lengths)), seconds, shuffle
        self.seed, self.rank, self.world = seed, rank, world
        self.buckets = _buckets(self.lengths)
        self._count = len([batch for batch in self._dealt(torch.Generator()) if self._mine(batch)])

    def __len__(self) -> int:
        """Batches of this rank in an epoch."""
        return self._count

    def batches(self) -> list[list[int]]:
        """The batches of this rank in `epoch`."""
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
        dealt = self._dealt(generator)
        if self.shuffle:
            dealt = [dealt[place] for place in torch.randperm(len(dealt), generator=generator).tolist()]
        else:
            dealt.reverse()  # what needs the most memory comes first
        return [mine for batch in dealt if (mine := self._mine(batch))]

    def padding(self) -> float:
        """The part of an epoch's batches, 0 to 1, that is padding: of all processes, in epoch 0."""
        full = used = 0.0
        for batch in self._dealt(torch.Generator().manual_seed(self.seed * 1_000_003)):
            for rank in range(self.world):
                clips = [self.lengths[i] for i in batch[rank :: self.world]]
                full += len(clips) * max(clips, default=0.0)
                used += sum(clips)
        return 1 - used / full if full else 0.0

    def marks(self) -> dict[str, int]:
        """The batches of an epoch."""
        return {"batches": len(self)}

    def done(self, state: dict[str, int]) -> int:
        """As large a part of the epoch; where batches are others than before, clips may come again or be left out."""
        return state["given"] * len(self) // max(1, state.get("batches", len(self)))

    def _mine(self, batch: list[int]) -> list[int]:
        """The part of a batch of all processes that is this one's; nothing where training has not one for each."""
        return [] if self.shuffle and len(batch) < self.world else batch[self.rank :: self.world]

    def _dealt(self, generator: torch.Generator) -> list[list[int]]:
        """The batches of all processes together, from short clips to long ones."""
        batches: list[list[int]] = []
        waiting: list[int] = []
        for bucket in self.buckets:
            clips = list(bucket)
            if self.shuffle:
                clips = [bucket[place] for place in torch.randperm(len(bucket), generator=generator).tolist()]
            waiting += clips
            size = max(1, int(self.seconds / max(self.lengths[bucket[-1]], 1e-3))) * self.world
            whole = len(waiting) // size * size
            batches += [waiting[start : start + size] for start in range(0, whole, size)]
            waiting = waiting[whole:]
        return [*batches, waiting] if waiting else batches


def _buckets(lengths: Sequence[float]) -> list[list[int]]:
    """Indices of clips of like length, shortest first; also within a bucket."""
    order = sorted(range(len(lengths)), key=lengths.__getitem__)
    ordered = [lengths[i] for i in order]
    buckets, end = [], len(order)
    while end:  # from the longest down, so that the longest of a bucket says how many fit
        start = min(bisect_left(ordered, ordered[end - 1] / RATIO), end - 1)
        buckets.append(order[start:end])
        end = start
    return buckets[::-1]

"""Text for Lightning: loaders over a stream of ids, over documents packed into rows, and over samples of any kind.

Collators (objectives.py, task_batches.py, packing.py) make batches of items; every item is `(sample, (epoch,
index))`, so that their noise is a function of (seed, epoch, index) and repeats exactly when a run goes on. For
evaluation the epoch is always 0: a validation loss is measured on the same noise each time. Where texts come from is in
sources.py and readers.py; a corpus named by its path is in corpus_data.py.

Axes: n ids
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal, TypeAlias

import numpy as np
from torch.utils.data import Dataset

from multimodal.data.loader import ResumableLoader
from multimodal.data.resumable import ResumableData, SplitData
from multimodal.data.text.batches import Collate, Ids, Place
from multimodal.data.text.noise import noise_generator
from multimodal.data.text.packing import pack
from multimodal.data.text.rows import TextSet
from multimodal.data.text.tokens import TokenStream
from multimodal.errors import ArgumentError, DataError

Sampling: TypeAlias = Literal["blocks", "random"]


class TextItems(Dataset[tuple[Any, Place]]):
    """Samples of any kind, each with the epoch and its index."""

    def __init__(self, samples: Sequence[Any], *, training: bool) -> None:
        self.samples, self.training = samples, training

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, place: Place) -> tuple[Any, Place]:
        epoch, index = place
        return self.samples[index], (epoch if self.training else 0, index)


class TokenWindows(Dataset[tuple[Ids, Place]]):
    """Windows of a stream, across the ends of documents: `length` ids and `ahead` more, int64.

    "blocks": one beginning after another, so that each id is seen once an epoch. "random": as many windows, each from a
    place that follows from (seed, epoch, index).
    """

    def __init__(
        self, tokens: TokenStream, *, length: int, ahead: int, sampling: Sampling, seed: int, training: bool
    ) -> None:
        if sampling not in ("blocks", "random"):
            raise ArgumentError(f"sampling is {sampling!r}; it must be 'blocks' or 'random'.")
        if length < 1:
            raise ArgumentError(f"length is {length}; a window has at least 1 token.")
        if tokens.tokens < length + ahead:
            raise DataError(
                f"There are {tokens.tokens:,} tokens in a split, fewer than one window of {length + ahead:,}: give "
                "more text, or a smaller length."
            )
        self.tokens, self.length, self.ahead, self.sampling = tokens, length, ahead, sampling
        self.seed, self.training = seed, training

    def __len__(self) -> int:
        return (self.tokens.tokens - self.ahead) // self.length

    def __getitem__(self, place: Place) -> tuple[Ids, Place]:
        epoch, index = place if self.training else (0, place[1])
        start, width = index * self.length, self.length + self.ahead
        if self.sampling == "random":
            generator = noise_generator(self.seed, epoch, index)
            start = int(generator.integers(0, self.tokens.tokens - width, endpoint=True))
        return self.tokens.window(start, width).astype(np.int64), (epoch, index)


class PackedRows(Sequence[tuple[Ids, ...]]):
    """Documents of a stream, gathered into rows of at most `length` ids; a longer document becomes several."""

    def __init__(self, tokens: TokenStream, *, length: int) -> None:
        if length < 1:
            raise ArgumentError(f"length is {length}; a row has at least 1 token.")
        self.tokens = tokens
        lengths = tokens.lengths()
        pieces = -(-lengths // length)  # of each document
        first = np.repeat(np.cumsum(pieces) - pieces, pieces)  # number of the first piece of each piece's document
        inside = (np.arange(len(first)) - first) * length  # where each piece begins in its document
        self.starts = np.repeat(np.cumsum(lengths) - lengths, pieces) + inside
        self.sizes = np.minimum(np.repeat(lengths, pieces) - inside, length)
        self.rows = pack(self.sizes.tolist(), length)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: Any) -> tuple[Ids, ...]:
        places = ((int(self.starts[i]), int(self.sizes[i])) for i in self.rows[index])
        return tuple(self.tokens.window(start, size).astype(np.int64) for start, size in places)


class LanguageModelData(ResumableData):
    """Loaders over two streams of ids, cut into windows or packed into rows."""

    def __init__(
        self,
        streams: Mapping[str, TokenStream],
        collate: Collate[Any],
        *,
        length: int,
        ahead: int = 1,
        sampling: Sampling | Literal["packed"] = "blocks",
        batch_size: int = 32,
        workers: int | None = None,
        seed: int = 0,
    ) -> None:
        """Loaders over `streams`, in memory or `TokenShards`.

        Args:
            streams: "train", and "val", which is cut into blocks, or packed, and read in order.
            collate: items to a batch. An item's sample is an array of `length + ahead` ids; of packed rows a tuple of
                arrays, one for each document.
            length: ids of a window or row.
            ahead: ids more of each window, which are only predicted: 1 for causal models, 0 for others and for rows.
            sampling: "blocks" (each id once an epoch), "random" (windows at random places) or "packed" (whole
                documents, several in a row, none that attends to another).
            batch_size: windows or rows a step and process.
            workers: processes that read; None: as many as help on this machine.
            seed: of the order and of random places.
        """
        super().__init__(batch_size=batch_size, workers=workers, seed=seed)
        self.streams = dict(streams)
        self.collate, self.length, self.ahead = collate, length, ahead
        self.sampling: Sampling | Literal["packed"] = sampling

    def train_dataloader(self) -> ResumableLoader:
        """Shuffled windows or rows, the incomplete last batch dropped."""
        return self.training(self.dataset("train"), self.collate)

    def val_dataloader(self) -> ResumableLoader:
        """The validation stream, in order."""
        return self.evaluation(self.dataset("val"), self.collate)

    def test_dataloader(self) -> ResumableLoader:
        """The same as for validation."""
        return self.val_dataloader()

    def dataset(self, split: str) -> Dataset[tuple[Any, Place]]:
        """The items of a split.

        Raises:
            ArgumentError: `length` or `sampling` is out of range.
            DataError: the split is shorter than one window.
        """
        training, stream = split == "train", self.streams[split]
        if self.sampling == "packed":
            return TextItems(PackedRows(stream, length=self.length), training=training)
        return TokenWindows(
            stream,
            length=self.length,
            ahead=self.ahead,
            sampling=self.sampling if training else "blocks",
            seed=self.seed,
            training=training,
        )


class TextTaskData(SplitData):
    """Loaders over samples of any kind: labelled texts, questions, translations."""

    def __init__(
        self,
        splits: TextSet | Mapping[str, Sequence[Any]],
        collate: Collate[Any],
        *,
        evaluation_collate: Collate[Any] | None = None,
        batch_size: int = 32,
        by_size: bool = True,
        workers: int | None = None,
        seed: int = 0,
    ) -> None:
        """Loaders over `splits`, which must hold "train" and "val".

        Args:
            splits: what a reader gave, or sequences of samples.
            collate: items to a batch.
            evaluation_collate: the same for validation, testing and prediction; None: `collate`.
            batch_size: samples a step and process.
            by_size: put training samples of like `size` into a batch, which saves padding.
            workers: processes that make batches; None: as many as help on this machine.
            seed: of the order.

        Raises:
            DataError: a split is missing or empty.
        """
        super().__init__(batch_size=batch_size, workers=workers, seed=seed)
        self.labels = splits.labels if isinstance(splits, TextSet) else ()
        self.splits = dict(splits.splits if isinstance(splits, TextSet) else splits)
        for name in ("train", "val"):
            if not self.splits.get(name):
                raise DataError(f"There are no samples for the split {name!r}; `hold_out` takes some from training.")
        self.collate, self.evaluation_collate = collate, evaluation_collate or collate
        self.by_size = by_size

    def train_dataloader(self) -> ResumableLoader:
        """Shuffled, in batches of like size, the incomplete last batch dropped."""
        samples = self.splits["train"]
        sizes = [sample.size for sample in samples] if self.by_size else None
        return self.training(TextItems(samples, training=True), self.collate, sizes=sizes)

    @property
    def parts(self) -> Collection[str]:
        """The splits that hold samples."""
        return [split for split, samples in self.splits.items() if samples]

    def evaluation_loader(self, split: str) -> ResumableLoader:
        """Every sample of `split`, in order."""
        return self.evaluation(TextItems(self.splits[split], training=False), self.evaluation_collate)

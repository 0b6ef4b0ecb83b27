"""Conversations about images or recordings for Lightning: loaders of a training, a validation and a test split.

How a conversation is laid out and what an image becomes is the model's own business: chat template, tokenizer and
reader are those of the model in training. Texts become ids once, at the start, and small images are decoded once.
"""

from __future__ import annotations

import sys
from collections.abc import Collection
from typing import Any

import torch

from multimodal.data.chat.batches import ChatCollator
from multimodal.data.chat.dataset import ChatDataset, Shown
from multimodal.data.chat.prepared import Prepared, longest_of, prepared
from multimodal.data.chat.read import read_chats
from multimodal.data.chat.samples import ChatSample, ChatSamples, text_of
from multimodal.data.chat.split import hold_out
from multimodal.data.images.samples import Skipped
from multimodal.data.loader import ResumableLoader
from multimodal.data.resumable import SplitData
from multimodal.data.text.sources import report
from multimodal.errors import ArgumentError, DataError

BLUR = 0.5  # lengths are multiplied by up to exp(0.5), or divided by it, before batches of like length are made


class ConversationData(SplitData):
    """Loaders over conversations that were read and split already."""

    def __init__(
        self,
        samples: ChatSamples,
        *,
        batch_size: int = 16,
        longest: int | None = None,
        memory: float = 0.5,
        workers: int | None = None,
        seed: int = 0,
    ) -> None:
        """Loaders over the splits of `samples`; what they left out is said on stderr.

        Args:
            samples: what `read_chats` gave, with a "val" split (`hold_out`) where there shall be validation.
            batch_size: conversations a step and process.
            longest: tokens of a conversation, those of its images counted: what is longer is cut off behind whole
                tokens and images; None: as many as the model was made for.
            memory: gigabytes (10^9 bytes) of decoded images that are kept for the next epoch, by all workers together.
            workers: processes that read; None: as many as help on this machine.
            seed: of the order.

        Raises:
            ArgumentError: `memory` is negative.
        """
        super().__init__(batch_size=batch_size, workers=workers, seed=seed)
        if not memory >= 0:
            raise ArgumentError(f"memory is {memory}; it must be a number of gigabytes, 0 to keep nothing.")
        self.samples, self.longest, self.memory = samples, longest, memory
        self._prepared: dict[str, tuple[Prepared, ...]] = {}  # by split
        self._shown: Shown | None = None  # one for all splits
        report(samples.skipped, f"entries of {samples.root}")

    @property
    def texts(self) -> list[str]:
        """What is said in the training conversations, for a tokenizer that is trained on it."""
        return [text_of(message) for sample in self._chats("train") for message in sample.chat.messages]

    @property
    def model(self) -> Any:
        """The model in training, which says how conversations are to be read.

        Raises:
            DataError: there is none, or it reads no images and text.
        """
        model: Any = getattr(self.trainer.lightning_module, "model", None) if self.trainer is not None else None
        if getattr(model, "reader", None) is None or getattr(model, "tokenizer", None) is None:
            raise DataError(
                "Let a Trainer run this data module with a vision-language model that has a tokenizer; this one reads "
                "no images beside text."
            )
        return model

    def train_dataloader(self) -> ResumableLoader:
        """Shuffled, in batches of roughly like length, the incomplete last batch dropped.

        Only roughly, as questions of one length are often of one kind, and a model that learns from batches of one kind
        at a time learns much worse: of drawn scenes hardly anything.
        """
        dataset = self._dataset("train")
        chance = torch.Generator().manual_seed(self.seed)
        blurred = torch.rand(len(dataset), generator=chance).mul(2).sub(1).mul(BLUR).exp()
        lengths = torch.tensor([row.length for row in dataset.rows])
        return self.training(dataset, self._collator(), sizes=(lengths * blurred).round().long().tolist())

    @property
    def parts(self) -> Collection[str]:
        """The splits that were read."""
        return self.samples.splits

    def evaluation_loader(self, split: str) -> ResumableLoader:
        """Every conversation of `split`, in an order of chance that is always the same; `index` tells its place.

        Raises:
            DataError: the data have no such split.
        """
        return self.evaluation(self._dataset(split), self._collator())

    def _collator(self) -> ChatCollator:
        return ChatCollator(self.model.tokenizer.pad_id or 0)

    def _dataset(self, split: str) -> ChatDataset:
        model = self.model
        longest = longest_of(model, self.longest)
        if split not in self._prepared:
            self._prepared[split] = self._made(split, model, longest)
        if self._shown is None:
            self._shown = Shown(model.reader, int(self.memory * 1e9 / max(1, self.workers)))
        return ChatDataset(self._prepared[split], self._shown, placeholder=model.config.placeholder, longest=longest)

    def _made(self, split: str, model: Any, longest: int) -> tuple[Prepared, ...]:
        """A split as ids, and on stderr what is left out or cut off."""
        chats, skipped = self._chats(split), list[Skipped]()
        rows = prepared(chats, model, longest, skipped)
        if split != "train":  # data sorted by answer would show an image of the same answer in the place of another
            order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(0)).tolist()
            rows = tuple(rows[place] for place in order)
        if not rows:
            raise DataError(
                f"None of the {len(chats)} conversations of the {split} part of {self.samples.root} can be used; the "
                f"first: {skipped[0].path}: {skipped[0].reason}."
            )
        if self.rank == 0:
            report(skipped, f"conversations of the {split} part of {self.samples.root}")
            if cut := sum(row.length < row.whole for row in rows):
                print(
                    f"{cut:,} of {len(rows):,} conversations of the {split} part are longer than {longest:,} tokens "
                    "and are cut off; `multimodal check` lists them.",
                    file=sys.stderr,
                )
        return rows

    def _chats(self, split: str) -> tuple[ChatSample, ...]:
        chats = self.samples.splits.get(split)
        if not chats:
            found = ", ".join(self.samples.splits)
            raise DataError(f"{self.samples.root} has no {split} part; the parts that it has are {found}.")
        return chats


class ChatData(ConversationData):
    """Conversations, or images with captions; see `multimodal.data.chat.read` for the layouts."""

    def __init__(
        self,
        root: str,
        *,
        images: str | None = None,
        prompts: tuple[str, ...] = (),
        batch_size: int = 16,
        longest: int | None = None,
        val_fraction: float = 0.1,
        memory: float = 0.5,
        workers: int | None = None,
        seed: int = 0,
    ) -> None:
        """Read and split `root`.

        Args:
            root: a .json or .jsonl file of conversations, or a folder that holds one; or images with captions.
            images: the folder of the files that conversations name; None: beside them, or in images/ or audio/ there.
            prompts: of images with captions, what a caption answers, one drawn for each; none: the image stands alone
                in front of its caption, as in the first stage of LLaVA.
            batch_size: conversations a step and process.
            longest: tokens of a conversation, those of its images counted: what is longer is cut off behind whole
                tokens and images; None: as many as the model was made for.
            val_fraction: part of the training conversations held out for validation where the data have no such split;
                those about the same image stay together.
            memory: gigabytes (10^9 bytes) of decoded images that are kept for the next epoch, by all workers together.
            workers: processes that read; None: as many as help on this machine.
            seed: of the split and the order.
        """
        samples = hold_out(read_chats(root, images=images, prompts=prompts), val_fraction, seed)
        super().__init__(samples, batch_size=batch_size, longest=longest, memory=memory, workers=workers, seed=seed)

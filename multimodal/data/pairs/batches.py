"""The batches that contrastive tasks take, and how images, or recordings, with captions become one.

For training one caption stands for each image; for retrieval all captions of all images follow each other, and `owner`
says whose they are. Captions are padded to the longest of the batch; a model that reads padding as text (SigLIP) fills
them up itself.

Axes: b images · m captions · t length · k channels · h, w pixels
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypedDict

import torch
from jaxtyping import Bool, Int, Num
from torch import Tensor

from multimodal.data.pairs.dataset import PairItem
from multimodal.errors import ArgumentError
from multimodal.tokenizers.text import TextTokenizer


class PairBatch(TypedDict):
    """Images with one caption each."""

    pixels: Num[Tensor, "b k h w"]  # bytes of three channels; or of one, normalised already: spectrograms
    ids: Int[Tensor, "b t"]
    keep: Bool[Tensor, "b t"]  # False at padding
    caption: Int[Tensor, " b"]  # equal for equal captions, which are no negatives of each other; see `caption_number`
    index: Int[Tensor, " b"]  # of the image in its split
    failed: list[str]  # images that could not be read


class PairEvalBatch(TypedDict):
    """Images with all their captions."""

    pixels: Num[Tensor, "b k h w"]
    ids: Int[Tensor, "m t"]
    keep: Bool[Tensor, "m t"]
    owner: Int[Tensor, " m"]  # place in the batch of the caption's image
    caption: Int[Tensor, " m"]  # see `caption_number`
    image: Int[Tensor, " b"]  # index of the image in its split; may come twice where another could not be read
    failed: list[str]


@dataclass(frozen=True, kw_only=True)
class CaptionConfig:
    """How captions become ids."""

    longest: int | None = None  # tokens of a caption at most, special ones included; None: no limit

    def __post_init__(self) -> None:
        if self.longest is not None and self.longest < 1:
            raise ArgumentError(f"longest is {self.longest}; it must be at least 1 token, or None.")

    def build(self, tokenizer: TextTokenizer) -> PairCollator:
        """A collator for training."""
        return PairCollator(self, tokenizer)

    def build_evaluation(self, tokenizer: TextTokenizer) -> PairEvalCollator:
        """A collator for retrieval."""
        return PairEvalCollator(self, tokenizer)


class PairCollator:
    """Items with one caption each to a `PairBatch`."""

    def __init__(self, config: CaptionConfig, tokenizer: TextTokenizer) -> None:
        self.config, self.tokenizer = config, tokenizer

    def __call__(self, items: Sequence[PairItem]) -> PairBatch:
        """One batch of several pairs; of several captions the first is taken."""
        captions = [item["captions"][0] for item in items]
        ids, keep = encode_captions(captions, self.tokenizer, self.config)
        return {
            "pixels": torch.stack([item["pixels"] for item in items]),
            "ids": ids,
            "keep": keep,
            "caption": torch.tensor(list(map(caption_number, captions))),
            "index": torch.tensor([item["index"] for item in items]),
            "failed": [name for item in items for name in item["failed"]],
        }


class PairEvalCollator:
    """Items with all their captions to a `PairEvalBatch`."""

    def __init__(self, config: CaptionConfig, tokenizer: TextTokenizer) -> None:
        self.config, self.tokenizer = config, tokenizer

    def __call__(self, items: Sequence[PairItem]) -> PairEvalBatch:
        """One batch of several images."""
        captions = [caption for item in items for caption in item["captions"]]
        owner = [place for place, item in enumerate(items) for _ in item["captions"]]
        ids, keep = encode_captions(captions, self.tokenizer, self.config)
        return {
            "pixels": torch.stack([item["pixels"] for item in items]),
            "ids": ids,
            "keep": keep,
            "owner": torch.tensor(owner),
            "caption": torch.tensor(list(map(caption_number, captions))),
            "image": torch.tensor([item["index"] for item in items]),
            "failed": [name for item in items for name in item["failed"]],
        }


def encode_captions(
    captions: Sequence[str], tokenizer: TextTokenizer, config: CaptionConfig
) -> tuple[Int[Tensor, "m t"], Bool[Tensor, "m t"]]:
    """The ids of captions, cut to `longest` and padded, and where they are no padding."""
    batch = tokenizer.batch(captions, max_length=config.longest, length=1)
    return batch.ids, batch.keep


def caption_number(caption: str) -> int:
    """A number from 0 to 2^63 - 1 for a caption, in every process the same; case and spacing make no difference."""
    text = " ".join(caption.lower().split())
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1

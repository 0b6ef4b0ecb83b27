"""The batches that speech tasks take, and how clips become one.

Axes: b clips · n samples · t ids of a text
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from multimodal.data.speech.dataset import SpeechItem
from multimodal.tokenizers.text import TextTokenizer


class SpeechBatch(TypedDict):
    """Clips with their texts."""

    wave: Float[Tensor, "b n"]  # zeros at padding
    samples: Int[Tensor, " b"]  # of each clip
    ids: Int[Tensor, "b t"]  # of the texts, without special tokens: what frames a text is the task's business
    keep: Bool[Tensor, "b t"]  # False at padding of ids
    texts: list[str]
    index: Int[Tensor, " b"]  # of the clip in its split
    failed: list[str]  # clips that could not be read


class SpeechCollator:
    """Items to a `SpeechBatch`, texts by the tokenizer of the model."""

    def __init__(self, tokenizer: TextTokenizer) -> None:
        self.tokenizer = tokenizer

    def __call__(self, items: Sequence[SpeechItem]) -> SpeechBatch:
        """One batch of several clips, each padded to the longest."""
        texts = [item["text"] for item in items]
        encoded = self.tokenizer.batch(texts, special=False, length=1)
        return {
            "wave": pad_sequence([item["wave"] for item in items], batch_first=True),
            "samples": torch.tensor([len(item["wave"]) for item in items]),
            "ids": encoded.ids,
            "keep": encoded.keep,
            "texts": texts,
            "index": torch.tensor([item["index"] for item in items]),
            "failed": [name for item in items for name in item["failed"]],
        }

"""The batches that learning from conversations takes, and how items become one.

Axes: b conversations · t length, a placeholder for each token of an image
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor

from multimodal.data.chat.dataset import ChatItem
from multimodal.data.text.batches import kept, padded
from multimodal.losses import IGNORE
from multimodal.models.chat.views import Views


class ChatBatch(TypedDict):
    """Conversations, padded on the right."""

    ids: Int[Tensor, "b t"]
    targets: Int[Tensor, "b t"]  # the id that follows where the assistant says it, else IGNORE
    keep: Bool[Tensor, "b t"]  # False at padding
    views: Views | None  # the images of all, in the order of their placeholders; None: there are none
    index: Int[Tensor, " b"]  # of the conversation in its split
    failed: list[str]  # files that could not be read


class ChatCollator:
    """Items to a `ChatBatch`."""

    def __init__(self, pad: int) -> None:
        """`pad`: the id at padding, which nobody reads; it must not be the placeholder."""
        self.pad = pad

    def __call__(self, items: Sequence[ChatItem]) -> ChatBatch:
        """One batch of several conversations: all but the last id of each as inputs, all but the first as targets."""
        rows = [item["ids"][:-1] for item in items]
        targets = [np.where(item["learned"], item["ids"], IGNORE)[1:] for item in items]
        return {
            "ids": padded(rows, self.pad),
            "targets": padded(targets, IGNORE),
            "keep": kept(rows),
            "views": Views.of([seen for item in items for seen in item["seen"]]),
            "index": torch.tensor([item["index"] for item in items]),
            "failed": [name for item in items for name in item["failed"]],
        }

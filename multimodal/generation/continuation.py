"""The contract between decoding and models: rows of tokens that a model has read, and can read on.

Whoever makes one has read the prompts, whatever they are made of (text, or images and text, or a sound on the other
side of cross-attention), and hands on the logits of the token after each.

Axes: b batch · t new tokens · v vocabulary
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from multimodal.backbone.cache import Cache


@runtime_checkable
class Continuation(Protocol):
    """A model in the middle of several texts; `cache` holds what it has read of each, and can go back."""

    cache: Cache  # with room for the longest text that there may be, at most what the model was made for
    repeats: list[int]  # for each row, how many before it were given the same, see `repeats_of`

    def logits(self, ids: Int[Tensor, "b t"], *, keep: Bool[Tensor, "b t"] | None = None) -> Float[Tensor, "b t v"]:
        """Read `ids` (real where `keep`, which is False only on the right): logits of the token after each."""
        ...

    def next_logits(self, ids: Int[Tensor, "b t"], *, keep: Bool[Tensor, "b t"] | None = None) -> Float[Tensor, "b v"]:
        """The same, of the token after the last real one of each row only: the output layer runs once a row."""
        ...

    def reorder(self, rows: Sequence[int], contexts: Sequence[int] | None = None) -> None:
        """Row i goes on from where row `rows[i]` was; of what cross-attention looks at, `contexts` remain, or all."""
        ...


def padded(
    rows: Sequence[Sequence[int]], device: torch.device
) -> tuple[Int[Tensor, "b t"], Bool[Tensor, "b t"] | None]:
    """Rows of ids, padded on the right, and where they are real; None where all are."""
    longest = max(map(len, rows))
    ids = torch.tensor([[*row, *[0] * (longest - len(row))] for row in rows], dtype=torch.long, device=device)
    if all(len(row) == longest for row in rows):
        return ids.reshape(len(rows), longest), None
    lengths = torch.tensor([len(row) for row in rows], device=device)
    return ids, torch.arange(longest, device=device) < lengths[:, None]


def repeats_of(inputs: Sequence[Hashable]) -> list[int]:
    """How many inputs before each are equal to it. Sampling tells rows with the same input apart by that."""
    seen: Counter[Hashable] = Counter()
    found = []
    for item in inputs:
        found.append(seen[item])
        seen[item] += 1
    return found

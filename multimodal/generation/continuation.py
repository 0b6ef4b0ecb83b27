"""The contract between decoding and models: rows of tokens that a model has read, and can read on.

Axes: b batch · t new tokens · v vocabulary
"""

from __future__ import annotations

from typing import Protocol

from jaxtyping import Bool, Float, Int
from torch import Tensor

from multimodal.backbone.cache import Cache


class Continuation(Protocol):
    """A model in the middle of several texts; `cache` holds what it has read of each, and can go back or branch."""

    cache: Cache

    def logits(self, ids: Int[Tensor, "b t"], *, keep: Bool[Tensor, "b t"] | None = None) -> Float[Tensor, "b t v"]:
        """Read `ids` (real where `keep`, which is False only on the right): logits of the token after each."""
        ...

    def next_logits(self, ids: Int[Tensor, "b t"], *, keep: Bool[Tensor, "b t"] | None = None) -> Float[Tensor, "b v"]:
        """The same, of the token after the last real one of each row only: the output layer runs once a row."""
        ...

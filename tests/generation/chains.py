"""A model that one can compute by hand: the next token depends on the last one alone, by a table of logits."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from multimodal.backbone.cache import Cache


class Chain:
    """A `Continuation` whose logits after token i are `table[i]`; its cache only counts."""

    def __init__(self, table: Tensor, rows: int, *, read: int = 1, capacity: int = 64) -> None:
        self.table = table
        self.cache, self.repeats = Cache(0, rows, capacity, 1, 1), list(range(rows))
        self._count(torch.zeros(rows, read), None)

    def logits(self, ids: Tensor, *, keep: Tensor | None = None) -> Tensor:
        self._count(ids, keep)
        return self.table[ids]

    def next_logits(self, ids: Tensor, *, keep: Tensor | None = None) -> Tensor:
        last = torch.full((len(ids),), ids.shape[1] - 1) if keep is None else keep.sum(1).clamp(min=1) - 1
        return self.logits(ids, keep=keep)[torch.arange(len(ids)), last]

    def reorder(self, rows: Sequence[int], contexts: Sequence[int] | None = None) -> None:
        self.cache.reorder(rows)

    def _count(self, ids: Tensor, keep: Tensor | None) -> None:
        self.cache.begin(ids.shape[1], keep)
        self.cache.finish()


def chain(v: int, seed: int = 0, *, spread: float = 1.5) -> Tensor:
    """A table of `v` tokens."""
    return spread * torch.randn(v, v, generator=torch.Generator().manual_seed(seed))


def begun(table: Tensor, prompts: Sequence[Sequence[int]], **options: int) -> tuple[Chain, Tensor, list[list[int]]]:
    """What `generate` takes: the chain behind prompts of one length."""
    model = Chain(table, len(prompts), read=len(prompts[0]), **options)
    return model, table[[prompt[-1] for prompt in prompts]], [list(prompt) for prompt in prompts]

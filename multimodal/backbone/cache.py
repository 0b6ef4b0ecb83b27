"""Keys and values of earlier tokens, in memory that is allocated once.

Each row of the batch has its own length, so prompts of different length decode together: row r's next token goes to
slot `lengths[r]`. A chunk of tokens may end in padding on the right (`keep`); padding is written to one spare slot
behind the last that nobody ever reads.

Axes: b batch · t new tokens · s slots · g key/value heads · k head width
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from multimodal.errors import ArgumentError


class LayerCache:
    """The keys and values of one layer: of earlier tokens, and of the context that cross-attention looks at."""

    def __init__(self, k: Float[Tensor, "b g s k"], v: Float[Tensor, "b g s k"]) -> None:
        self.k, self.v = k, v
        self.context: tuple[Tensor, Tensor] | None = None  # projected at the first call, then reused
        self.slots: Int[Tensor, "b t"] | slice = slice(0, 0)  # where the next tokens go; set by `Cache.begin`
        self.end = 0

    def append(
        self, k: Float[Tensor, "b g t k"], v: Float[Tensor, "b g t k"]
    ) -> tuple[Float[Tensor, "b g s k"], Float[Tensor, "b g s k"]]:
        """Store the new keys and values; all that are stored so far."""
        for store, new in ((self.k, k), (self.v, v)):
            if isinstance(self.slots, slice):
                store[:, :, self.slots] = new
            else:
                index = self.slots[:, None, :, None].expand(new.shape)  # b g t k
                store.scatter_(2, index, new.to(store.dtype))
        return self.k[:, :, : self.end], self.v[:, :, : self.end]


class Cache:
    """A `LayerCache` for each layer, and how many tokens each row has stored."""

    def __init__(
        self,
        layers: int,
        batch: int,
        capacity: int,
        heads: int,
        width: int,
        *,
        device: torch.device | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        shape = (batch, heads, capacity + 1, width)  # one more slot: where padding goes
        self.capacity = capacity
        self.layers = [
            LayerCache(torch.zeros(shape, device=device, dtype=dtype), torch.zeros(shape, device=device, dtype=dtype))
            for _ in range(layers)
        ]
        self.lengths: Int[Tensor, " b"] = torch.zeros(batch, dtype=torch.long, device=device)
        self.longest = 0  # max(lengths), known without asking the device
        self.ragged = False  # whether rows differ in length

    def begin(self, t: int, keep: Bool[Tensor, "b t"] | None) -> tuple[Int[Tensor, " b"] | int, int]:
        """Make room for `t` tokens per row; how many tokens each row has had, and how many keys there will be.

        Raises:
            ArgumentError: the capacity is exceeded, or a token follows padding in its row.
        """
        past: Tensor | int = self.lengths.clone() if self.ragged or keep is not None else self.longest
        self._count = keep.sum(1) if keep is not None else t
        end = self.longest + t
        if keep is not None:
            holes = (keep[:, 1:] & ~keep[:, :-1]).any()
            end, left = torch.stack([(self.lengths + self._count).max(), holes.long()]).tolist()  # asks the device once
            if left:
                raise ArgumentError(
                    "With a cache, padding must be on the right of each row; here a token follows some."
                )
        if end > self.capacity:
            raise ArgumentError(
                f"The cache holds {self.capacity} tokens a row and {end} are needed; allocate a larger one."
            )
        self.ragged = self.ragged or keep is not None
        slots: Tensor | slice = slice(self.longest, end)
        if self.ragged:
            slots = self.lengths[:, None] + torch.arange(t, device=self.lengths.device)
            slots = slots if keep is None else torch.where(keep, slots, self.capacity)
        for layer in self.layers:
            layer.slots, layer.end = slots, end
        self._end = end
        return past, end

    def finish(self) -> None:
        """Count the tokens that `begin` made room for as stored."""
        self.lengths = self.lengths + self._count
        self.longest = self._end

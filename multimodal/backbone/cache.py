"""Keys and values of earlier tokens, in memory that is allocated once.

Each row of the batch has its own length, so prompts of different length decode together: row r's next token goes to
slot `lengths[r]`. A chunk of tokens may end in padding on the right (`keep`); padding is written to one spare slot
behind the last that nobody ever reads. Decoders go back (`rewind`), follow other rows (`reorder`), and keep what a
common beginning left behind (`state`, `fill`).

Axes: b batch · t new tokens · s slots · g key/value heads · k head width · n contexts: b, or b / beams
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

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
        shape = (layers, 2, batch, heads, capacity + 1, width)  # one more slot: where padding goes
        self.capacity = capacity
        try:
            # One block: a CPU's allocator gives many smaller ones back to the system after each text, and with them its
            # working memory, which is then mapped anew page by page (7 to 10% of the time to a first token).
            # `.data`: autograd would take a write to one view for a change of all.
            block = torch.zeros(shape, device=device, dtype=dtype)
            self.layers = [LayerCache(k.data, v.data) for k, v in block]
        except RuntimeError as error:  # also what CUDA raises
            raise ArgumentError(
                f"There is no memory for the keys and values of {batch:,} x {capacity:,} tokens: ask for fewer new "
                "tokens, beams or texts at a time."
            ) from error
        self.lengths: Int[Tensor, " b"] = torch.zeros(batch, dtype=torch.long, device=device)
        self.counts = [0] * batch  # the same, known without asking the device

    @property
    def longest(self) -> int:
        """How many tokens the fullest row has stored."""
        return max(self.counts)

    @property
    def ragged(self) -> bool:
        """Whether rows differ in length."""
        return min(self.counts) < max(self.counts)

    def begin(self, t: int, keep: Bool[Tensor, "b t"] | None) -> tuple[Int[Tensor, " b"] | int, int]:
        """Make room for `t` tokens per row; how many tokens each row has had, and how many keys there will be.

        Raises:
            ArgumentError: the capacity is exceeded, or a token follows padding in its row.
        """
        self._new, uneven = [t] * len(self.counts), self.ragged or keep is not None
        if keep is not None:
            after = (keep[:, 1:] & ~keep[:, :-1]).any(1)
            self._new, holes = torch.stack([keep.sum(1), after.long()]).tolist()  # asks the device once
            if any(holes):
                raise ArgumentError(
                    "With a cache, padding must be on the right of each row; here a token follows some."
                )
        end = max(had + new for had, new in zip(self.counts, self._new, strict=True))
        if end > self.capacity:
            raise ArgumentError(
                f"The cache holds {self.capacity} tokens a row and {end} are needed; allocate a larger one."
            )
        slots: Tensor | slice = slice(self.longest, end)
        if uneven:
            slots = self.lengths[:, None] + torch.arange(t, device=self.lengths.device)
            slots = slots if keep is None else torch.where(keep, slots, self.capacity)
        for layer in self.layers:
            layer.slots, layer.end = slots, end
        return (self.lengths if uneven else self.longest), end

    def finish(self) -> None:
        """Count the tokens that `begin` made room for as stored."""
        even = min(self._new) == max(self._new)
        self.lengths = self.lengths + (self._new[0] if even else self.lengths.new_tensor(self._new))
        self.counts = [had + new for had, new in zip(self.counts, self._new, strict=True)]

    def rewind(self, lengths: Sequence[int]) -> None:
        """Forget what each row stored beyond its first `lengths[row]` tokens; the context stays.

        Raises:
            ArgumentError: a row has not stored that many.
        """
        shorter = [0 <= n <= had for n, had in zip(lengths, self.counts, strict=False)]
        if len(lengths) != len(self.counts) or not all(shorter):
            raise ArgumentError(f"A cache of rows with {self.counts} tokens cannot go back to {list(lengths)}.")
        if list(lengths) != self.counts:
            self.counts = list(lengths)
            self.lengths = self.lengths.new_tensor(self.counts)

    def reorder(self, rows: Sequence[int], contexts: Sequence[int] | None = None) -> None:
        """Row i becomes a copy of what row `rows[i]` was; there may be more or fewer rows than before.

        Beams of one context share it, so the context's rows stay as they are unless `contexts` says which remain.
        """
        moved = [i for i, row in enumerate(rows) if i != row]
        index = self.lengths.new_tensor(rows)
        used = max((self.counts[row] for row in rows), default=0)
        for layer in self.layers if moved or len(rows) != len(self.counts) else ():
            for name in ("k", "v"):
                store = getattr(layer, name)
                if len(rows) > len(self.counts):
                    setattr(layer, name, store.index_select(0, index))
                    continue
                if moved:  # most rows stay where they are: only what changes is copied, and of it only what is used
                    store[moved, :, :used] = store[index[moved], :, :used]
                setattr(layer, name, store[: len(rows)])
        if contexts is not None:
            remaining = self.lengths.new_tensor(contexts)
            for layer in self.layers:
                if layer.context is not None:
                    k, v = layer.context
                    layer.context = k.index_select(0, remaining), v.index_select(0, remaining)
        self.lengths = self.lengths.index_select(0, index)
        self.counts = [self.counts[row] for row in rows]

    def state(self) -> dict[str, Tensor]:
        """The keys and values of the first row, "{layer}.k" and "{layer}.v" of shape (g, s, k), to be kept."""
        length = self.counts[0]
        pairs = [(f"{i}.{name}", getattr(layer, name)) for i, layer in enumerate(self.layers) for name in "kv"]
        return {name: store[0, :, :length].clone() for name, store in pairs}

    def fill(self, state: Mapping[str, Tensor]) -> None:
        """Begin every row of this empty cache with what `state` kept.

        Raises:
            ArgumentError: it was kept by another model, or there is not enough room, or the cache is not empty.
        """
        length = next(iter(state.values())).shape[1] if state else 0
        for i, layer in enumerate(self.layers):
            for name, store in (("k", layer.k), ("v", layer.v)):
                kept = state.get(f"{i}.{name}")
                expected = (store.shape[1], length, store.shape[3])
                if kept is None or kept.shape != expected or len(state) != 2 * len(self.layers):
                    raise ArgumentError("This prefix was kept by another model: its keys and values do not fit.")
                if any(self.counts) or length > self.capacity:
                    raise ArgumentError(f"A prefix of {length} tokens needs an empty cache with room for them.")
                store[:, :, :length] = kept.to(store)
        self.lengths, self.counts = torch.full_like(self.lengths, length), [length] * len(self.counts)

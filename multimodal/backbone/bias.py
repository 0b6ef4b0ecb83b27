"""Positions as a bias on the attention scores: ALiBi and T5's relative buckets.

Both depend only on how far a key lies from a query, so they need no position of their own and extend to lengths
that were not trained.

Axes: b batch · t query length · s key length · h heads
Refs: ALiBi arXiv:2108.12409 · relative buckets (T5) arXiv:1910.10683 §2.1
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from multimodal.errors import ArgumentError


@dataclass(frozen=True, kw_only=True)
class AlibiConfig:
    """A penalty per head that grows linearly with the distance; nothing is learned."""

    def build(self, heads: int, head_dim: int) -> Alibi:
        """An `Alibi` for `heads` heads."""
        return Alibi(heads)


@dataclass(frozen=True, kw_only=True)
class RelativeBiasConfig:
    """A learned bias per head and bucket of distances, exact when near and logarithmic when far."""

    buckets: int = 32
    max_distance: int = 128  # farther keys share the last bucket
    bidirectional: bool = True  # half of the buckets for keys behind the query (False in a decoder)

    def build(self, heads: int, head_dim: int) -> RelativeBias:
        """A `RelativeBias` for `heads` heads.

        Raises:
            ArgumentError: no bucket for near keys, or none of the far ones nearer than `max_distance`.
        """
        exact = self.buckets // (4 if self.bidirectional else 2)
        if exact < 1 or self.max_distance <= exact:
            raise ArgumentError(
                f"buckets is {self.buckets} and max_distance {self.max_distance}; {exact} buckets are for near keys, "
                "which must be at least 1 and below max_distance."
            )
        return RelativeBias(self, heads)


def alibi_slopes(heads: int, device: torch.device | None = None) -> Float[Tensor, " h"]:
    """The paper's slopes: a geometric sequence from 2^(-8/h); for other counts, every second one of the next power."""
    power = 2 ** math.floor(math.log2(heads))
    i = torch.arange(heads, device=device)
    return torch.exp2(torch.where(i < power, -8.0 * (i + 1) / power, -4.0 * (2 * (i - power) + 1) / power))


class Alibi(nn.Module):
    """-slope · |distance|, for each head its own slope; always computed in float32."""

    def __init__(self, heads: int) -> None:
        super().__init__()
        self.heads = heads

    def forward(self, query: Int[Tensor, "#b t"], key: Int[Tensor, " s"]) -> Float[Tensor, "#b h t s"]:
        """The bias between queries and keys at these positions."""
        distance = (query[..., None] - key).abs().float()  # b t s
        return -alibi_slopes(self.heads, key.device)[:, None, None] * distance[:, None]


class RelativeBias(nn.Module):
    """A table (buckets, heads) looked up by distance; one table serves all layers, as in T5."""

    def __init__(self, config: RelativeBiasConfig, heads: int) -> None:
        super().__init__()
        self.config = config
        self.table = nn.Embedding(config.buckets, heads)

    def bucket(self, offset: Int[Tensor, ...]) -> Int[Tensor, ...]:
        """The bucket of each `offset` = key position - query position."""
        buckets, base = self.config.buckets, 0
        if self.config.bidirectional:
            buckets //= 2
            base = (offset > 0).long() * buckets
            distance = offset.abs()
        else:
            distance = (-offset).clamp(min=0)
        exact = buckets // 2
        ratio = torch.log(distance.float().clamp(min=1) / exact) / math.log(self.config.max_distance / exact)
        far = (exact + (ratio * (buckets - exact)).long()).clamp(max=buckets - 1)
        return base + torch.where(distance < exact, distance, far)

    def forward(self, query: Int[Tensor, "#b t"], key: Int[Tensor, " s"]) -> Float[Tensor, "#b h t s"]:
        """The bias between queries and keys at these positions."""
        return self.table(self.bucket(key - query[..., None])).movedim(-1, 1)  # b t s h -> b h t s

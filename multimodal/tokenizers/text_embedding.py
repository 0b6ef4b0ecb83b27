"""Ids to tokens: a vector for each word piece, with positions, segments and a norm where a model has them.

Strings to ids is the subject of `text.py`. Positions inside attention (rotary, relative) belong to the backbone.

Axes: b batch · t length · w width of a word vector · d model width · v vocabulary
Refs: GPT-2 (words and positions) · BERT arXiv:1810.04805 §3 (segments) · ALBERT arXiv:1909.11942 §3.1 (narrow table)
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from multimodal.backbone.backbone import initialize
from multimodal.backbone.cache import Cache
from multimodal.backbone.norm import NormConfig
from multimodal.backbone.position import LearnedPositionConfig, PositionConfig
from multimodal.errors import ArgumentError


@dataclass(frozen=True, kw_only=True)
class TextEmbeddingConfig:
    """Hyper-parameters of `TextEmbedding`."""

    vocabulary: int  # v
    max_length: int  # tokens; the longest text that the model was made for, also where positions are in the backbone
    position: PositionConfig | None = LearnedPositionConfig()  # None: the backbone's business
    first_position: int = 0  # rows of the position table in front of the first token's (RoBERTa and BART: 2)
    types: int = 0  # kinds of segments (BERT: 2)
    norm: NormConfig | None = None  # of the sum
    width: int | None = None  # of the word table, projected to d; None: d (ALBERT: 128)
    scale: float = 1.0  # of the word vectors (Marian: sqrt(d))
    dropout: float = 0.0  # probability of zeroing a channel while training

    @property
    def positions(self) -> int | None:
        """How many places have a position here; None: any number, as positions are the backbone's."""
        return self.max_length if self.position is not None else None

    def build(self, dim: int) -> TextEmbedding:
        """A `TextEmbedding` into vectors of width `dim`."""
        if self.first_position < 0:
            raise ArgumentError(f"first_position is {self.first_position}; it must be at least 0.")
        return TextEmbedding(self, dim)


class TextEmbedding(nn.Module):
    """The table of word vectors, and the `Placement` of what is looked up in it."""

    def __init__(self, config: TextEmbeddingConfig, dim: int) -> None:
        super().__init__()
        self.config = config
        self.words = nn.Embedding(config.vocabulary, config.width or dim)
        self.placement = Placement(config, dim)
        initialize(self.words)

    def forward(
        self,
        ids: Int[Tensor, "b t"],
        *,
        types: Int[Tensor, "b t"] | None = None,
        positions: Int[Tensor, "#b t"] | None = None,
    ) -> Float[Tensor, "b t d"]:
        """The vectors of `ids`.

        Args:
            ids: from 0 to v - 1.
            types: segment of each token; default: all are 0.
            positions: place of each token in its text, from 0; default: counted from the left.

        Raises:
            ArgumentError: a text longer than the model's position table.
        """
        return self.placement(self.words(ids), types=types, positions=positions)


class Placement(nn.Module):
    """dropout(norm(words · scale + positions + types)), projected where the word vectors are narrower than the model.

    Apart from the table, because an encoder and a decoder share that and have each their own of this.
    """

    def __init__(self, config: TextEmbeddingConfig, dim: int) -> None:
        super().__init__()
        self.config = config
        width = config.width or dim
        rows = config.max_length + config.first_position
        self.position = config.position.build(width, (rows,)) if config.position else None
        self.types = nn.Embedding(config.types, width) if config.types else None
        self.norm = config.norm.build(width) if config.norm else nn.Identity()
        self.project = nn.Linear(width, dim) if config.width else nn.Identity()
        self.dropout = nn.Dropout(config.dropout)
        self.apply(initialize)

    def forward(
        self,
        x: Float[Tensor, "b t w"],
        *,
        types: Int[Tensor, "b t"] | None = None,
        positions: Int[Tensor, "#b t"] | None = None,
    ) -> Float[Tensor, "b t d"]:
        """The word vectors `x` as tokens; the rest as in `TextEmbedding`."""
        if self.config.scale != 1.0:
            x = x * self.config.scale
        if self.types is not None:
            x = x + (self.types(types) if types is not None else self.types.weight[0])
        if self.position is not None:
            x = x + self._positions(positions, x.shape[1]).to(x.dtype)
        return self.dropout(self.project(self.norm(x)))

    def _positions(self, positions: Tensor | None, t: int) -> Float[Tensor, "#b t w"]:
        assert self.position is not None
        first, longest = self.config.first_position, self.config.max_length
        table = self.position((longest + first,))[first:]
        if positions is not None:  # whoever gives positions has counted: asking the device for the largest would wait
            return table[positions.clamp(max=longest - 1)]  # padding may be counted beyond the end
        if t > longest:
            raise ArgumentError(f"{t} tokens were given; the model reads up to {longest}. Shorten the text.")
        return table[None, :t]


def positions_after(cache: Cache, t: int, *, longest: int | None) -> Int[Tensor, "#b t"]:
    """Places of `t` more tokens in each row of `cache`; `longest` is what the model has positions for, None: any.

    Raises:
        ArgumentError: the last would have no position.
    """
    if longest is not None and cache.longest + t > longest and not cache.ragged:
        raise ArgumentError(
            f"{cache.longest + t} tokens are needed and the model has positions for {longest}. Shorten the text."
        )
    past = cache.lengths[:, None] if cache.ragged else cache.longest
    return (torch.arange(t, device=cache.lengths.device) + past).reshape(-1, t)

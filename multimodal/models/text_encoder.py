"""A bidirectional text encoder: BERT, RoBERTa, DistilBERT and ALBERT are configs of this one class.

Heads that are trained together with it (masked words, next sentence) are here; those for tasks in `text_heads.py`.

Axes: b batch · t length · n tokens · d model width · v vocabulary
Refs: BERT arXiv:1810.04805 · RoBERTa arXiv:1907.11692 · DistilBERT arXiv:1910.01108 · ALBERT arXiv:1909.11942
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.functional import linear

from multimodal.backbone.backbone import BackboneConfig, initialize
from multimodal.backbone.mlp import Activation, activate
from multimodal.backbone.norm import LayerNormConfig, NormConfig
from multimodal.errors import ArgumentError
from multimodal.tokenizers.text import TextTokenizer
from multimodal.tokenizers.text_embedding import TextEmbeddingConfig
from multimodal.tokenizers.tokens import Tokens


@dataclass(frozen=True, kw_only=True)
class MaskedHeadConfig:
    """Hidden states to logits of the hidden word: norm(activation(dense(x))), then the word table and a bias."""

    activation: Activation = "gelu"
    norm: NormConfig = LayerNormConfig(eps=1e-12)

    def build(self, dim: int, width: int, vocabulary: int) -> MaskedHead:
        """A `MaskedHead` of hidden states of width `dim` and a word table of `width`."""
        return MaskedHead(self, dim, width, vocabulary)


class MaskedHead(nn.Module):
    """All of BERT's masked-word head but the word table, which is the embedding's."""

    def __init__(self, config: MaskedHeadConfig, dim: int, width: int, vocabulary: int) -> None:
        super().__init__()
        self.dense = nn.Linear(dim, width)
        self.activation = activate(config.activation)
        self.norm = config.norm.build(width)
        self.bias = nn.Parameter(torch.zeros(vocabulary))
        self.apply(initialize)

    def forward(self, hidden: Float[Tensor, "*shape d"]) -> Float[Tensor, "*shape w"]:
        """What is multiplied with the word table."""
        return self.norm(self.activation(self.dense(hidden)))


@dataclass(frozen=True, kw_only=True)
class PoolerConfig:
    """BERT's summary of a text: tanh(dense(first token)); `next_sentence` adds two logits on it."""

    next_sentence: bool = False

    def build(self, dim: int) -> Pooler:
        """A `Pooler` of hidden states of width `dim`."""
        return Pooler(self, dim)


class Pooler(nn.Module):
    """Hidden states to one vector, from the first token."""

    def __init__(self, config: PoolerConfig, dim: int) -> None:
        super().__init__()
        self.dense = nn.Linear(dim, dim)
        self.next_sentence = nn.Linear(dim, 2) if config.next_sentence else None
        self.apply(initialize)

    def forward(self, hidden: Float[Tensor, "b t d"]) -> Float[Tensor, "b d"]:
        """The pooled vector."""
        return torch.tanh(self.dense(hidden[:, 0]))


@dataclass(frozen=True, kw_only=True)
class TextEncoderConfig:
    """Hyper-parameters of `TextEncoder`."""

    embedding: TextEmbeddingConfig
    backbone: BackboneConfig
    pooler: PoolerConfig | None = None
    head: MaskedHeadConfig | None = None  # of masked words

    def build(self, tokenizer: TextTokenizer | None = None) -> TextEncoder:
        """A `TextEncoder` with fresh weights; without `tokenizer` it takes ids only."""
        return TextEncoder(self, tokenizer)


class TextEncoder(nn.Module):
    """Text to a vector for each token."""

    def __init__(self, config: TextEncoderConfig, tokenizer: TextTokenizer | None = None) -> None:
        super().__init__()
        self.config, self.tokenizer = config, tokenizer
        dim, embedding = config.backbone.dim, config.embedding
        self.embedding = embedding.build(dim)
        self.backbone = config.backbone.build()
        self.pooler = config.pooler.build(dim) if config.pooler else None
        self.head = config.head.build(dim, embedding.width or dim, embedding.vocabulary) if config.head else None
        self.card: dict[str, Any] = {}  # what is known of the training: data fingerprint, metrics, settings

    def forward(
        self,
        ids: Int[Tensor, "b t"],
        *,
        keep: Bool[Tensor, "b t"] | None = None,
        types: Int[Tensor, "b t"] | None = None,
        positions: Int[Tensor, "#b t"] | None = None,
        document: Int[Tensor, "b t"] | None = None,
    ) -> Float[Tensor, "b t d"]:
        """The last hidden states.

        Args:
            ids: token ids.
            keep: False at padding.
            types: segment of each token, 0 or 1, where the model knows segments.
            positions: place of each token in its text; default: counted from the left.
            document: number of the packed document of each token, which sees only its own.

        Raises:
            ArgumentError: more tokens than the model has positions for.
        """
        x = self.embedding(ids, types=types, positions=positions)
        places = positions[..., None] if positions is not None else None
        tokens = Tokens(x=x, runs=((ids.shape[1], False),), positions=places, keep=keep, document=document)
        return self.backbone(tokens.x, mask=tokens.mask, positions=tokens.positions)

    def pooled(self, hidden: Float[Tensor, "b t d"]) -> Float[Tensor, "b d"]:
        """One vector for each text: the pooler's, or where the model has none the first token's."""
        return self.pooler(hidden) if self.pooler is not None else hidden[:, 0]

    def mask_logits(self, hidden: Float[Tensor, "*shape d"]) -> Float[Tensor, "*shape v"]:
        """Logits of the word that stood at each hidden state, as many as are given.

        Raises:
            ArgumentError: the model was made without a head for masked words.
        """
        return linear(self.mask_features(hidden), self.output_weight, self.output_bias)

    def mask_features(self, hidden: Float[Tensor, "*shape d"]) -> Float[Tensor, "*shape w"]:
        """What is multiplied with `output_weight`; `chunked_cross_entropy` takes both.

        Raises:
            ArgumentError: the model was made without a head for masked words.
        """
        if self.head is None:
            raise ArgumentError("This encoder has no head for masked words; load a checkpoint that was made with one.")
        return self.head(hidden)

    @property
    def output_weight(self) -> Float[Tensor, "v w"]:
        """The word table."""
        return self.embedding.words.weight

    @property
    def output_bias(self) -> Float[Tensor, " v"] | None:
        """Added to the logits of words."""
        return self.head.bias if self.head is not None else None

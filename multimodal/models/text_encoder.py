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
from torch.nn.functional import normalize as normalized

from multimodal.backbone.backbone import BackboneConfig, initialize
from multimodal.backbone.mlp import Activation, activate
from multimodal.backbone.norm import LayerNormConfig, NormConfig
from multimodal.errors import ArgumentError
from multimodal.models.attention_maps import AttentionMaps, text_maps
from multimodal.models.text.filling import Filling, fillings, masked_row
from multimodal.models.text.input import batches, device_of, is_text, longest_input, rows_of, tokenizer_of
from multimodal.models.text.summary import mean_real
from multimodal.models.watching import evaluating
from multimodal.tokenizers.text import TextTokenizer
from multimodal.tokenizers.text_embedding import TextEmbeddingConfig
from multimodal.tokenizers.text_engine import Truncation
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

    def embed(
        self,
        texts: Any,
        *,
        pool: str = "mean",
        normalize: bool = True,
        batch_size: int = 32,
        truncation: Truncation = "right",
    ) -> Float[Tensor, "n d"]:
        """A vector for each text, on the CPU.

        Args:
            texts: a text, or a list; token ids will do.
            pool: "mean" over all tokens, or the "first" one's hidden state.
            normalize: whether vectors get length 1, so that products are cosines.
            batch_size: texts that go through the model at a time.
            truncation: which end of a text that is too long is cut off; "refuse": it is an error.

        Raises:
            ArgumentError: another `pool`, a text without tokens or too long, or text without a tokenizer.
        """
        if pool not in ("mean", "first"):
            raise ArgumentError(f"pool is {pool!r}; it must be 'mean' or 'first'.")
        rows = rows_of(self, [texts] if is_text(texts) else texts, truncation=truncation)
        found = torch.empty(len(rows), self.config.backbone.dim)
        pad = self.tokenizer.pad_id if self.tokenizer is not None else None
        device = device_of(self)
        with evaluating(self), torch.inference_mode():
            for places, batch in batches(rows, batch_size=batch_size, device=device, what="embedding", pad=pad):
                hidden = self(batch.ids, keep=None if bool(batch.keep.all()) else batch.keep).float()
                pooled = mean_real(hidden, batch.keep) if pool == "mean" else hidden[:, 0]
                found[places] = (normalized(pooled, dim=-1) if normalize else pooled).cpu()
        return found

    def fill_mask(self, text: str, *, top: int = 5) -> list[Filling]:
        """The `top` likeliest words for the mask in `text`, best first.

        Of several masks each is judged by itself, and a filling is one word for each; its probability is their product.

        Raises:
            ArgumentError: a text without the tokenizer's mask token or too long, an encoder without a masked-word head,
                or `top` below 1.
        """
        if top < 1:
            raise ArgumentError(f"top is {top}; it must be at least 1.")
        tokenizer = tokenizer_of(self)
        row, places = masked_row(tokenizer, text, longest_input(tokenizer, self.config.embedding))
        ids, types = torch.tensor([row.ids, row.types], device=device_of(self))[:, None]
        with evaluating(self), torch.inference_mode():
            chances = self.mask_logits(self(ids, types=types)[0, places]).float().softmax(-1)
        return fillings(tokenizer, text, chances[:, : tokenizer.vocabulary].cpu(), top)

    def attention_maps(self, text: str, pair: str | None = None) -> AttentionMaps:
        """The weights of every head in every layer, where each token of a text or pair looks; `.save(path)` draws them.

        Raises:
            ArgumentError: an encoder without a tokenizer, or a text that is too long or empty.
        """
        return text_maps(self, text, pair)

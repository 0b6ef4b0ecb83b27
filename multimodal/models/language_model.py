"""A decoder-only language model: tokens, the shared backbone under a causal mask, and logits of the next token.

GPT, GPT-2, Llama, Mistral and Qwen2 are configs of this one class. How text is generated from it is in `generation/`,
training in `multimodal/tasks`.

Axes: b batch · t length · d model width · v vocabulary
Refs: GPT-2 (Radford et al. 2019) · Llama arXiv:2302.13971 · prefix-LM arXiv:1910.10683 §3.2.1
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from multimodal.backbone.packed import project

from multimodal.backbone.backbone import BackboneConfig, initialize
from multimodal.backbone.cache import Cache
from multimodal.backbone.mask import Mask
from multimodal.errors import ArgumentError
from multimodal.generation.config import GenerationConfig
from multimodal.tokenizers.text import TextTokenizer
from multimodal.tokenizers.text_embedding import TextEmbeddingConfig, positions_after
from multimodal.tokenizers.tokens import Tokens


@dataclass(frozen=True, kw_only=True)
class LanguageModelConfig:
    """Hyper-parameters of `LanguageModel`."""

    embedding: TextEmbeddingConfig
    backbone: BackboneConfig
    tied: bool = True  # the output layer is the word table
    output_bias: bool = False
    window: int | None = None  # tokens that each looks back on, itself included; None: all
    generation: GenerationConfig = GenerationConfig()  # what `generate` does unless told otherwise

    def build(self, tokenizer: TextTokenizer | None = None) -> LanguageModel:
        """A `LanguageModel` with fresh weights; without `tokenizer` it takes and gives ids only."""
        return LanguageModel(self, tokenizer)


class LanguageModel(nn.Module):
    """Text to the text that follows."""

    def __init__(self, config: LanguageModelConfig, tokenizer: TextTokenizer | None = None) -> None:
        super().__init__()
        if config.tied and config.embedding.width not in (None, config.backbone.dim):
            raise ArgumentError("A tied output layer needs a word table as wide as the backbone: drop `width`.")
        self.config, self.tokenizer = config, tokenizer
        vocabulary, dim = config.embedding.vocabulary, config.backbone.dim
        self.embedding = config.embedding.build(dim)
        self.backbone = config.backbone.build()
        self.head = None if config.tied else nn.Linear(dim, vocabulary, bias=False)
        self.output_bias = nn.Parameter(torch.zeros(vocabulary)) if config.output_bias else None
        if self.head is not None:
            initialize(self.head)
        self.card: dict[str, Any] = {}  # what is known of the training: data fingerprint, metrics, settings

    @property
    def output_weight(self) -> Float[Tensor, "v d"]:
        """What hidden states are multiplied with; `chunked_cross_entropy` takes it, so that no logits need be built."""
        return self.embedding.words.weight if self.head is None else self.head.weight

    def forward(
        self,
        ids: Int[Tensor, "b t"],
        *,
        keep: Bool[Tensor, "b t"] | None = None,
        positions: Int[Tensor, "#b t"] | None = None,
        document: Int[Tensor, "b t"] | None = None,
        prefix: Int[Tensor, " b"] | None = None,
        cache: Cache | None = None,
    ) -> Float[Tensor, "b t v"]:
        """Logits of the token after each; arguments as in `hidden`."""
        hidden = self.hidden(ids, keep=keep, positions=positions, document=document, prefix=prefix, cache=cache)
        return self.output(hidden)

    def hidden(
        self,
        ids: Int[Tensor, "b t"],
        *,
        keep: Bool[Tensor, "b t"] | None = None,
        positions: Int[Tensor, "#b t"] | None = None,
        document: Int[Tensor, "b t"] | None = None,
        prefix: Int[Tensor, " b"] | None = None,
        cache: Cache | None = None,
    ) -> Float[Tensor, "b t d"]:
        """The last hidden states.

        Args:
            ids: token ids.
            keep: False at padding, which with a cache must be on the right.
            positions: place of each token in its text; default: counted from the left, after the cache.
            document: number of the packed document of each token, which sees only its own.
            prefix: how many tokens at the front of each row see each other both ways.
            cache: of earlier tokens, from `backbone.new_cache`; extended in place.

        Raises:
            ArgumentError: more tokens than the model has positions for, or than the cache has room for.
        """
        tokens = self.tokens(ids, keep=keep, positions=positions, document=document, cache=cache)
        return self.mix(tokens, prefix=prefix, cache=cache)

    def tokens(
        self,
        ids: Int[Tensor, "b t"],
        *,
        keep: Bool[Tensor, "b t"] | None = None,
        positions: Int[Tensor, "#b t"] | None = None,
        document: Int[Tensor, "b t"] | None = None,
        cache: Cache | None = None,
    ) -> Tokens:
        """The backbone's input for `ids`, which may be joined with tokens of another modality."""
        if positions is None and cache is not None:
            positions = positions_after(cache, ids.shape[1], longest=self.config.embedding.positions)
        x = self.embedding(ids, positions=positions)
        places = positions[..., None] if positions is not None else None
        return Tokens(x=x, runs=((ids.shape[1], True),), positions=places, keep=keep, document=document)

    def mix(
        self, tokens: Tokens, *, prefix: Int[Tensor, " b"] | None = None, cache: Cache | None = None
    ) -> Float[Tensor, "b t d"]:
        """The last hidden states of any tokens."""
        mask = replace(tokens.mask, window=self.config.window)
        if prefix is not None:
            steps = Mask.prefix(prefix, tokens.x.shape[1]).steps
            mask = replace(mask, causal=False, steps=steps)
        return self.backbone(tokens.x, mask=mask, positions=tokens.positions, cache=cache)

    def output(self, hidden: Float[Tensor, "*shape d"]) -> Float[Tensor, "*shape v"]:
        """Logits of hidden states, as many as are given."""
        return project(hidden, self.output_weight, self.output_bias)

"""An encoder-decoder: text to other text. The original transformer (Marian), T5 and BART are configs of this one class.

Axes: b batch · n sources: b, or b / beams · t length · s source length · d model width · v vocabulary
Refs: arXiv:1706.03762 · T5 arXiv:1910.10683 · BART arXiv:1910.13461 · Marian arXiv:1804.00344
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Unpack

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from multimodal.backbone.backbone import BackboneConfig, initialize
from multimodal.backbone.cache import Cache
from multimodal.backbone.mask import Mask
from multimodal.backbone.packed import project
from multimodal.errors import ArgumentError
from multimodal.generation.config import GenerationConfig
from multimodal.generation.rows import Generated
from multimodal.models.attention_maps import AttentionMaps, target_maps
from multimodal.models.text.generation import complete_targets, plain, stream_target
from multimodal.models.text.input import is_text, tokenizer_of
from multimodal.models.text.options import Options
from multimodal.tokenizers.text import TextTokenizer
from multimodal.tokenizers.text_embedding import Placement, TextEmbeddingConfig, positions_after


@dataclass(frozen=True, kw_only=True)
class EncoderDecoderConfig:
    """Hyper-parameters of `EncoderDecoder`."""

    embedding: TextEmbeddingConfig
    encoder: BackboneConfig
    decoder: BackboneConfig
    start: int  # the id that the decoder begins with
    tied: bool = True  # the output layer is the word table
    output_bias: bool = False
    generation: GenerationConfig = GenerationConfig()  # what `generate` does unless told otherwise
    output_scale: float = 1.0  # of the hidden states before the output layer (T5 v1.0: 1 / sqrt(d))

    def build(self, tokenizer: TextTokenizer | None = None) -> EncoderDecoder:
        """An `EncoderDecoder` with fresh weights; without `tokenizer` it takes and gives ids only."""
        return EncoderDecoder(self, tokenizer)


class EncoderDecoder(nn.Module):
    """A source text to a target text. Both share the word table; positions, norms and all else are their own."""

    def __init__(self, config: EncoderDecoderConfig, tokenizer: TextTokenizer | None = None) -> None:
        super().__init__()
        self.config, self.tokenizer = config, tokenizer
        vocabulary, dim = config.embedding.vocabulary, config.decoder.dim
        if config.encoder.dim != dim:
            raise ArgumentError(
                f"encoder.dim is {config.encoder.dim} and decoder.dim {dim}; they share the word table."
            )
        if not 0 <= config.start < vocabulary:
            raise ArgumentError(f"start is {config.start}; it must be a token id, from 0 to {vocabulary - 1:,}.")
        self.embedding = config.embedding.build(config.encoder.dim)
        self.decoder_placement = Placement(config.embedding, dim)
        self.encoder, self.decoder = config.encoder.build(), config.decoder.build()
        self.head = None if config.tied else nn.Linear(dim, vocabulary, bias=False)
        self.output_bias = nn.Parameter(torch.zeros(vocabulary)) if config.output_bias else None
        if self.head is not None:
            initialize(self.head)
        self.card: dict[str, Any] = {}  # what is known of the training: data fingerprint, metrics, settings

    @property
    def output_weight(self) -> Float[Tensor, "v d"]:
        """What scaled hidden states are multiplied with; `chunked_cross_entropy` takes it."""
        return self.embedding.words.weight if self.head is None else self.head.weight

    def forward(
        self,
        ids: Int[Tensor, "b s"],
        decoder_ids: Int[Tensor, "b t"],
        *,
        keep: Bool[Tensor, "b s"] | None = None,
        decoder_keep: Bool[Tensor, "b t"] | None = None,
    ) -> Float[Tensor, "b t v"]:
        """Logits of the token after each of `decoder_ids`; `keep` and `decoder_keep` are False at padding."""
        context = self.encode(ids, keep=keep)
        return self.output(self.decode(decoder_ids, context, context_keep=keep, decoder_keep=decoder_keep))

    def encode(self, ids: Int[Tensor, "b s"], *, keep: Bool[Tensor, "b s"] | None = None) -> Float[Tensor, "b s d"]:
        """What the decoder looks at."""
        return self.encoder(self.embedding(ids), mask=Mask(keep=keep))

    def decode(
        self,
        decoder_ids: Int[Tensor, "b t"],
        context: Float[Tensor, "n s d"],
        *,
        context_keep: Bool[Tensor, "n s"] | None = None,
        decoder_keep: Bool[Tensor, "b t"] | None = None,
        cache: Cache | None = None,
    ) -> Float[Tensor, "b t d"]:
        """The decoder's last hidden states.

        Args:
            decoder_ids: the target so far, `start` first; with a cache, what is new of it.
            context: from `encode`; with a cache, several rows (beams) may share each.
            context_keep: the `keep` that `encode` was given.
            decoder_keep: False at padding, which with a cache must be on the right.
            cache: of earlier tokens, from `decoder.new_cache`; extended in place.

        Raises:
            ArgumentError: more tokens than the model has positions for, or than the cache has room for.
        """
        positions = None
        if cache is not None:
            positions = positions_after(cache, decoder_ids.shape[1], longest=self.config.embedding.positions)
        x = self.decoder_placement(self.embedding.words(decoder_ids), positions=positions)
        mask = Mask(causal=True, keep=decoder_keep)
        return self.decoder(x, mask=mask, cache=cache, context=context, context_keep=context_keep)

    def output(self, hidden: Float[Tensor, "*shape d"]) -> Float[Tensor, "*shape v"]:
        """Logits of hidden states, as many as are given."""
        return project(self.scaled(hidden), self.output_weight, self.output_bias)

    def scaled(self, hidden: Float[Tensor, "*shape d"]) -> Float[Tensor, "*shape d"]:
        """Hidden states as the output layer takes them."""
        return hidden * self.config.output_scale if self.config.output_scale != 1.0 else hidden

    def generate(self, texts: Any, *, truncate: bool = False, batch_size: int = 16, **options: Unpack[Options]) -> Any:
        """The target of each source (its translation, its summary): of one text a text, of a list a list.

        Args:
            texts: a text or its token ids, or a list of them.
            truncate: cut off the end of a text that is too long, rather than refuse it.
            batch_size: texts that go through the model at a time; each gets what it would get alone.
            options: `max_new_tokens`, `temperature`, `top_k`, `top_p`, `min_p`, `seed`, `beams`, `n_best`,
                `length_penalty`, `repetition_penalty`, `stop`, `config`; see `Options`. Without, as the checkpoint
                says; else greedy.

        Returns:
            Text without special tokens; for a model without a tokenizer ids; lists where `n_best` is given.

        Raises:
            ArgumentError: an unknown option or value, options that exclude each other, a text that is too long or has
                no tokens, text without a tokenizer.
        """
        single = is_text(texts)
        found = self.complete([texts] if single else texts, truncate=truncate, batch_size=batch_size, **options)
        return plain(found, single=single, options=options, text=self.tokenizer is not None)

    def complete(
        self, texts: Sequence[Any], *, truncate: bool = False, batch_size: int = 16, **options: Unpack[Options]
    ) -> list[list[Generated]]:
        """What `generate` does, with ids, log-probabilities and why each ended: for each text the `n_best` best."""
        return complete_targets(self, texts, truncate=truncate, batch_size=batch_size, options=options)

    def stream(self, text: Any, *, truncate: bool = False, **options: Unpack[Options]) -> Iterator[str]:
        """The target of one source in pieces as soon as they are certain; arguments as for `generate`.

        Raises:
            ArgumentError: as `generate`; beams, also those of the checkpoint; or a model without a tokenizer.
        """
        tokenizer_of(self)
        return (step.text for step in stream_target(self, text, truncate=truncate, options=options) if step.text)

    def attention_maps(self, text: str, target: str) -> AttentionMaps:
        """Where in `text` the decoder looks to write each token of `target`, for every head in every layer.

        Raises:
            ArgumentError: a model without a tokenizer, or a text that is too long or empty.
        """
        return target_maps(self, text, target)

"""A decoder-only language model: tokens, the shared backbone under a causal mask, and logits of the next token.

GPT, GPT-2, Llama, Mistral and Qwen2 are configs of this one class. How tokens are chosen is in `generation/`, the way
from prompts to texts in `text/generation.py`, training in `multimodal/tasks`.

Axes: b batch · t length · d model width · v vocabulary
Refs: GPT-2 (Radford et al. 2019) · Llama arXiv:2302.13971 · prefix-LM arXiv:1910.10683 §3.2.1
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
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
from multimodal.generation.prefix import Prefix
from multimodal.generation.rows import Generated
from multimodal.models.attention_maps import AttentionMaps, text_maps
from multimodal.models.text.generation import Drafts, complete_texts, plain, prompt_rows, several_prompts, stream_text
from multimodal.models.text.input import tokenizer_of
from multimodal.models.text.options import Options
from multimodal.models.text.scoring import TextScore, score_texts
from multimodal.models.watching import evaluating
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
        only: Int[Tensor, " b"] | None = None,
    ) -> Float[Tensor, "b u d"]:
        """The last hidden states, of all tokens (u = t) or one of each row.

        Args:
            ids: token ids.
            keep: False at padding, which with a cache must be on the right.
            positions: place of each token in its text; default: counted from the left, after the cache.
            document: number of the packed document of each token, which sees only its own.
            prefix: how many tokens at the front of each row see each other both ways.
            cache: of earlier tokens, from `backbone.new_cache`; extended in place.
            only: the place of the token of each row that is asked for.

        Raises:
            ArgumentError: more tokens than the model has positions for, or than the cache has room for.
        """
        words = self.embedding.words(ids)
        tokens = self.tokens(words, keep=keep, positions=positions, document=document, cache=cache)
        steps = Mask.prefix(prefix, ids.shape[1]).steps if prefix is not None else None
        return self.mix(tokens, steps=steps, cache=cache, only=only)

    def tokens(
        self,
        words: Float[Tensor, "b t w"],
        *,
        keep: Bool[Tensor, "b t"] | None = None,
        positions: Int[Tensor, "#b t"] | None = None,
        document: Int[Tensor, "b t"] | None = None,
        cache: Cache | None = None,
    ) -> Tokens:
        """The backbone's input for word vectors, or what another modality puts in their place."""
        if positions is None and cache is not None:
            positions = positions_after(cache, words.shape[1], longest=self.config.embedding.positions)
        x = self.embedding.placement(words, positions=positions)
        places = positions[..., None] if positions is not None else None
        return Tokens(x=x, runs=((words.shape[1], True),), positions=places, keep=keep, document=document)

    def mix(
        self,
        tokens: Tokens,
        *,
        steps: Int[Tensor, "b t"] | None = None,
        cache: Cache | None = None,
        only: Int[Tensor, " b"] | None = None,
    ) -> Float[Tensor, "b u d"]:
        """The last hidden states of any tokens; `steps`, where given, are the mask in place of causality."""
        mask = replace(tokens.mask, window=self.config.window)
        if steps is not None:
            mask = replace(mask, causal=False, steps=steps)
        return self.backbone(tokens.x, mask=mask, positions=tokens.positions, cache=cache, only=only)

    def output(self, hidden: Float[Tensor, "*shape d"]) -> Float[Tensor, "*shape v"]:
        """Logits of hidden states, as many as are given."""
        return project(hidden, self.output_weight, self.output_bias)

    def generate(
        self,
        prompts: Any,
        *,
        draft: Drafts = None,
        prefix: Prefix | None = None,
        truncate: bool = False,
        batch_size: int = 16,
        **options: Unpack[Options],
    ) -> Any:
        """The texts that follow the prompts: of one prompt a text, of a list a list.

        Args:
            prompts: a text, a conversation as a list of {"role": ..., "content": ...} where the tokenizer has a chat
                template, or token ids; or a list of them. An empty text gives a text from its beginning.
            draft: a smaller model with the same tokens that guesses ahead, or "lookup", which guesses that what was in
                the text comes again. Faster; the same output, or with sampling the same distribution of it.
            prefix: from `read_prefix`; stands in front of every prompt.
            truncate: cut off the beginning of a prompt that is too long, rather than refuse it.
            batch_size: prompts that go through the model at a time; each gets what it would get alone.
            options: `max_new_tokens`, `temperature`, `top_k`, `top_p`, `min_p`, `seed`, `beams`, `n_best`,
                `length_penalty`, `repetition_penalty`, `stop`, `config`; see `Options`. Without, as the checkpoint
                says; else greedy.

        Returns:
            Text without special tokens and stop strings; for a model without a tokenizer ids; lists where `n_best` is
            given. How each ended, and how likely each token was, `complete` tells.

        Raises:
            ArgumentError: an unknown option or value, options that exclude each other, a prompt that leaves no room or
                has no tokens, text without a tokenizer, messages without a chat template.
        """
        several, single = several_prompts(prompts)
        found = self.complete(several, draft=draft, prefix=prefix, truncate=truncate, batch_size=batch_size, **options)
        return plain(found, single=single, options=options, text=self.tokenizer is not None)

    def complete(
        self,
        prompts: Sequence[Any],
        *,
        draft: Drafts = None,
        prefix: Prefix | None = None,
        truncate: bool = False,
        batch_size: int = 16,
        **options: Unpack[Options],
    ) -> list[list[Generated]]:
        """What `generate` does, with ids, log-probabilities and why each ended: for each prompt the `n_best` best."""
        reading = {"draft": draft, "prefix": prefix, "truncate": truncate}
        return complete_texts(self, prompts, **reading, batch_size=batch_size, options=options)

    def stream(
        self,
        prompt: Any,
        *,
        draft: Drafts = None,
        prefix: Prefix | None = None,
        truncate: bool = False,
        **options: Unpack[Options],
    ) -> Iterator[str]:
        """The text that follows one prompt, in pieces as soon as they are certain; arguments as for `generate`.

        Raises:
            ArgumentError: as `generate`; beams; or a model without a tokenizer.
        """
        tokenizer_of(self)
        steps = stream_text(self, prompt, draft=draft, prefix=prefix, truncate=truncate, options=options)
        return (step.text for step in steps if step.text)

    def read_prefix(self, text: Any) -> Prefix:
        """A beginning that many prompts share (a text, messages or ids), read once; `.save(path)` keeps it on disk.

        `generate(prompt, prefix=...)` then gives what a prompt with its tokens in front would.

        Raises:
            ArgumentError: several texts, or one that is empty or longer than the model reads.
        """
        texts, single = several_prompts(text)
        if not single:
            raise ArgumentError(f"A prefix is one text, and a list of {len(texts)} was given.")
        with evaluating(self):
            return Prefix.read(self, prompt_rows(self, texts, begins=True)[0])

    def score(self, texts: Any, *, given: Any = "", batch_size: int = 16) -> list[TextScore]:
        """How likely each text is: `.logprob`, `.logprobs` of its tokens, `.perplexity`.

        Args:
            texts: a list of texts, or of lists of ids.
            given: what stands in front of each text, and is not scored itself; a text, messages or ids. Tokens do not
                reach over the border. Without it, a text comes after the token that begins texts where the tokenizer
                has one; else its first token is not scored.
            batch_size: texts that go through the model at a time.

        Raises:
            ArgumentError: a text that is too long, or without a token to score.
        """
        return score_texts(self, several_prompts(texts)[0], given, batch_size=batch_size)

    def attention_maps(self, text: str) -> AttentionMaps:
        """The weights of every head in every layer, where each token of `text` looks; `.save(path)` draws them.

        Raises:
            ArgumentError: a model without a tokenizer, or a text that is too long or empty.
        """
        return text_maps(self, text, None)

"""Collators of the objectives that learn from plain text: next token, prefix, masked words, T5's spans, BART's noises.

A frozen config builds a collator: items `(sample, (epoch, index))` in, a batch out, its noise a function of (seed,
epoch, index). A sample is a text, which is cut to what the tokenizer's model reads, or ids, which are taken as they
are. The noise itself is in noise.py, the batches in batches.py.

Axes: n ids
Refs: the papers of noise.py
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
import torch

from multimodal.data.text import noise
from multimodal.data.text.batches import (
    CausalBatch,
    Collate,
    Ids,
    MaskedBatch,
    Place,
    Seq2SeqBatch,
    kept,
    next_tokens,
    padded,
    seq2seq,
)
from multimodal.data.text.framing import (
    end_id,
    framed,
    plain_ids,
    sentence_ends,
    sentinels,
    sequence_ids,
    word_starts,
)
from multimodal.data.text.sentence_pairs import SentencePair
from multimodal.errors import ArgumentError, nearest
from multimodal.losses import IGNORE
from multimodal.tokenizers.text import TextTokenizer

Item: TypeAlias = tuple[Any, Place]  # a sample, and (epoch, index)
Noise: TypeAlias = Literal["mask", "delete", "infill", "permute", "rotate"]


def _among(name: str, value: Any, known: Sequence[str]) -> None:
    if value not in known:
        raise ArgumentError(f"{name} is {value!r}; it is one of {', '.join(known)}.{nearest(str(value), known)}")


def _within(name: str, value: float, rule: str, right: bool) -> None:
    if not right:
        raise ArgumentError(f"{name} is {value}; it must be {rule}.")


@dataclass(frozen=True, kw_only=True)
class CausalConfig:
    """Next-token prediction. Of n ids n - 1 are inputs: each but the first is predicted, and the last only that."""

    max_length: int | None = None  # inputs of a text at most; None: what the tokenizer says

    def build(self, tokenizer: TextTokenizer) -> Collate[CausalBatch]:
        """A collator of texts, which end with the end-of-text id, or of ids."""
        return partial(_causal, self, tokenizer)


def _causal(config: CausalConfig, tokenizer: TextTokenizer, items: Sequence[Item]) -> CausalBatch:
    rows = [sequence_ids(sample, tokenizer, config.max_length) for sample, _ in items]
    return next_tokens(rows, pad=tokenizer.pad_id or 0)


@dataclass(frozen=True, kw_only=True)
class PrefixConfig:
    """Prefix-LM: a random number of inputs see each other both ways, and only what follows them is predicted."""

    max_length: int | None = None  # inputs of a text at most; None: what the tokenizer says
    seed: int = 0

    def build(self, tokenizer: TextTokenizer) -> Collate[CausalBatch]:
        """A collator of texts or ids; one of a single id predicts nothing."""
        return partial(_prefix, self, tokenizer)


def _prefix(config: PrefixConfig, tokenizer: TextTokenizer, items: Sequence[Item]) -> CausalBatch:
    rows = [sequence_ids(sample, tokenizer, config.max_length) for sample, _ in items]
    lengths = [
        noise.prefix_length(max(len(row), 2), noise.noise_generator(config.seed, *place))
        for row, (_, place) in zip(rows, items, strict=True)
    ]
    batch = next_tokens(rows, pad=tokenizer.pad_id or 0)
    for targets, length in zip(batch["targets"], lengths, strict=True):
        targets[: length - 1] = IGNORE  # these see what they would predict
    return {**batch, "prefix": torch.tensor(lengths)}


@dataclass(frozen=True, kw_only=True)
class MaskedConfig:
    """BERT's masked words, framed by [CLS] and [SEP] or what takes their place; with pairs, next sentences too."""

    share: float = 0.15  # of the words that is chosen
    mask: float = 0.8  # of the chosen, the share that is hidden
    random: float = 0.1  # and the share that becomes another word; the rest stays
    unit: Literal["token", "word"] = "token"  # choose whole words, if the vocabulary shows where they begin
    masking: Literal["dynamic", "static"] = "dynamic"  # drawn anew each epoch (RoBERTa), or always the same
    max_length: int | None = None  # ids of a text at most; None: what the tokenizer says
    seed: int = 0

    def __post_init__(self) -> None:
        if not (0 < self.share <= 1 and min(self.mask, self.random) >= 0 and self.mask + self.random <= 1):
            raise ArgumentError(
                f"share is {self.share}, mask {self.mask}, random {self.random}; share must lie in (0, 1], and mask "
                "and random are parts of a whole."
            )
        _among("unit", self.unit, ("token", "word"))
        _among("masking", self.masking, ("dynamic", "static"))

    def build(self, tokenizer: TextTokenizer) -> Collate[MaskedBatch]:
        """A collator of texts, ids or sentence pairs.

        Raises:
            ArgumentError: the tokenizer has no mask token, or whole words are asked of one that does not show them.
        """
        starts = word_starts(tokenizer) if self.unit == "word" else None
        return partial(_masked, self, tokenizer, noise.NoiseTokens.of(tokenizer), starts)


def _masked(
    config: MaskedConfig,
    tokenizer: TextTokenizer,
    tokens: noise.NoiseTokens,
    starts: np.ndarray | None,
    items: Sequence[Item],
) -> MaskedBatch:
    rows, types, targets, labels = [], [], [], []
    for sample, (epoch, index) in items:
        if isinstance(sample, SentencePair):
            labels.append(sample.next_sentence)
            parts = [sample.first, sample.second]
        else:
            parts = [plain_ids(sample, tokenizer, config.max_length, frame=2)]
        ids, kinds = framed(parts, tokenizer)
        generator = noise.noise_generator(config.seed, 0 if config.masking == "static" else epoch, index)
        words = np.cumsum(starts[ids]) if starts is not None else None
        options = {"share": config.share, "mask": config.mask, "random": config.random, "words": words}
        noisy, hidden = noise.masked_words(ids, generator, tokens, **options)
        rows.append(noisy)
        types.append(kinds)
        targets.append(hidden)
    batch: MaskedBatch = {
        "ids": padded(rows, tokenizer.pad_id or 0),
        "keep": kept(rows),
        "types": padded(types, 0),
        "targets": padded(targets, IGNORE),
    }
    return {**batch, "next_sentence": torch.tensor(labels)} if labels else batch


@dataclass(frozen=True, kw_only=True)
class SpanCorruptionConfig:
    """T5's spans. Windows of `span_corruption_lengths` ids fill a source length."""

    start: int  # the id that the model's decoder begins with
    density: float = 0.15  # share of the ids that is replaced
    mean_span: float = 3.0  # ids a span
    max_length: int | None = None  # ids of a text at most; None: what the tokenizer says
    seed: int = 0

    def __post_init__(self) -> None:
        _within("density", self.density, "above 0 and below 1", 0 < self.density < 1)
        _within("mean_span", self.mean_span, "a number of at least 1", 1 <= self.mean_span < math.inf)

    def build(self, tokenizer: TextTokenizer) -> Collate[Seq2SeqBatch]:
        """A collator of texts or ids.

        Raises:
            ArgumentError: the tokenizer has no sentinels or no end-of-text token.
        """
        return partial(_span_corrupted, self, tokenizer, sentinels(tokenizer), end_id(tokenizer))


def _span_corrupted(
    config: SpanCorruptionConfig, tokenizer: TextTokenizer, marks: tuple[int, ...], end: int, items: Sequence[Item]
) -> Seq2SeqBatch:
    sources, targets = [], []
    for sample, place in items:
        ids = plain_ids(sample, tokenizer, config.max_length, frame=1)
        options = {"density": config.density, "mean_span": config.mean_span}
        source, target = noise.span_corruption(ids, noise.noise_generator(config.seed, *place), marks, **options)
        sources.append(np.append(source, end))
        targets.append(np.append(target, end))
    return seq2seq(sources, targets, start=config.start, pad=tokenizer.pad_id or 0)


@dataclass(frozen=True, kw_only=True)
class DenoisingConfig:
    """BART's noises, one after the other; the targets are the whole text."""

    start: int  # the id that the model's decoder begins with
    noises: tuple[Noise, ...] = ("permute", "infill")  # BART's own choice
    share: float = 0.3  # of the tokens that mask, delete or infill takes
    mean_span: float = 3.0  # tokens of an infilled span
    max_length: int | None = None  # ids of a text at most; None: what the tokenizer says
    seed: int = 0

    def __post_init__(self) -> None:
        for kind in self.noises:
            _among("a noise", kind, get_args(Noise))
        _within("share", self.share, "above 0 and at most 1", 0 < self.share <= 1)
        _within("mean_span", self.mean_span, "a number above 0", 0 < self.mean_span < math.inf)

    def build(self, tokenizer: TextTokenizer) -> Collate[Seq2SeqBatch]:
        """A collator of texts or ids.

        Raises:
            ArgumentError: the tokenizer has no mask token or no end-of-text token.
        """
        end_id(tokenizer)
        return partial(_denoised, self, tokenizer, noise.NoiseTokens.of(tokenizer), sentence_ends(tokenizer))


def _denoised(
    config: DenoisingConfig, tokenizer: TextTokenizer, tokens: noise.NoiseTokens, ends: Ids, items: Sequence[Item]
) -> Seq2SeqBatch:
    sources, targets = [], []
    for sample, place in items:
        ids = noisy = plain_ids(sample, tokenizer, config.max_length, frame=2)
        generator = noise.noise_generator(config.seed, *place)
        for kind in config.noises:
            match kind:
                case "mask":
                    noisy = noise.masked_tokens(noisy, generator, tokens, share=config.share)
                case "delete":
                    noisy = noise.deleted_tokens(noisy, generator, tokens, share=config.share)
                case "infill":
                    options = {"share": config.share, "mean_span": config.mean_span}
                    noisy = noise.infilled(noisy, generator, tokens.mask, **options)
                case "permute":
                    noisy = noise.permuted_sentences(noisy, generator, ends)
                case "rotate":
                    noisy = noise.rotated(noisy, generator)
        sources.append(framed([noisy], tokenizer)[0])
        targets.append(framed([ids], tokenizer)[0])
    return seq2seq(sources, targets, start=config.start, pad=tokenizer.pad_id or 0)

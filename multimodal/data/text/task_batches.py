"""Collators of labelled samples: classes, tags, choices, translations; questions are in question_windows.py.

The kinds of samples are in rows.py, the batches in batches.py. Texts are cut on the right to `max_length`
tokens, and where that is None to what the tokenizer says that its model reads. Texts are framed as the models' own
methods frame them (models/text/answers.py).

Axes: b batch · t length · c choices
Refs: tags of first sub-words: BERT arXiv:1810.04805 §5.3 · language model beside the task: GPT-1 (Radford et al. 2018)
§3.2
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from multimodal.data.text.batches import (
    ChoiceBatch,
    ClassificationBatch,
    Collate,
    EncoderInputs,
    Place,
    Seq2SeqBatch,
    TaggingBatch,
    padded,
    seq2seq,
)
from multimodal.data.text.rows import ChoiceQuestion, LabeledText, TaggedWords, Translation
from multimodal.losses import IGNORE
from multimodal.models.text.answers import choice_rows
from multimodal.tokenizers.encoded import Encoded, TextBatch
from multimodal.tokenizers.text import TextTokenizer

UNLIMITED = 1 << 30  # tokens


@dataclass(frozen=True, kw_only=True)
class ClassificationConfig:
    """Texts, or pairs of them, to classes."""

    max_length: int | None = None
    next_tokens: bool = False  # targets of a language model too

    def build(self, tokenizer: TextTokenizer) -> Collate[ClassificationBatch]:
        """A collator of `LabeledText`."""
        return partial(_classified, self, tokenizer)


def _classified(
    config: ClassificationConfig, tokenizer: TextTokenizer, items: Sequence[tuple[LabeledText, Place]]
) -> ClassificationBatch:
    limit = config.max_length or tokenizer.max_length
    rows = [tokenizer.encode(sample.text, sample.pair, max_length=limit) for sample, _ in items]
    target = torch.tensor([sample.label for sample, _ in items])
    batch: ClassificationBatch = {**encoder_inputs(rows, tokenizer), "target": target}
    if config.next_tokens:
        following = [np.array([*row.ids[1:], IGNORE]) for row in rows]
        batch["targets"] = padded(following, IGNORE)
    return batch


@dataclass(frozen=True, kw_only=True)
class TaggingConfig:
    """Words to tags; a word's tag belongs to its first token."""

    max_length: int | None = None

    def build(self, tokenizer: TextTokenizer) -> Collate[TaggingBatch]:
        """A collator of `TaggedWords`."""
        return partial(_tagged, self, tokenizer)


def _tagged(
    config: TaggingConfig, tokenizer: TextTokenizer, items: Sequence[tuple[TaggedWords, Place]]
) -> TaggingBatch:
    limit = config.max_length or tokenizer.max_length
    rows, words, targets = [], [], []
    for sample, _ in items:
        row = tokenizer.encode_words(sample.words, max_length=limit)
        first = [
            -1 if word is None or (place and row.words[place - 1] == word) else word
            for place, word in enumerate(row.words)
        ]
        rows.append(row)
        words.append(np.array(first, dtype=np.int64))
        targets.append(np.array([IGNORE if word < 0 else sample.tags[word] for word in first], dtype=np.int64))
    inputs = encoder_inputs(rows, tokenizer)
    return {
        "ids": inputs["ids"],
        "keep": inputs["keep"],
        "targets": padded(targets, IGNORE),
        "words": padded(words, -1),
        "tags": [sample.tags for sample, _ in items],
    }


def word_tags(
    predicted: Int[Tensor, "b t"], words: Int[Tensor, "b t"], tags: Sequence[Sequence[int]], *, missing: int
) -> list[list[int]]:
    """The predicted tag of every word of a `TaggingBatch`; `missing` for words that were cut off or have no token."""
    found = [[missing] * len(sentence) for sentence in tags]
    for sentence, ours, places in zip(found, predicted.tolist(), words.tolist(), strict=True):
        for tag, word in zip(ours, places, strict=True):
            if word >= 0:
                sentence[word] = tag
    return found


@dataclass(frozen=True, kw_only=True)
class ChoiceConfig:
    """Questions with choices, of which one is right."""

    max_length: int | None = None  # tokens of a question and one choice

    def build(self, tokenizer: TextTokenizer) -> Collate[ChoiceBatch]:
        """A collator of `ChoiceQuestion`."""
        return partial(_chosen, self, tokenizer)


def _chosen(
    config: ChoiceConfig, tokenizer: TextTokenizer, items: Sequence[tuple[ChoiceQuestion, Place]]
) -> ChoiceBatch:
    samples = [sample for sample, _ in items]
    limit = config.max_length or tokenizer.max_length or UNLIMITED
    most = max(len(sample.choices) for sample in samples)
    missing = Encoded((), (), (), (), (), ())
    rows: list[Encoded] = []
    for sample in samples:
        given = choice_rows(tokenizer, sample.question, sample.choices, sample.context, limit)
        rows += [*given, *[missing] * (most - len(given))]
    inputs = encoder_inputs(rows, tokenizer)
    return {
        "ids": inputs["ids"].unflatten(0, (-1, most)),
        "keep": inputs["keep"].unflatten(0, (-1, most)),
        "types": inputs["types"].unflatten(0, (-1, most)),
        "choices": torch.tensor([[place < len(sample.choices) for place in range(most)] for sample in samples]),
        "target": torch.tensor([sample.label for sample in samples]),
    }


@dataclass(frozen=True, kw_only=True)
class TranslationConfig:
    """Source sentences to target sentences."""

    start: int  # the id that the model's decoder begins with
    max_length: int | None = None  # tokens of either side

    def build(self, tokenizer: TextTokenizer) -> Collate[Seq2SeqBatch]:
        """A collator of `Translation`."""
        return partial(_translated, self, tokenizer)


def _translated(
    config: TranslationConfig, tokenizer: TextTokenizer, items: Sequence[tuple[Translation, Place]]
) -> Seq2SeqBatch:
    limit, pad = config.max_length or tokenizer.max_length, tokenizer.pad_id or 0
    sources = tokenizer.rows([sample.source for sample, _ in items], max_length=limit)
    targets = tokenizer.rows([sample.target for sample, _ in items], max_length=limit)
    if tokenizer.eos_id is not None:  # else a model could not learn to stop
        last = tokenizer.eos_id
        targets = [row if row[-1:] == [last] else [*row[: limit - 1 if limit else None], last] for row in targets]
    arrays = ([np.array(row, dtype=np.int64) for row in side] for side in ([row or [pad] for row in sources], targets))
    return seq2seq(*arrays, start=config.start, pad=pad)


def encoder_inputs(rows: Sequence[Encoded], tokenizer: TextTokenizer) -> EncoderInputs:
    """Rows of tokens as a batch; one without any has a single padding token, for nothing cannot be attended to."""
    pad = tokenizer.pad_id or 0
    types = [row.types or (0,) for row in rows]
    ids, keep, kinds = TextBatch.of([row.ids or (pad,) for row in rows], types, pad=pad)
    return {"ids": ids, "keep": keep, "types": kinds}

"""The batches that text tasks take, and how rows of ids become one.

Targets are where they are predicted, so models and losses never shift: `targets[t]` belongs to the output at t. The
collators are in objectives.py (they learn from plain text), task_batches.py (from labelled samples),
question_windows.py and packing.py (several documents a row). A collator is built from a frozen config; its items are
`(sample, (epoch, index))`.

Axes: b batch · t length · s source length · c choices
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NotRequired, TypeAlias, TypedDict, TypeVar

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor

from multimodal.losses import IGNORE

Ids: TypeAlias = np.ndarray  # (n,), of an integer type
Place: TypeAlias = tuple[int, int]  # epoch, and index of the sample
Batch = TypeVar("Batch")
Collate: TypeAlias = Callable[[Sequence[tuple[Any, Place]]], Batch]


class EncoderInputs(TypedDict):
    """What an encoder reads."""

    ids: Int[Tensor, "b t"]
    keep: Bool[Tensor, "b t"]  # False at padding
    types: Int[Tensor, "b t"]  # 1 in the second text of a pair


class CausalBatch(TypedDict):
    """What a language model learns from. Padding is on the right, where a causal model never looks: no `keep`."""

    ids: Int[Tensor, "b t"]
    targets: Int[Tensor, "b t"]  # the next id, or IGNORE
    prefix: NotRequired[Int[Tensor, " b"]]  # how many ids at the front see each other both ways
    document: NotRequired[Int[Tensor, "b t"]]  # packed rows: number of the document, -1 at padding
    positions: NotRequired[Int[Tensor, "b t"]]  # packed rows: place in the document


class Seq2SeqBatch(TypedDict):
    """What an encoder-decoder learns from."""

    ids: Int[Tensor, "b s"]
    keep: Bool[Tensor, "b s"]
    decoder_ids: Int[Tensor, "b t"]  # the start id, then the targets but the last
    decoder_keep: Bool[Tensor, "b t"]
    targets: Int[Tensor, "b t"]  # ended by the end-of-text id, then IGNORE


class MaskedBatch(EncoderInputs):
    """Texts, or pairs of them, with words to find."""

    targets: Int[Tensor, "b t"]  # the id that stood at a chosen place, else IGNORE
    next_sentence: NotRequired[Int[Tensor, " b"]]  # of sentence pairs: 0 it follows, 1 it does not


class ClassificationBatch(EncoderInputs):
    """Texts, or pairs of them, and their classes."""

    target: Int[Tensor, " b"]
    targets: NotRequired[Int[Tensor, "b t"]]  # the next id, for a language model that goes on learning


class TaggingBatch(TypedDict):
    """Sentences and the tags of their words."""

    ids: Int[Tensor, "b t"]
    keep: Bool[Tensor, "b t"]
    targets: Int[Tensor, "b t"]  # the tag at the first token of a word, else IGNORE
    words: Int[Tensor, "b t"]  # the word's number at its first token, else -1
    tags: list[tuple[int, ...]]  # of all words, also of those that were cut off


class QuestionBatch(EncoderInputs):
    """Windows over the contexts of questions."""

    start: Int[Tensor, " b"]  # the answer's first token; without one as `QuestionConfig.outside` says
    end: Int[Tensor, " b"]  # its last
    question: Int[Tensor, " b"]  # place in the list of questions
    window: Int[Tensor, " b"]  # place in the list of windows, which has the rest


class ChoiceBatch(TypedDict):
    """Questions with each of their choices."""

    ids: Int[Tensor, "b c t"]
    keep: Bool[Tensor, "b c t"]  # one token of a choice that is not there is kept, as nothing may attend to nothing
    types: Int[Tensor, "b c t"]
    choices: Bool[Tensor, "b c"]  # False where a question has fewer choices than another
    target: Int[Tensor, " b"]


def next_tokens(rows: Sequence[Ids], *, pad: int) -> CausalBatch:
    """All but the last id of each row as inputs, all but the first as targets."""
    return {"ids": padded([row[:-1] for row in rows], pad), "targets": padded([row[1:] for row in rows], IGNORE)}


def seq2seq(sources: Sequence[Ids], targets: Sequence[Ids], *, start: int, pad: int) -> Seq2SeqBatch:
    """Sources and targets, both with their special tokens, as a batch."""
    shifted = [np.concatenate([[start], target[:-1]]) for target in targets]
    return {
        "ids": padded(sources, pad),
        "keep": kept(sources),
        "decoder_ids": padded(shifted, pad),
        "decoder_keep": kept(shifted),
        "targets": padded(targets, IGNORE),
    }


def padded(rows: Sequence[Ids], value: int) -> Int[Tensor, "b t"]:
    """Rows as one tensor, `value` behind the shorter ones; one column at least."""
    out = np.full((len(rows), max([1, *map(len, rows)])), value, dtype=np.int64)
    for place, row in enumerate(rows):
        out[place, : len(row)] = row
    return torch.from_numpy(out)


def kept(rows: Sequence[Ids]) -> Bool[Tensor, "b t"]:
    """True where `padded` has the rows' own values."""
    lengths = torch.tensor([len(row) for row in rows])
    return torch.arange(max([1, *map(len, rows)])) < lengths[:, None]

"""When each word of a window's text was spoken: `word_times`, as `whisper.timing.find_alignment` finds it.

Words are what stands between spaces; in languages that write none, characters. How words are shared out to segments
and mended at pauses is in `aligned.py`.

Axes: s encoder tokens · d model width
Ref: Whisper arXiv:2212.04356
"""

from __future__ import annotations

import string
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from multimodal.errors import ArgumentError
from multimodal.models.speech.alignment import contrast, listened, warp
from multimodal.models.speech.prompts import tokens_of
from multimodal.models.speech.tokens import TIMESTAMP_STEP, Task
from multimodal.tokenizers.text import TextTokenizer

UNSPACED = frozenset({"zh", "ja", "th", "lo", "my", "yue"})  # languages that write no spaces between words
OPENING, CLOSING = "\"'“¿([{-", "\"'.。,，!！?？:：”)]}、"  # what belongs to the word behind it, or before it
_UNKNOWN = "\ufffd"  # what a part of a character is decoded to


@dataclass(frozen=True)
class WordTime:
    """A word of a window."""

    text: str  # with the space in front of it
    start: float  # seconds from the start of the window
    end: float
    probability: float  # the mean over its tokens
    tokens: tuple[int, ...]


@torch.inference_mode()
def word_times(
    model: Any,
    context: Float[Tensor, "1 s d"],
    ids: Sequence[int],
    *,
    frames: int,
    language: str | None = None,
    task: Task = "transcribe",
) -> list[WordTime]:
    """The words of a text and when they were spoken; none where there is no text.

    Args:
        model: a `SpeechRecognizer`, in eval mode.
        context: the window, from `model.encode`.
        ids: the text of the whole window, without timestamps and special tokens.
        frames: of 10 ms, which of the window belong to the recording.
        language: its code; None: English.
        task: what the text is of what was said.

    Raises:
        ArgumentError: a model without a tokenizer, a language that it does not know, or a text that is too long.
    """
    tokens, text = tokens_of(model), list(ids)
    if not text:
        return []
    assert model.tokenizer is not None
    start = tokens.start(language, task, timestamps=True)
    row = [*start, tokens.no_timestamps, *text, tokens.eot]
    if len(row) > model.config.embedding.max_length:
        raise ArgumentError(
            f"The text has {len(text):,} tokens; with what stands around it the model reads up to "
            f"{model.config.embedding.max_length:,}. Give the text of one window at a time."
        )
    heads = model.alignment_heads
    with listened(model, heads) as scores:
        hidden = model.decode(torch.tensor([row], device=context.device), context)
    logits = model.output(hidden[0, len(start) : -2])[:, : tokens.eot].float()  # from which each token was written
    odds = logits.softmax(-1).gather(1, torch.tensor(text, device=context.device)[:, None])[:, 0].tolist()
    heard = torch.stack([scores[head][0] for head in heads])[..., : max(frames // 2, 1)]
    cost = -contrast(heard)[len(start) : -1]
    rows, places = warp(cost.double().cpu().numpy())
    begins = places[np.diff(rows, prepend=-1) > 0] / round(1 / TIMESTAMP_STEP)  # of each token, and of the end
    words = words_of(model.tokenizer, text, spaced=language not in UNSPACED, eot=tokens.eot)
    bounds = list(accumulate((len(part) for _, part in words), initial=0))
    return [
        WordTime(word, float(begins[i]), float(begins[j]), float(np.mean(odds[i:j])), tuple(part))
        for (word, part), (i, j) in zip(words, pairwise(bounds), strict=True)
    ]


def words_of(
    tokenizer: TextTokenizer, ids: Sequence[int], *, spaced: bool = True, eot: int
) -> list[tuple[str, list[int]]]:
    """A text's words with their tokens; punctuation and tokens from `eot` on are words of their own.

    Args:
        tokenizer: of the model.
        ids: the text.
        spaced: whether words begin with a space; else every character is one.
        eot: ids from here on are no text.
    """
    words: list[tuple[str, list[int]]] = []
    for piece, part in _characters(tokenizer, ids):
        own = part[0] >= eot or piece.startswith(" ") or piece.strip() in string.punctuation
        if not spaced or own or not words:
            words.append((piece, part))
        else:
            words[-1] = words[-1][0] + piece, words[-1][1] + part
    return words


def _characters(tokenizer: TextTokenizer, ids: Sequence[int]) -> list[tuple[str, list[int]]]:
    """The pieces of a text that are whole characters, with the tokens that make them."""
    whole = tokenizer.decode(ids, skip_special=False)
    pieces, part, place = [], [], 0
    for id in ids:
        part = [*part, id]
        piece = tokenizer.decode(part, skip_special=False)
        broken = piece.find(_UNKNOWN)
        if broken < 0 or whole[place + broken : place + broken + 1] == _UNKNOWN:  # nothing makes it whole
            pieces.append((piece, part))
            part, place = [], place + len(piece)
    if part:
        pieces.append((tokenizer.decode(part, skip_special=False), part))
    return pieces


def merge_punctuation(words: Sequence[WordTime], *, opening: str = OPENING, closing: str = CLOSING) -> list[WordTime]:
    """The words with the punctuation that belongs to them; it gives them its tokens, but not its time.

    Args:
        words: in their order.
        opening: what belongs to the word behind it, where a space stands before it.
        closing: what belongs to the word before it.
    """
    found: list[WordTime] = []
    for word in reversed(words):
        if found and word.text.startswith(" ") and word.text.strip() in opening:
            found[-1] = replace(found[-1], text=word.text + found[-1].text, tokens=word.tokens + found[-1].tokens)
        else:
            found.append(word)
    merged: list[WordTime] = []
    for word in reversed(found):
        if merged and not merged[-1].text.endswith(" ") and word.text in closing:
            merged[-1] = replace(merged[-1], text=merged[-1].text + word.text, tokens=merged[-1].tokens + word.tokens)
        else:
            merged.append(word)
    return merged

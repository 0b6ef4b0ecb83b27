"""What a model learns of a conversation: the ids of its text, and which of them the assistant says.

The conversation is laid out by the tokenizer's own template up to each answer and again with it; what the second has
more is the answer, whichever template it is. Its characters become tokens by their offsets. An answer is learned with
the token that ends it, and nothing else is.

Axes: n ids of a text, one placeholder for each image · t the same, as many placeholders as the image has tokens
Refs: loss on answers alone: LLaVA arXiv:2304.08485 §4.2
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int32

from multimodal.data.chat.samples import text_of
from multimodal.errors import ArgumentError, DataError
from multimodal.models.chat.layout import chat_text, encode_chat, expand, placeholder_token
from multimodal.models.chat.messages import Chat
from multimodal.tokenizers.text import TextTokenizer


class Learned(NamedTuple):
    """The text of a conversation, up to the end of the last answer."""

    ids: Int32[np.ndarray, " n"]
    learned: Bool[np.ndarray, " n"]  # the assistant says it; the last one always

    def images(self, placeholder: int) -> int:
        """How many stand in the text: the first ones of the conversation, where others follow the last answer."""
        return int((self.ids == placeholder).sum())


def learned(chat: Chat, tokenizer: TextTokenizer, placeholder: int) -> Learned:
    """The ids of a conversation, and which are learned.

    Args:
        chat: with an answer, at least one.
        tokenizer: its template lays out the conversation.
        placeholder: the id that stands for an image.

    Raises:
        ArgumentError: there is no answer or no template, or the template refuses these messages.
        DataError: the template is damaged, or does not show an answer as it is.
    """
    text, spans = answer_spans(chat, tokenizer, placeholder_token(tokenizer, placeholder))
    encoded = encode_chat(tokenizer, text)
    ids = np.array(encoded.ids, dtype=np.int32)
    starts = np.array([start for start, _ in encoded.offsets], dtype=np.int64)
    mask = np.zeros(len(ids), dtype=np.bool_)
    for start, said, end in spans:
        within = (starts >= start) & (starts < end)
        ends = np.flatnonzero(within & (starts >= said) & np.isin(ids, list(tokenizer.special_ids)))
        if len(ends):  # what a template puts behind the token that ends an answer, nobody needs to say
            within[ends[0] + 1 :] = False
        mask |= within
    mask &= ids != placeholder
    last = int(mask.nonzero()[0][-1]) + 1 if mask.any() else 0
    return Learned(ids[:last], mask[:last])


def answer_spans(chat: Chat, tokenizer: TextTokenizer, token: str) -> tuple[str, list[tuple[int, int, int]]]:
    """The text of a conversation; and of each answer where it starts, where its words end, and where it ends.

    Raises:
        ArgumentError: there is no answer, or the template refuses these messages.
        DataError: the template does not show an answer as it is.
    """
    messages = chat.messages
    places = [place for place, message in enumerate(messages) if message["role"] == "assistant"]
    if not places:
        raise ArgumentError("This conversation has no answer to learn; give one with a message of the assistant.")

    def text(count: int, *, answered: bool) -> str:
        shown = len(replace(chat, messages=messages[:count]).kinds)
        part = Chat(messages[:count], chat.media[:shown])
        return chat_text(tokenizer, part, token, answered=answered)

    whole = text(places[-1] + 1, answered=True)
    spans: list[tuple[int, int, int]] = []
    for place in places:
        asked = text(place, answered=False)
        told = whole if place == places[-1] else text(place + 1, answered=True)
        start, end = _common(asked, whole), _common(told, whole)
        words = text_of(messages[place]).strip()
        said = whole.find(words, start, end)
        if said < 0 or (spans and start < spans[-1][2]):
            raise DataError(
                f"The chat template does not show answer {len(spans) + 1} of {len(places)} as it is, so it cannot be "
                "learned from; give another template."
            )
        spans.append((start, said + len(words), end))
    return whole, spans


def fitted(row: Learned, placeholder: int, tokens: Sequence[int], longest: int | None) -> Learned | None:
    """`row` with as many ids as fit; whole images or none of one, and up to the end of what is left of an answer.

    Args:
        row: a conversation.
        placeholder: the id that stands for an image.
        tokens: of each image.
        longest: ids that a model reads at most, images' tokens counted; what it predicts behind the last is one more.

    Returns:
        None where nothing is left to learn.
    """
    if longest is None:
        return row if len(row.ids) > 1 else None
    if length(row, tokens) <= longest:
        return row if len(row.ids) > 1 else None
    sizes = np.ones(len(row.ids), dtype=np.int64)
    sizes[row.ids == placeholder] = tokens[: row.images(placeholder)]
    room = int((sizes.cumsum() <= longest + 1).sum())
    places = row.learned[:room].nonzero()[0]
    return Learned(*(part[: places[-1] + 1] for part in row)) if len(places) and places[-1] else None


def length(row: Learned, tokens: Sequence[int]) -> int:
    """How many ids a model reads of a conversation, `tokens` being those of the images in it."""
    return len(row.ids) - 1 + sum(tokens) - len(tokens)


def expanded(row: Learned, placeholder: int, tokens: Sequence[int]) -> Learned:
    """`row` with a placeholder for each token of its images.

    Raises:
        ArgumentError: it has another number of images.
    """
    ids = expand(row.ids.tolist(), placeholder, tokens)
    sizes = np.ones(len(row.ids), dtype=np.int64)
    sizes[row.ids == placeholder] = tokens
    return Learned(np.array(ids, dtype=np.int32), np.repeat(row.learned, sizes))


def _common(first: str, second: str) -> int:
    """How many characters two texts have in common from their beginnings on."""
    if second.startswith(first):
        return len(first)
    differ = (place for place, (a, b) in enumerate(zip(first, second, strict=False)) if a != b)
    return next(differ, min(len(first), len(second)))

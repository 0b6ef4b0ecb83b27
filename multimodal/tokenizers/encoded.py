"""What a text tokenizer gives: one text with all that is known of each token, a padded batch, or text as it streams in.

The tokenizer itself is in `text.py`.

Axes: b batch · t length
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Int
from tokenizers import Encoding
from torch import Tensor

from multimodal.tokenizers.text_cleaning import Text

__all__ = ["DecodeStream", "Encoded", "Text", "TextBatch"]


class Encoded(NamedTuple):
    """One text or pair; every field has one entry per token."""

    ids: tuple[int, ...]
    types: tuple[int, ...]  # 0; 1 in the second text of a pair, for models that tell them apart (BERT)
    offsets: tuple[tuple[int, int], ...]  # [start, end) in characters of its own text; (0, 0) for special tokens
    special_mask: tuple[bool, ...]  # True for tokens that the text does not contain: [CLS], </s> ...
    words: tuple[int | None, ...]  # which word of its own text, as the tokenizer or the caller split it
    parts: tuple[int | None, ...]  # 0: the first text, 1: the second, None: a special token

    @classmethod
    def of(cls, encoding: Encoding) -> Encoded:
        """The fields of the `tokenizers` library's object."""
        return cls(
            ids=tuple(encoding.ids),
            types=tuple(encoding.type_ids),
            offsets=tuple(encoding.offsets),
            special_mask=tuple(map(bool, encoding.special_tokens_mask)),
            words=tuple(encoding.word_ids),
            parts=tuple(encoding.sequence_ids),
        )


class TextBatch(NamedTuple):
    """Several texts, padded on the right."""

    ids: Int[Tensor, "b t"]
    keep: Bool[Tensor, "b t"]  # False at padding
    types: Int[Tensor, "b t"]

    @classmethod
    def of(
        cls,
        rows: Sequence[Sequence[int]],
        types: Sequence[Sequence[int]] | None = None,
        *,
        pad: int = 0,
        length: int = 0,
    ) -> TextBatch:
        """Rows of ids, and their types (None: 0), padded with `pad` to the longest row and to `length` at least."""
        shape = (len(rows), max([length, *map(len, rows)]))
        ids, kinds = np.full(shape, pad, dtype=np.int64), np.zeros(shape, dtype=np.int64)
        keep = np.zeros(shape, dtype=bool)
        for place, row in enumerate(rows):
            ids[place, : len(row)] = row
            keep[place, : len(row)] = True
            if types is not None:
                kinds[place, : len(row)] = types[place]
        return cls(torch.from_numpy(ids), torch.from_numpy(keep), torch.from_numpy(kinds))


class DecodeStream:
    """Ids that come one by one to pieces of text that hold whole characters only.

    A piece is given once no later id can complete its last character, so that writing one after the other shows what
    decoding all ids at once would. Each step decodes the last few ids alone.
    """

    _PATIENCE = 8  # ids without a whole character until what is there is given: a character has at most 4 bytes

    def __init__(self, decode: Callable[[Sequence[int]], str]):
        self._decode = decode
        self._ids: list[int] = []  # those of the last piece, and those that are held back
        self._given = 0  # how many of them make the last piece

    def push(self, id: int) -> str:
        """The text that is certain now; often empty."""
        self._ids.append(id)
        return self._piece(hold=len(self._ids) - self._given < self._PATIENCE)

    def flush(self) -> str:
        """What was held back, once no id is to come."""
        return self._piece(hold=False)

    def _piece(self, *, hold: bool) -> str:
        # The last piece is decoded again: where it ends decides about the space in front of the next one.
        before, now = self._decode(self._ids[: self._given]), self._decode(self._ids)
        if len(now) <= len(before) or (hold and now.endswith("\ufffd")):
            return ""
        self._ids, self._given = self._ids[self._given :], len(self._ids) - self._given
        return now[len(before) :]

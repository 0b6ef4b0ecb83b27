"""Texts as ids: encoding many of them on all cores, and a stream of documents that is read by place.

Here the ids are in memory; the same stream on disk, written once, is in token_shards.py.

Axes: n ids
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, chain
from typing import TypeAlias

import numpy as np

from multimodal.errors import ArgumentError, DataError
from multimodal.tokenizers.text import TextTokenizer

Ids: TypeAlias = np.ndarray  # (n,), of an integer type

PIECE = 1 << 20  # characters: a longer document is encoded in pieces, for its offsets take 100 times its ids
BATCH = 1 << 22  # characters that go to the tokenizer's threads at a time
MANY = 4096  # texts, if they are short
NEAR = 1 << 16  # characters before the end of a piece in which a good place to cut is looked for

# After a single line break, or else before a single space: byte-level BPE and WordPiece split words there anyway.
_CUTS = (re.compile(r"(?<=\S\n)(?=\S)"), re.compile(r"(?<=\S)(?= \S)"))


class TokenStream:
    """Documents of ids, one after the other, read by document or by place in the stream.

    Args:
        parts: ids of several documents, and where each of these ends in them; ids and ends may be memory-mapped.
    """

    def __init__(self, parts: Sequence[tuple[Ids, Ids]]) -> None:
        self._parts = tuple(parts)
        self._tokens = np.array([0, *accumulate(len(ids) for ids, _ in self._parts)], dtype=np.int64)
        self._documents = np.array([0, *accumulate(len(ends) for _, ends in self._parts)], dtype=np.int64)

    @property
    def tokens(self) -> int:
        """Ids in all documents together."""
        return int(self._tokens[-1])

    def __len__(self) -> int:
        """Number of documents."""
        return int(self._documents[-1])

    def document(self, index: int) -> Ids:
        """The ids of one document, with the end-of-text id if there is one.

        Raises:
            IndexError: there is no such document.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"There is no document {index}; there are {len(self)}, counted from 0.")
        part = int(np.searchsorted(self._documents, index, side="right")) - 1
        ids, ends = self._parts[part]
        place = index - int(self._documents[part])
        return ids[int(ends[place - 1]) if place else 0 : int(ends[place])]

    def window(self, start: int, length: int) -> Ids:
        """`length` ids of the stream from `start` on, across the ends of documents.

        Raises:
            IndexError: the window does not lie within the stream.
        """
        if start < 0 or length < 0 or start + length > self.tokens:
            raise IndexError(f"Ids {start} to {start + length} were asked for; there are {self.tokens}.")
        part = int(np.searchsorted(self._tokens, start, side="right")) - 1
        pieces = []
        while length and part < len(self._parts):
            ids, first = self._parts[part][0], start - int(self._tokens[part])
            pieces.append(ids[first : first + length])
            start, length, part = start + len(pieces[-1]), length - len(pieces[-1]), part + 1
        if len(pieces) == 1:
            return pieces[0]
        return np.concatenate(pieces) if pieces else np.zeros(0, dtype=np.int64)

    def lengths(self) -> Ids:
        """The number of ids of each document, int64."""
        counts = [np.diff(ends, prepend=0) for _, ends in self._parts]
        return np.concatenate(counts).astype(np.int64) if counts else np.zeros(0, dtype=np.int64)


class StreamPart(TokenStream):
    """Ids `start` to `stop` of a stream, whose documents end where that one's do; the outer ones may be cut."""

    def __init__(self, stream: TokenStream, start: int, stop: int) -> None:
        self._stream, self._start, self._stop = stream, start, stop
        ends = np.cumsum(stream.lengths())
        inner = ends[np.searchsorted(ends, start, side="right") : np.searchsorted(ends, stop)]
        self._bounds = np.array([start, *inner, stop], dtype=np.int64)

    @property
    def tokens(self) -> int:
        """Ids of the part."""
        return self._stop - self._start

    def __len__(self) -> int:
        return len(self._bounds) - 1

    def document(self, index: int) -> Ids:
        """As of the whole stream."""
        if not 0 <= index < len(self):
            raise IndexError(f"There is no document {index}; there are {len(self)}, counted from 0.")
        first, last = self._bounds[index : index + 2].tolist()
        return self._stream.window(first, last - first)

    def window(self, start: int, length: int) -> Ids:
        """As of the whole stream."""
        if start < 0 or length < 0 or start + length > self.tokens:
            raise IndexError(f"Ids {start} to {start + length} were asked for; there are {self.tokens}.")
        return self._stream.window(self._start + start, length)

    def lengths(self) -> Ids:
        """As of the whole stream."""
        return np.diff(self._bounds)


def hold_out_tokens(stream: TokenStream, fraction: float) -> tuple[TokenStream, TokenStream]:
    """The front of a stream to train on and its end, about `fraction` of the ids, to validate on.

    The cut is at the end of a document if one is near (by half of what is held out), else within a document.

    Raises:
        ArgumentError: `fraction` does not lie between 0 and 1.
    """
    if not 0 < fraction < 1:
        raise ArgumentError(f"The fraction to hold out is {fraction}; it must lie between 0 and 1.")
    total = stream.tokens
    cut = int((1 - fraction) * total)
    ends = np.cumsum(stream.lengths())[:-1]
    if len(ends):
        nearest = int(ends[np.abs(ends - cut).argmin()])
        cut = nearest if abs(nearest - cut) <= (total - cut) / 2 else cut
    return StreamPart(stream, 0, cut), StreamPart(stream, cut, total)


def id_type(vocabulary: int) -> np.dtype:
    """The smallest type that holds every id below `vocabulary`."""
    return np.dtype(np.uint16 if vocabulary <= 1 << 16 else np.uint32)


def end_of_text(tokenizer: TextTokenizer, eos: bool) -> int | None:
    """The id that ends each document; None where none is wanted.

    Raises:
        ArgumentError: it is wanted and the tokenizer has none.
    """
    if not eos:
        return None
    if tokenizer.eos_id is None:
        raise ArgumentError("The tokenizer has no end-of-text token to put after each document; give eos=False.")
    return tokenizer.eos_id


def tokenizer_fingerprint(tokenizer: TextTokenizer) -> str:
    """A checksum of the vocabulary and the rules; how the last call truncated is no part of it."""
    rules = json.loads(tokenizer.tokenizer.to_str())
    plain = json.dumps({**rules, "truncation": None, "padding": None}, sort_keys=True)
    return f"sha256:{hashlib.sha256(plain.encode()).hexdigest()}"


def encode_documents(texts: Iterable[str], tokenizer: TextTokenizer, *, eos: int | None) -> Iterator[tuple[Ids, Ids]]:
    """The ids of the texts, in order and many texts at a time, and the places in them where texts end, int64.

    No special tokens are added but `eos`, at each end. A text of more than a million characters is encoded in pieces,
    cut at line breaks or spaces; a tokenizer that joins words across such a place gives other ids there than for the
    whole.
    """
    dtype = id_type(tokenizer.vocabulary)
    for batch in _batches(texts):
        rows = tokenizer.rows([text for text, _ in batch], special=False)
        if eos is not None:
            for row, (_, last) in zip(rows, batch, strict=True):
                if last:
                    row.append(eos)
        ends = np.array(list(accumulate(map(len, rows))), dtype=np.int64)
        yield np.array([*chain.from_iterable(rows)], dtype=dtype), ends[[last for _, last in batch]]


def tokens_in_memory(texts: Iterable[str], tokenizer: TextTokenizer, *, eos: bool = True) -> TokenStream:
    """The ids of a small corpus, end-of-text after each document.

    Raises:
        ArgumentError: the tokenizer has no end-of-text token.
        DataError: there is no text.
    """
    pieces: list[Ids] = []
    ends: list[Ids] = []
    total = 0
    for ids, inside in encode_documents(texts, tokenizer, eos=end_of_text(tokenizer, eos)):
        pieces.append(ids)
        ends.append(total + inside)
        total += len(ids)
    if not ends:
        raise DataError("There is no text to encode.")
    return TokenStream([(np.concatenate(pieces), np.concatenate(ends))])


def _batches(texts: Iterable[str]) -> Iterator[list[tuple[str, bool]]]:
    """Pieces of texts, enough to keep all cores busy, and whether each is the last of its text."""
    batch: list[tuple[str, bool]] = []
    size = 0
    for text in texts:
        for piece in _pieces(text):
            batch.append(piece)
            size += len(piece[0])
            if size >= BATCH or len(batch) >= MANY:
                yield batch
                batch, size = [], 0
    if batch:
        yield batch


def _pieces(text: str) -> Iterator[tuple[str, bool]]:
    start = 0
    while len(text) - start > PIECE:
        end = _cut(text, start + PIECE)
        yield text[start:end], False
        start = end
    yield text[start:], True


def _cut(text: str, end: int) -> int:
    """The last good place to cut before `end`; `end` itself where there is none near."""
    for pattern in _CUTS:
        places = [match.start() for match in pattern.finditer(text, max(0, end - min(NEAR, PIECE // 2)), end)]
        if places:
            return places[-1]
    return end

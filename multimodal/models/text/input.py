"""Texts as the methods of text models take them: tokenized, refused where unreadable, in batches of like length.

Batches for training are made in `multimodal/data`.

Axes: b batch · t length
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from multimodal.errors import ArgumentError
from multimodal.progress import track
from multimodal.tokenizers.encoded import Encoded, TextBatch
from multimodal.tokenizers.text import TextTokenizer
from multimodal.tokenizers.text_embedding import TextEmbeddingConfig
from multimodal.tokenizers.text_engine import Truncation

TextOrIds: TypeAlias = str | bytes | Sequence[int] | Tensor  # ids (t) where a model has no tokenizer


def tokenizer_of(model: Any) -> TextTokenizer:
    """The tokenizer of `model`.

    Raises:
        ArgumentError: it was made without one.
    """
    if model.tokenizer is None:
        raise ArgumentError(
            f"This {type(model).__name__} has no tokenizer, so it takes token ids only. Give it the one that it was "
            "trained with: model.tokenizer = ..."
        )
    return model.tokenizer


def longest_input(tokenizer: TextTokenizer | None, embedding: TextEmbeddingConfig) -> int:
    """How many tokens, special ones included, a model with this embedding reads."""
    limit = tokenizer.max_length if tokenizer is not None else None
    return embedding.max_length if limit is None else min(limit, embedding.max_length)


def is_text(value: Any) -> bool:
    """Whether `value` is one text, or the ids of one, rather than several."""
    if isinstance(value, str | bytes):
        return True
    if isinstance(value, Tensor):
        return value.ndim == 1
    return isinstance(value, Sequence) and bool(value) and all(type(item) is int for item in value)


def rows_of(
    model: Any, texts: Sequence[TextOrIds], *, special: bool = True, truncation: Truncation = "right"
) -> list[list[int]]:
    """The ids of each text, cut to what `model` reads.

    Args:
        model: has `tokenizer` and `config.embedding`.
        texts: texts or ids; ids are taken as they are.
        special: whether the tokenizer adds what belongs around a text.
        truncation: which end of a text that is too long is cut off; "refuse": it is an error.

    Raises:
        ArgumentError: a text of no tokens, or that is too long ("refuse"); text for a model without a tokenizer; an id
            that the model does not have.
    """
    embedding, found = model.config.embedding, [None] * len(texts)
    plain = [i for i, text in enumerate(texts) if isinstance(text, str | bytes)]
    rows: list[Any] = found
    if plain:
        tokenizer = tokenizer_of(model)
        limit = longest_input(tokenizer, embedding)
        options = {"special": special, "max_length": limit, "truncation": truncation}
        for i, row in zip(plain, tokenizer.rows([texts[i] for i in plain], **options), strict=True):  # pyright: ignore
            rows[i] = row
    for i, text in enumerate(texts):
        if rows[i] is None:
            rows[i] = checked_ids(text, embedding.vocabulary)
        if not rows[i]:
            raise ArgumentError(f"Text {i + 1} of {len(texts)} is empty: it has no tokens that the model could read.")
    return rows


def checked_ids(ids: Any, vocabulary: int) -> list[int]:
    """Ids (t) as a list.

    Raises:
        ArgumentError: they are no ids, or not those of a model with so many embeddings.
    """
    row = ids.tolist() if isinstance(ids, Tensor) else list(ids) if isinstance(ids, Sequence) else [ids]
    for value in row:
        if type(value) is not int:
            raise ArgumentError(f"{value!r} is neither text nor a token id; give a text, or a list of ids.")
        if not 0 <= value < vocabulary:
            raise ArgumentError(f"{value} is not a token id of this model; they go from 0 to {vocabulary - 1:,}.")
    return row


def batches(
    rows: Sequence[Encoded] | Sequence[Sequence[int]],
    *,
    batch_size: int,
    device: torch.device,
    what: str,
    pad: int | None = None,
) -> Iterator[tuple[list[int], TextBatch]]:
    """Padded batches on `device` with the places of their rows; order and errors as in `by_length`.

    Args:
        rows: ids, or what `TextTokenizer.encode` gives.
        batch_size: rows at a time.
        device: where the model is.
        what: said beside the progress bar.
        pad: the padding id; None: 0.
    """
    ids = [row.ids if isinstance(row, Encoded) else row for row in rows]
    types = [row.types if isinstance(row, Encoded) else (0,) * len(row) for row in rows]
    for places in by_length(ids, batch_size=batch_size, what=what):
        batch = TextBatch.of([ids[i] for i in places], [types[i] for i in places], pad=pad or 0)
        yield places, TextBatch(*(part.to(device) for part in batch))


def by_length(rows: Sequence[Sequence[int]], *, batch_size: int, what: str) -> Iterator[list[int]]:
    """The places of rows of like length, `batch_size` at a time, longest first, and a progress bar for long work.

    Raises:
        ArgumentError: `batch_size` is below 1.
    """
    if batch_size < 1:
        raise ArgumentError(f"batch_size is {batch_size}; it must be at least 1.")
    order = sorted(range(len(rows)), key=lambda i: -len(rows[i]))  # so that memory runs out at once or never
    starts = range(0, len(order), batch_size)
    for start in track(starts, len(starts), what):
        yield order[start : start + batch_size]


def device_of(model: nn.Module) -> torch.device:
    """Where the weights of `model` are."""
    return next(model.parameters()).device

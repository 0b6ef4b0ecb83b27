"""Several documents in one row, so that no token is padding that need not be.

`document` keeps them apart in attention, `positions` begin anew in each, and nothing is predicted across their
boundaries: the loss is that of one document a row. Who reads which documents is in data_modules.py.

Axes: b batch · t length
Refs: best-fit packing arXiv:2404.10830 §2
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch

from multimodal.data.text.batches import CausalBatch, Collate, Ids, Place
from multimodal.errors import ArgumentError
from multimodal.losses import IGNORE
from multimodal.tokenizers.text import TextTokenizer


def pack(sizes: Sequence[int], length: int) -> list[list[int]]:
    """Which documents share a row: each goes, the longest first, into the fullest row that has room for it.

    Always the same for the same sizes; a million documents take seconds. Within a row they stand in their order.
    Empty ones are in no row.

    Args:
        sizes: ids of each document.
        length: ids of a row.

    Raises:
        ArgumentError: a document that is longer than a row.
    """
    if sizes and max(sizes) > length:
        raise ArgumentError(f"A document of {max(sizes)} ids does not fit in a row of {length}; cut it into pieces.")
    rows: list[list[int]] = []
    open_rows: list[list[int]] = [[] for _ in range(length + 1)]  # rows by the room that they have
    rooms = 0  # bit r is set where a row has room r
    for document in sorted(range(len(sizes)), key=lambda i: -sizes[i]):
        size = sizes[document]
        if size == 0:
            break
        enough = rooms >> size
        if enough:
            room = (enough & -enough).bit_length() - 1 + size  # the lowest bit: the fullest of these rows
            row = open_rows[room].pop()
            if not open_rows[room]:
                rooms ^= 1 << room
        else:
            room, row = length, len(rows)
            rows.append([])
        rows[row].append(document)
        open_rows[room - size].append(row)
        rooms |= 1 << (room - size)
    return [sorted(row) for row in rows]


def fill_rate(sizes: Sequence[int], rows: Sequence[Sequence[int]], length: int) -> float:
    """The share of the places in `rows` of `length` ids that holds an id; 1 where there are no rows."""
    return sum(sizes[document] for row in rows for document in row) / (len(rows) * length) if rows else 1.0


@dataclass(frozen=True, kw_only=True)
class PackedConfig:
    """Next-token prediction on packed rows."""

    length: int  # t

    def build(self, tokenizer: TextTokenizer) -> Collate[CausalBatch]:
        """A collator of rows, each a sequence of documents' ids."""
        return partial(_packed, self, tokenizer.pad_id or 0)


def _packed(config: PackedConfig, pad: int, items: Sequence[tuple[Any, Place]]) -> CausalBatch:
    return packed_rows([row for row, _ in items], config.length, pad=pad)


def packed_rows(rows: Sequence[Sequence[Ids]], length: int, *, pad: int) -> CausalBatch:
    """Rows of documents as a batch whose rows have `length` ids; the last id of a document predicts nothing.

    Raises:
        ArgumentError: documents of a row that are longer than it.
    """
    shape = (len(rows), length)
    ids, targets, document, positions = (np.full(shape, value) for value in (pad, IGNORE, -1, 0))
    for line, row in enumerate(rows):
        if sum(map(len, row)) > length:
            raise ArgumentError(f"Documents of {sum(map(len, row))} ids together do not fit in a row of {length}.")
        start = 0
        for number, part in enumerate(part for part in row if len(part)):
            end = start + len(part)
            ids[line, start:end] = part
            targets[line, start : end - 1] = part[1:]
            document[line, start:end] = number
            positions[line, start:end] = np.arange(len(part))
            start = end
    return {
        "ids": torch.from_numpy(ids),
        "targets": torch.from_numpy(targets),
        "document": torch.from_numpy(document),
        "positions": torch.from_numpy(positions),
    }

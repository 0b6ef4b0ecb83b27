"""Conversations as ids and pictures, one at a time; batches of them are made in batches.py.

Axes: n ids of a text, a placeholder for each token of its images
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TypedDict

import numpy as np
from jaxtyping import Bool, Int32
from torch.utils.data import Dataset

from multimodal.data.chat.prepared import Prepared
from multimodal.data.chat.targets import expanded, fitted
from multimodal.data.images.shards import source_of
from multimodal.errors import DataError
from multimodal.media import MediaError
from multimodal.models.chat.views import Reader, Seen


class ChatItem(TypedDict):
    """One conversation."""

    ids: Int32[np.ndarray, " n"]
    learned: Bool[np.ndarray, " n"]  # the assistant says it
    seen: list[Seen]  # its images or recordings
    index: int  # of the conversation in its split
    failed: list[str]  # what could not be read on the way to it


class Shown:
    """Files as a model sees them; what was decoded is kept for the next time, as long as there is room."""

    def __init__(self, reader: Reader, room: int) -> None:
        """Keep up to `room` bytes."""
        self.reader, self.room = reader, room
        self.kept: dict[str, Seen] = {}

    def __call__(self, path: str) -> Seen:
        """What the reader makes of a file, or of a member of a shard.

        Raises:
            MediaError, DataError: it cannot be read.
        """
        if path in self.kept:
            return self.kept[path]
        try:
            seen = self.reader.read(source_of(path))
        except MediaError as error:
            raise MediaError(str(error) if path in str(error) else f"{path}: {error}") from error
        size = seen.x.numel() * seen.x.element_size()
        if size <= self.room:
            self.kept[path] = seen
            self.room -= size
        return seen


class ChatDataset(Dataset[ChatItem]):
    """Conversations of one split, with what they show."""

    def __init__(self, rows: Sequence[Prepared], shown: Shown, *, placeholder: int, longest: int | None = None) -> None:
        """Conversations of at most `longest` ids, besides the one that is only predicted."""
        self.rows, self.shown, self.placeholder, self.longest = tuple(rows), shown, placeholder, longest
        self.like = sorted(range(len(self.rows)), key=lambda place: self.rows[place].length)
        self.place = {index: place for place, index in enumerate(self.like)}

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, key: tuple[int, int]) -> ChatItem:
        """The conversation at (epoch, index).

        For one whose files cannot be read the next shorter one comes, or where there is none the next longer, and
        `failed` names what is wrong.

        Raises:
            DataError: none can be read at all.
        """
        failed: list[str] = []
        middle = self.place[key[1]]
        for place in itertools.chain(range(middle, -1, -1), range(middle + 1, len(self.like))):
            try:
                return self._item(self.rows[self.like[place]], failed)
            except (MediaError, DataError) as error:
                failed.append(str(error))
        raise DataError(f"None of the {len(self.rows)} conversations can be read any more; the first: {failed[0]}")

    def _item(self, one: Prepared, failed: list[str]) -> ChatItem:
        seen = [self.shown(path) for path in one.media]
        tokens = [each.tokens for each in seen]
        row = fitted(one.row, self.placeholder, tokens, self.longest)
        if row is None:
            raise DataError(f"{one.media[0]} has grown: nothing of an answer is left of conversation {one.index}.")
        count = row.images(self.placeholder)
        ids, learned = expanded(row, self.placeholder, tokens[:count])
        return {"ids": ids, "learned": learned, "seen": seen[:count], "index": one.index, "failed": failed}

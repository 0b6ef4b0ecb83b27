"""What a reader of conversations gives: messages with their images or recordings, in splits, and what was left out.

How a row becomes a conversation is in rows.py, which files are read in read.py, how some are held out in split.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from multimodal.data.images.samples import SPLIT_NAMES, Skipped
from multimodal.errors import DataError
from multimodal.models.chat.messages import Chat


@dataclass(frozen=True, slots=True)
class ChatSample:
    """One conversation, with an answer at least; no image or recording of it has been opened yet."""

    chat: Chat  # its media are paths: of a file, or "shard.tar::member/name.jpg"
    where: str  # it stands in the data, for messages

    @property
    def media(self) -> tuple[str, ...]:
        """The files, in the order in which the text shows them."""
        return self.chat.media

    @property
    def answers(self) -> list[str]:
        """What the assistant says, in order."""
        return [text_of(message) for message in self.chat.messages if message["role"] == "assistant"]


@dataclass(frozen=True)
class ChatSamples:
    """A set of conversations, as read."""

    root: str
    splits: dict[str, tuple[ChatSample, ...]]  # of "train", "val" and "test" those that the data have
    skipped: tuple[Skipped, ...]


@dataclass(frozen=True, slots=True)
class Found:
    """A conversation as it stands in one place."""

    split: str
    sample: ChatSample


def text_of(message: dict) -> str:
    """The words of a message of a `Chat`, without what it shows."""
    return "".join(part["text"] for part in message["content"] if part["type"] == "text")


def assemble(root: str, found: Iterable[Found], skipped: Sequence[Skipped], hint: str = "") -> ChatSamples:
    """The conversations by split, in the order given.

    Args:
        root: what was read, for messages.
        found: all conversations.
        skipped: what was left out until here.
        hint: a clause that says what was looked at, for the message that nothing was found.

    Raises:
        DataError: nothing was found.
    """
    splits: dict[str, list[ChatSample]] = {split: [] for split in SPLIT_NAMES}
    for one in found:
        splits[one.split].append(one.sample)
    if not any(splits.values()):
        first = ""
        if skipped:
            count = "One entry was" if len(skipped) == 1 else f"{len(skipped):,} entries were"
            first = f" {count} left out, the first: {skipped[0].path}: {skipped[0].reason.rstrip('.')}."
        raise DataError(f"{root} holds no conversation that can be used{hint}.{first}")
    return ChatSamples(root, {split: tuple(members) for split, members in splits.items() if members}, tuple(skipped))

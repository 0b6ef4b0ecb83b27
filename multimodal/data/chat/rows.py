"""One row of conversation data as a `ChatSample`: LLaVA's fields, or those of chat interfaces.

    {"image": "a.png", "conversations": [{"from": "human", "value": "<image>\nWhat is it?"}, {"from": "gpt", ...}]}
    {"images": ["a.png"], "messages": [{"role": "user", "content": "<image>\nWhat is it?"}, ...]}
    {"messages": [{"role": "user", "content": [{"type": "image", "image": "a.png"}, {"type": "text", ...}]}, ...]}

In a text <image> (or <audio>) stands for the next file of the row. A row in which they do not match, whose turns are
out of order or in which nobody answers is not used, and the reason is named.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from multimodal.data.chat.files import CONVERSATIONS
from multimodal.data.chat.samples import ChatSample, text_of
from multimodal.data.images.samples import Skipped
from multimodal.data.text.tables import Row, cell_file, flaw
from multimodal.errors import ArgumentError, DataError, nearest
from multimodal.models.chat.messages import Chat, chat_of, check_roles

ROLES = {"user": "user", "human": "user", "assistant": "assistant", "gpt": "assistant", "system": "system"}
WORDS: dict[Literal["image", "audio"], str] = {"image": "image", "audio": "recording"}


def conversation(row: Row, where: str, folders: Sequence[Path], skipped: list[Skipped]) -> ChatSample | None:
    """The conversation of a row; None, and the reason in `skipped`, where it cannot be used.

    Args:
        row: its columns.
        where: it stands, for messages.
        folders: in which its files may lie.
        skipped: what cannot be used is added here.
    """
    try:
        chat, word = _chat(row)
    except (ArgumentError, DataError) as error:
        skipped.append(Skipped(where, str(error).rstrip(".")))
        return None
    files = [cell_file(folders, where, name, word, skipped) for name in chat.media]
    return ChatSample(Chat(chat.messages, tuple(files)), where) if None not in files else None


def _chat(row: Row) -> tuple[Chat, str]:
    """The conversation, with names of files as the row has them; and what messages call such a file.

    Raises:
        ArgumentError, DataError: it cannot be used.
    """
    turns = next((row[name] for name in CONVERSATIONS if name in row), None)
    if not isinstance(turns, list) or not turns:
        raise DataError("no list of messages")
    columns = {kind: _column(row, (kind, f"{kind}s")) for kind in WORDS}
    chat = chat_of([_message(turn) for turn in turns], columns["image"] + columns["audio"])
    kinds = {*chat.kinds, *(kind for kind, files in columns.items() if files)}
    if len(kinds) > 1:
        raise DataError("both images and recordings, or <image> where a recording is and the reverse")
    check_roles(chat.messages, answered=True)
    for message in chat.messages:
        _check_text(message)
    return chat, WORDS["audio" if "audio" in kinds else "image"]


def _message(turn: Any) -> dict[str, Any]:
    """A turn under the names that `chat_of` knows."""
    if not isinstance(turn, Mapping):
        raise DataError('a message is not an object of "role" and "content"')
    given = turn.get("role", turn.get("from"))
    role = ROLES.get(given.strip().lower()) if isinstance(given, str) else None
    if role is None:
        raise DataError(f"the role {given!r} is not one of {', '.join(ROLES)}.{nearest(str(given), ROLES)}")
    return {"role": role, "content": turn.get("content", turn.get("value"))}


def _column(row: Row, names: Sequence[str]) -> list[Any]:
    """The files that a row names beside its messages."""
    found: list[Any] = []
    for name in names:
        value = row.get(name)
        if value is not None and value != "":
            found += value if isinstance(value, list) else [value]
    return found


def _check_text(message: dict[str, Any]) -> None:
    """Refuse an answer that is empty or shows something, and a text that cannot be used."""
    said, answers = text_of(message), message["role"] == "assistant"
    if answers and any(part["type"] != "text" for part in message["content"]):
        raise DataError("an answer holds <image> or <audio>; only questions may")
    if (reason := flaw(said)) and (answers or said.strip()):
        raise DataError(f"a message of the {message['role']}: {reason}")

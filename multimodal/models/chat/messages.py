"""Conversations about images, as people and data give them; layout.py lays them out for a model.

A `Chat` has messages, whose content is a list of parts, and the images (or recordings) that belong to its parts
{"type": "image"} in their order. In a text, `<image>` stands for one as well.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from multimodal.errors import ArgumentError, nearest

ROLES = ("system", "user", "assistant")
IMAGE, AUDIO = "<image>", "<audio>"  # in the texts of people and data; a model's own placeholder may differ
MEDIA = ("image", "audio")  # types of parts besides text
_STANDS = re.compile(f"({re.escape(IMAGE)}|{re.escape(AUDIO)})")


@dataclass(frozen=True, eq=False)
class Chat:
    """A conversation; `messages` are {"role": ..., "content": [parts]}, as `chat_of` makes them."""

    messages: tuple[dict[str, Any], ...]
    media: tuple[Any, ...]

    @property
    def kinds(self) -> list[str]:
        """The types of parts other than text, in their order."""
        return [part["type"] for message in self.messages for part in message["content"] if part["type"] != "text"]


def several_chats(given: Any) -> tuple[list[Any], bool]:
    """One chat or many, as many; and whether it was one.

    Raises:
        ArgumentError: neither.
    """
    if isinstance(given, str | Chat | tuple) or _is_messages(given):
        return [given], True
    if not isinstance(given, Iterable) or isinstance(given, Mapping | bytes):
        raise ArgumentError(f"{type(given).__name__} is not a chat: give (image, question), or a list of messages.")
    return list(given), False


def read_chat(given: Any, *, hears: bool = False) -> Chat:
    """What a person gives as one chat: (image, question), a question alone, or messages with their images.

    Args:
        given: see `VisionLanguageModel.chat`.
        hears: whether the things beside the text are recordings.

    Raises:
        ArgumentError: another form.
    """
    if isinstance(given, Chat):
        return given
    if isinstance(given, str):
        return chat_of([{"role": "user", "content": given}], ())
    if isinstance(given, tuple):
        if len(given) != 2 or not isinstance(given[1], str):
            raise ArgumentError(f"A chat of {len(given)} things was given; it must be (image, question).")
        media = several_media(given[0])
        stands = (AUDIO if hears else IMAGE) * (len(media) if not _STANDS.search(given[1]) else 0)
        text = f"{stands}\n{given[1]}" if stands else given[1]
        return chat_of([{"role": "user", "content": text}], media)
    if not _is_messages(given):
        raise ArgumentError(f"A {type(given).__name__} is not a chat: give (image, question), or a list of messages.")
    return chat_of(given, ())


def several_media(given: Any) -> list[Any]:
    """One image or recording, or several, as several."""
    return list(given) if isinstance(given, list) else [given]


def chat_of(messages: Sequence[Mapping[str, Any]], media: Sequence[Any]) -> Chat:
    """Messages with contents of any form, and the images beside them, as a `Chat`.

    A part {"type": "image"} without an image of its own, and each `<image>` in a text, takes the next one of `media`.

    Raises:
        ArgumentError: a message or part of another form, an unknown role, or more or fewer images than places.
    """
    read: list[tuple[str, list[dict[str, Any]]]] = []
    for number, message in enumerate(messages, 1):
        role, content = message.get("role"), message.get("content")
        if role not in ROLES:
            near = nearest(str(role), ROLES)
            raise ArgumentError(
                f"The role of message {number} is {role!r}; it must be one of {', '.join(ROLES)}.{near}"
            )
        if not isinstance(content, str | list | tuple):
            raise ArgumentError(
                f"The content of message {number} is {content!r}; it must be a text or a list of parts."
            )
        read.append((role, _split(content) if isinstance(content, str) else _parts(content, number)))
    places = sum(part["type"] != "text" and "source" not in part for _, parts in read for part in parts)
    if places != len(media):
        raise ArgumentError(
            f"The messages have {places} {many('place', places)} for images ({IMAGE}), and {len(media)} "
            f"{'was' if len(media) == 1 else 'were'} given; they must be as many."
        )
    beside, found, plain = iter(media), [], []
    for role, parts in read:
        found += [p["source"] if "source" in p else next(beside) for p in parts if p["type"] != "text"]
        bare = [{"type": "text", "text": p["text"]} if p["type"] == "text" else {"type": p["type"]} for p in parts]
        plain.append({"role": role, "content": bare})
    return Chat(tuple(plain), tuple(found))


def check_roles(messages: Sequence[Mapping[str, Any]], *, answered: bool) -> None:
    """Refuse roles out of order: a system message may come first, then user and assistant take turns.

    Args:
        messages: with known roles.
        answered: whether it must hold an answer, to learn from; else it must end with a question.

    Raises:
        ArgumentError: they are not in that order.
    """
    roles = [message["role"] for message in messages]
    turns = roles[1:] if roles[:1] == ["system"] else roles
    for number, role in enumerate(turns):
        expected = ("user", "assistant")[number % 2]
        if role != expected:
            place = number + 1 + len(roles) - len(turns)
            raise ArgumentError(
                f"Message {place} is from the {role}, where one from the {expected} belongs: after a system message, "
                "if any, user and assistant take turns."
            )
    if answered and "assistant" not in turns:
        raise ArgumentError("The conversation has no turn of the assistant, so there is nothing to learn from.")
    if not answered and turns[-1:] != ["user"]:
        last = f"ends with the {roles[-1]}'s message" if roles else "is empty"
        raise ArgumentError(f"The conversation {last}; it must end with the user's, which is then answered.")


def _is_messages(given: Any) -> bool:
    return isinstance(given, list) and bool(given) and all(isinstance(one, Mapping) for one in given)


def _split(text: str) -> list[dict[str, Any]]:
    """The parts of a text in which `<image>` stands."""
    parts: list[dict[str, Any]] = []
    for piece in _STANDS.split(text):
        if piece in (IMAGE, AUDIO):
            parts.append({"type": "image" if piece == IMAGE else "audio"})
        elif piece:
            parts.append({"type": "text", "text": piece})
    return parts


def _parts(content: Sequence[Any], number: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for part in content:
        kind = part.get("type") if isinstance(part, Mapping) else None
        if kind == "text" and isinstance(part.get("text"), str):
            pieces = _split(part["text"])
            begins = pieces[0].get("text", "") if pieces else ""
            if found and found[-1]["type"] != "text" and begins[:1].strip():
                pieces[0]["text"] = f"\n{begins}"  # as in the texts of data: an image stands on a line of its own
            found += pieces
        elif kind in MEDIA:
            source = next((part[name] for name in (kind, "path") if name in part), None)
            found.append({"type": kind} if source is None else {"type": kind, "source": source})
        else:
            raise ArgumentError(
                f"Message {number} has the part {str(part)[:80]!r}; parts are {{'type': 'text', 'text': ...}}, "
                "{'type': 'image', 'image': ...} or {'type': 'audio', 'audio': ...}."
            )
    return found


def many(word: str, count: int) -> str:
    """`word` as it stands beside a number."""
    return word if count == 1 else f"{word}s"

"""Conversations as questions to ask a model: all up to each answer, as it stands in the data, and what it should be.

Conversations about the same images that are the same up to an answer ask one question with several right answers: what
several people said of it, or the captions of one image.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from multimodal.data.chat.samples import ChatSample, text_of
from multimodal.models.chat.messages import Chat


@dataclass(frozen=True, slots=True)
class ChatQuestion:
    """What a model is asked."""

    chat: Chat  # ends with the question
    wanted: tuple[str, ...]  # right answers
    where: str  # it stands in the data, for messages
    turn: int  # from 1: which of the conversation's questions it is
    group: int  # equal for the questions of one conversation, and of all that are about the same images

    @property
    def text(self) -> str:
        """The words of the question itself."""
        return text_of(self.chat.messages[-1]).strip()


def questions_of(
    samples: Iterable[ChatSample], *, instruction: str | None = None, system: str | None = None
) -> list[ChatQuestion]:
    """Every question of each conversation that is answered, each once.

    Args:
        samples: conversations with an answer at least.
        instruction: is put on a line of its own behind the question that is asked: "Answer with one word."
        system: a system message, in place of what the conversation has.
    """
    found: dict[tuple[Any, ...], ChatQuestion] = {}
    groups: dict[tuple[Any, ...], int] = {}
    for number, sample in enumerate(samples):
        messages = sample.chat.messages
        answered = [place for place, message in enumerate(messages) if message["role"] == "assistant"]
        talk = json.dumps(messages[: answered[-1]], sort_keys=True)
        group = groups.setdefault(tuple(map(_name, sample.chat.media)) or (talk,), number)
        for turn, place in enumerate(answered, 1):
            chat = _asked(sample.chat, place, instruction, system)
            key = (*map(_name, chat.media), json.dumps(chat.messages, sort_keys=True))
            answer = text_of(messages[place]).strip()
            before = found.get(key)
            question = ChatQuestion(chat, (answer,), sample.where, turn, group)
            found[key] = replace(before, wanted=(*before.wanted, answer)) if before else question
    return list(found.values())


def _asked(chat: Chat, place: int, instruction: str | None, system: str | None) -> Chat:
    """What is said before the message at `place`, which answers it."""
    asked = list(chat.messages[:place])
    if instruction is not None:
        more = {"type": "text", "text": f"\n{instruction}"}
        asked[-1] = {**asked[-1], "content": [*asked[-1]["content"], more]}
    if system is not None:
        rest = asked[1:] if asked[0]["role"] == "system" else asked
        asked = [{"role": "system", "content": [{"type": "text", "text": system}]}, *rest]
    shown = sum(part["type"] != "text" for message in asked for part in message["content"])
    return Chat(tuple(asked), chat.media[:shown])


def _name(source: Any) -> Any:
    return source if isinstance(source, str) else id(source)

"""Conversations as questions to ask a model: all up to the last answer, and what it should be.

Conversations about the same images that differ in that answer alone are one question with several right answers: what
several people said of it, or the captions of one image.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from multimodal.data.chat.samples import ChatSample, text_of
from multimodal.models.chat_messages import Chat


@dataclass(frozen=True, slots=True)
class ChatQuestion:
    """What a model is asked."""

    chat: Chat  # ends with the question
    wanted: tuple[str, ...]  # right answers
    where: str  # it stands in the data, for messages

    @property
    def text(self) -> str:
        """The words of the question itself."""
        return text_of(self.chat.messages[-1]).strip()


def questions_of(
    samples: Iterable[ChatSample], *, instruction: str | None = None, system: str | None = None
) -> list[ChatQuestion]:
    """The last question of each conversation that is answered, each once.

    Args:
        samples: conversations with an answer at least.
        instruction: is put on a line of its own behind each question: "Answer with one word."
        system: a system message, in place of what the conversation has.
    """
    found: dict[tuple[Any, ...], ChatQuestion] = {}
    for sample in samples:
        messages = sample.chat.messages
        place = max(i for i, message in enumerate(messages) if message["role"] == "assistant")
        asked = list(messages[:place])
        if instruction is not None:
            more = {"type": "text", "text": f"\n{instruction}"}
            asked[-1] = {**asked[-1], "content": [*asked[-1]["content"], more]}
        if system is not None:
            rest = asked[1:] if asked[0]["role"] == "system" else asked
            asked = [{"role": "system", "content": [{"type": "text", "text": system}]}, *rest]
        shown = sum(part["type"] != "text" for message in asked for part in message["content"])
        chat = Chat(tuple(asked), sample.chat.media[:shown])
        media = (one if isinstance(one, str) else id(one) for one in chat.media)
        key = (*media, json.dumps(asked, sort_keys=True))
        answer = text_of(messages[place]).strip()
        before = found.get(key)
        wanted = (*before.wanted, answer) if before else (answer,)
        found[key] = replace(before, wanted=wanted) if before else ChatQuestion(chat, wanted, sample.where)
    return list(found.values())

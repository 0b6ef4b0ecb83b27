"""A talk of several turns: what was said, and what the model has read of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Unpack

from multimodal.errors import ArgumentError
from multimodal.models.chat_memory import ChatMemory
from multimodal.models.chat_messages import several_media
from multimodal.models.text_options import Options


class Conversation:
    """Questions and answers about images; each answer reads only what is new. See `VisionLanguageModel.conversation`.

    A question that fails, or whose answer is broken off before its first word, leaves the talk as it was.
    """

    def __init__(self, model: Any, images: Any = (), *, system: str | None = None) -> None:
        self.model, self.memory = model, ChatMemory()
        self.messages: list[dict[str, Any]] = [{"role": "system", "content": system}] if system is not None else []
        self._waiting: list[Any] = []  # images that the next question shows
        self.show(images)

    def show(self, images: Any) -> None:
        """Show one more image, or several, with the next question.

        Raises:
            MediaError: one cannot be read.
        """
        shown = _listed(images)
        for image in shown:
            self.model.reader.read(image)
        self._waiting += shown

    def ask(self, question: str, *, images: Any = (), **options: Unpack[Options]) -> str:
        """The answer to the next question, which shows `images`; arguments and errors as `VisionLanguageModel.chat`."""
        if options.get("n_best") is not None:
            raise ArgumentError("n_best gives several answers, and a conversation goes on from one: leave it out.")
        asked = self._asked(question, images)
        answer = self.model.chat([*self.messages, asked], memory=self.memory, **options)
        self._said(asked, answer)
        return answer

    def stream(self, question: str, *, images: Any = (), **options: Unpack[Options]) -> Iterator[str]:
        """The same in pieces, as soon as they are certain."""
        asked = self._asked(question, images)
        pieces = self.model.stream([*self.messages, asked], memory=self.memory, **options)

        def telling() -> Iterator[str]:
            said, ended = "", False
            try:
                for piece in pieces:
                    said += piece
                    yield piece
                ended = True
            finally:
                pieces.close()
                if said or ended:
                    self._said(asked, said)

        return telling()

    def _asked(self, question: str, images: Any) -> dict[str, Any]:
        kind = "audio" if self.model.reader.hears else "image"
        shown = [{"type": kind, kind: image} for image in (*self._waiting, *_listed(images))]
        return {"role": "user", "content": [*shown, {"type": "text", "text": question}]}

    def _said(self, asked: dict[str, Any], answer: str) -> None:
        self.messages += [asked, {"role": "assistant", "content": answer}]
        self._waiting = []


def _listed(images: Any) -> list[Any]:
    return [] if isinstance(images, tuple) and not images else several_media(images)

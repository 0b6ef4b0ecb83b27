"""A talk of several turns: what was said, and what the model has read of it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Unpack

from multimodal.errors import ArgumentError
from multimodal.models.chat.memory import ChatMemory
from multimodal.models.chat.messages import several_media
from multimodal.models.chat.views import Seen
from multimodal.models.text.options import Options

SETTLED = 2_000_000_000  # ns after a change of a file within which another one may leave its time as it is


class Conversation:
    """Questions and answers about images; each answer reads only what is new. See `VisionLanguageModel.conversation`.

    A question that fails, or whose answer is broken off before its first word, leaves the talk as it was.
    """

    def __init__(self, model: Any, images: Any = (), *, system: str | None = None) -> None:
        self.model, self.memory = model, ChatMemory()
        self.messages: list[dict[str, Any]] = [{"role": "system", "content": system}] if system is not None else []
        self.waiting: list[Any] = []  # images that the next question shows
        self._known: dict[str, tuple[tuple[int, ...], Seen]] = {}  # files as they were read, and when they had changed
        self.show(images)

    def show(self, images: Any) -> None:
        """Show one more image, or several, with the next question.

        Raises:
            MediaError: one cannot be read.
        """
        shown = _listed(images)
        for image in shown:
            self.model.reader.read(self._once(image))
        self.waiting += shown

    def ask(self, question: str, *, images: Any = (), **options: Unpack[Options]) -> str:
        """The answer to the next question, which shows `images`; arguments and errors as `VisionLanguageModel.chat`."""
        if options.get("n_best") is not None:
            raise ArgumentError("n_best gives several answers, and a conversation goes on from one: leave it out.")
        asked = self._asked(question, images)
        answer = self.model.chat(self._read(asked), memory=self.memory, **options)
        self._said(asked, answer)
        return answer

    def stream(self, question: str, *, images: Any = (), **options: Unpack[Options]) -> Iterator[str]:
        """The same in pieces, as soon as they are certain."""
        asked = self._asked(question, images)
        pieces = self.model.stream(self._read(asked), memory=self.memory, **options)

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
        shown = [{"type": kind, kind: image} for image in (*self.waiting, *_listed(images))]
        return {"role": "user", "content": [*shown, {"type": "text", "text": question}]}

    def _said(self, asked: dict[str, Any], answer: str) -> None:
        self.messages += [asked, {"role": "assistant", "content": answer}]
        self.waiting = []

    def _read(self, asked: dict[str, Any]) -> list[dict[str, Any]]:
        """The talk up to the question `asked`, with what the model sees of files in their place."""
        kind = "audio" if self.model.reader.hears else "image"

        def read(part: dict[str, Any]) -> dict[str, Any]:
            return {**part, kind: self._once(part[kind])} if kind in part else part

        talk = (*self.messages, asked)
        return [m if isinstance(m["content"], str) else {**m, "content": [*map(read, m["content"])]} for m in talk]

    def _once(self, source: Any) -> Any:
        """What the model sees of a file, which is read again only when it has changed; other sources as they are.

        Raises:
            MediaError: it cannot be read.
        """
        if not isinstance(source, str | Path):
            return source
        name, stamp = str(source), _stamp(source)
        if stamp is not None and name in self._known and self._known[name][0] == stamp:
            return self._known[name][1]
        seen = self.model.reader.read(source)
        if stamp is not None:
            self._known[name] = stamp, seen
        return seen


def _stamp(path: str | Path) -> tuple[int, ...] | None:
    """What is another after each change of a file; None where that is not certain: it was changed a moment ago."""
    try:
        found = Path(path).stat()
    except (OSError, ValueError):  # reading says it better
        return None
    if time.time_ns() - max(found.st_mtime_ns, found.st_ctime_ns) < SETTLED:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _listed(images: Any) -> list[Any]:
    return [] if isinstance(images, tuple) and not images else several_media(images)

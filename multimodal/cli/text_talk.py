"""A talk with a model that only reads: what `Conversation` is to one that sees, for `multimodal chat`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from multimodal.errors import ArgumentError

if TYPE_CHECKING:
    from multimodal.models.language_model import LanguageModel


class TextTalk:
    """Questions and answers in words; a question that fails leaves the talk as it was."""

    waiting: Sequence[Any] = ()  # images that the next question shows: never any

    def __init__(self, model: LanguageModel, *, system: str | None = None) -> None:
        self.model = model
        self.messages: list[dict[str, Any]] = [{"role": "system", "content": system}] if system is not None else []

    def show(self, images: Sequence[Any]) -> None:
        """Refuse images.

        Raises:
            ArgumentError: there are some.
        """
        if images:
            raise ArgumentError(
                f"{images[0]} cannot be shown to a {type(self.model).__name__}, which reads text only; leave it out, "
                "or give a VisionLanguageModel."
            )

    def ask(self, question: str, **options: Any) -> str:
        """The answer to the next question; arguments and errors as `LanguageModel.generate`."""
        asked = {"role": "user", "content": question}
        answer = self.model.generate([*self.messages, asked], **options)
        self._said(asked, answer)
        return answer

    def stream(self, question: str, **options: Any) -> Iterator[str]:
        """The same in pieces, as soon as they are certain."""
        asked = {"role": "user", "content": question}
        pieces = self.model.stream([*self.messages, asked], **options)

        def telling() -> Iterator[str]:
            said = ""
            try:
                for piece in pieces:
                    said += piece
                    yield piece
            finally:
                if said:
                    self._said(asked, said)

        return telling()

    def _said(self, asked: dict[str, Any], answer: str) -> None:
        self.messages += [asked, {"role": "assistant", "content": answer}]

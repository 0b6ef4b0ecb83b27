"""One text as it grows: where it ends, and which part of it is certain enough to be shown.

Axes: none; everything here is about one row, on the host
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from multimodal.errors import ArgumentError
from multimodal.generation.config import GenerationConfig
from multimodal.tokenizers.text import TextTokenizer

# "end": an end token came; "stop": a stop string; "length": `max_new_tokens` are there; "context": the model reads no
# more, though more tokens were asked for.
Finish = Literal["end", "stop", "length", "context"]


@dataclass(frozen=True, kw_only=True)
class Generated:
    """A finished continuation of a prompt."""

    ids: tuple[int, ...]  # the new ones; the end token is there if it came, and all tokens of a stop string
    logprobs: tuple[float, ...]  # of each, natural logarithms, under the rules, before temperature and cuts
    score: float  # their sum; in beam search divided by length ** length_penalty
    finish: Finish
    text: str | None  # what was generated, without stop string and special tokens; None: there was no tokenizer


class Step(NamedTuple):
    """One more token of one row."""

    row: int  # which prompt
    id: int
    logprob: float
    text: str  # what has become certain of the text: whole characters, and never a part of a stop string
    finish: Finish | None  # why this was the row's last token


class GrowingRow:
    """Takes the tokens of one row, and says what each adds to the text and whether it is the last.

    Args:
        row: the number that its steps carry.
        config: how many tokens, and what ends a row.
        free: for how many more tokens the model has room.
        tokenizer: without it steps have no text, and there can be no stop strings.
    """

    def __init__(self, row: int, config: GenerationConfig, free: int, tokenizer: TextTokenizer | None) -> None:
        self.row, self.config, self.ids = row, config, []
        self.room = min(config.max_new_tokens, free)
        self.limit: Finish = "length" if config.max_new_tokens <= free else "context"
        self._stream = tokenizer.decode_stream() if tokenizer is not None else None
        self._held = ""  # decoded, but perhaps the beginning of a stop string
        self.finish: Finish | None = None

    def take(self, id: int, logprob: float) -> Step:
        """The step that this token is."""
        self.ids.append(id)
        text = ""
        if id in self.config.end:
            self.finish, text = "end", self._rest()
        else:
            if self._stream is not None:
                text = self._certain(self._stream.push(id))
            if self.finish is None and len(self.ids) >= self.room:
                self.finish, text = self.limit, text + self._rest()
        return Step(self.row, id, logprob, text, self.finish)

    def _certain(self, piece: str) -> str:
        """What can be shown once `piece` has come; ends the row where that completes a stop string."""
        if not self.config.stop:
            return piece
        self._held += piece
        if (cut := first_stop(self._held, self.config.stop)) is not None:
            self.finish = "stop"
            text, self._held = self._held[:cut], ""
            return text
        safe = len(self._held) - _open(self._held, self.config.stop)
        text, self._held = self._held[:safe], self._held[safe:]
        return text

    def _rest(self) -> str:
        """All that was held back, as no token will follow."""
        if self._stream is None:
            return ""
        text = self._certain(self._stream.flush()) + self._held
        self._held = ""
        return text


def growing_rows(config: GenerationConfig, frees: Sequence[int], tokenizer: TextTokenizer | None) -> list[GrowingRow]:
    """A `GrowingRow` for each prompt, of which the model can read `frees` more tokens.

    Raises:
        ArgumentError: stop strings without a tokenizer, or a prompt that leaves no room for a token.
    """
    if config.stop and tokenizer is None:
        raise ArgumentError("Stop strings need the model's tokenizer to read what was generated; else use end ids.")
    for row, free in enumerate(frees):
        if free < 1:
            raise ArgumentError(
                f"Prompt {row + 1} of {len(frees)} fills all that the model reads and leaves no room for a new token. "
                "Shorten it, or let its beginning be cut off."
            )
    return [GrowingRow(row, config, free, tokenizer) for row, free in enumerate(frees)]


def first_stop(text: str, stops: Sequence[str]) -> int | None:
    """Where the first stop string in `text` begins; None: there is none."""
    found = [place for stop in stops if (place := text.find(stop)) >= 0]
    return min(found, default=None)


def _open(text: str, stops: Sequence[str]) -> int:
    """How many characters at the end of `text` could be the beginning of a stop string."""
    longest = min(len(text), max(map(len, stops)) - 1)
    return next((n for n in range(longest, 0, -1) if any(stop.startswith(text[-n:]) for stop in stops)), 0)

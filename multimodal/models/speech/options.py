"""How the text of a window of sound is found, and what was found.

Refs: Whisper arXiv:2212.04356 §4.5 · patience arXiv:2204.05424 · length penalty arXiv:1609.08144 §7
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypedDict, get_args

from multimodal.errors import ArgumentError, nearest
from multimodal.models.speech.tokens import Task

_MOST = 1000  # beams or samples of a window; more would fill the memory instead of being refused

Timestamps = Literal["segment", "word", "none"]


class TranscribeOptions(TypedDict, total=False):
    """How `SpeechRecognizer.transcribe` writes down what is said; defaults in `plan.py`."""

    language: (
        str | None
    )  # a code or an English name, "de" or "German"; None: each recording's own, as the model hears it
    task: str  # "transcribe", or "translate": into English
    timestamps: str  # "segment"; "word" gives each segment its words; "none": text alone, a segment for each window
    # Windows that go through the model at a time, each verified and, where it is suspect, decoded again; 1: one after
    # the other, each told the text before it, which is openai-whisper's way. None: 1 where all is one window, else 8.
    batch_size: int | None
    beams: int | None  # texts that are searched at a time, in place of the likeliest token each time
    condition: bool  # whether a window that is decoded after another is told its text
    prompt: str | None  # a text that the model takes for what was said before: names, spelling, style
    temperatures: float | Sequence[float]  # of the first and of further tries where a text looks wrong
    best_of: int | None  # texts that are drawn of a window at temperatures above 0, of which the likeliest counts
    logprob_threshold: float | None  # of a text's mean log-probability, below which it looks wrong; None: never
    compression_threshold: float | None  # of its compression ratio, above which it repeats itself; None: never
    no_speech_threshold: float | None  # of the probability of silence, above which a text that looks wrong is dropped
    seed: int | None  # of what is drawn, at temperatures above 0; None: another one each time


def check_choice(name: str, value: Any, choices: Sequence[str]) -> None:
    """Refuse a `value` of the option `name` that is none of `choices`.

    Raises:
        ArgumentError: it is none.
    """
    if value not in choices:
        close = nearest(str(value), choices)
        raise ArgumentError(f"{name} is {value!r}; it must be one of {', '.join(map(repr, choices))}.{close}")


@dataclass(frozen=True, kw_only=True)
class DecodingConfig:
    """What is asked for. Without `beams` and at temperature 0 it is greedy: the likeliest token each time."""

    task: Task | Any = "transcribe"  # "translate": into English
    language: str | None = None  # a code such as "en"; None: the likeliest, found for each window
    timestamps: bool = True  # whether the text says when
    temperature: float = 0.0  # above 0: tokens are drawn, from logits divided by it
    best_of: int | None = None  # texts that are drawn of each window, of which the likeliest counts; None: 1
    beams: int | None = None  # texts that are searched at a time, at temperature 0
    patience: float = 1.0  # a search ends when it has found this many times `beams` texts
    length_penalty: float | None = None  # the texts of a window compete by log-probability / ((5 + length) / 6) **
    # this; None: by log-probability / length
    max_new_tokens: int | None = None  # None: half of what the decoder reads
    suppress_blank: bool = True  # the text does not begin with a space alone, or with the end
    max_initial_timestamp: float | None = 1.0  # seconds; the latest that the text may begin; None: any
    seed: int | None = None  # of what is drawn for each window; None: another one each time, from torch's global one

    def __post_init__(self) -> None:
        if self.task not in get_args(Task):
            close = nearest(str(self.task), get_args(Task))
            raise ArgumentError(f"task is {self.task!r}; it must be 'transcribe' or 'translate'.{close}")
        _check("temperature", self.temperature, _number(self.temperature) and self.temperature >= 0, "at least 0")
        for name in ("best_of", "beams"):
            value = getattr(self, name)
            _check(name, value, value is None or _whole(value, _MOST), f"a whole number from 1 to {_MOST:,}, or None")
        if self.best_of is not None and self.temperature == 0:
            raise ArgumentError("best_of draws several texts, which are all the same at temperature 0; raise that.")
        if self.beams is not None and self.temperature > 0:
            raise ArgumentError("beams search for the likeliest text and draw nothing; set temperature to 0.")
        _check("patience", self.patience, _number(self.patience) and self.patience > 0, "above 0")
        if self.patience != 1.0 and (self.beams is None or round(self.beams * self.patience) < 1):
            raise ArgumentError(
                f"patience is {self.patience} and beams {self.beams}; a search ends after beams x patience texts, "
                "which must be at least 1."
            )
        penalty = self.length_penalty
        _check("length_penalty", penalty, penalty is None or (_number(penalty) and 0 <= penalty <= 1), "from 0 to 1")
        most = self.max_new_tokens
        _check("max_new_tokens", most, most is None or _whole(most, 10**9), "a whole number of at least 1, or None")
        latest = self.max_initial_timestamp
        _check("max_initial_timestamp", latest, latest is None or (_number(latest) and latest >= 0), "seconds, or None")
        _check("seed", self.seed, self.seed is None or type(self.seed) is int, "a whole number, or None")


@dataclass(frozen=True, kw_only=True)
class Decoded:
    """The text of a window."""

    ids: tuple[int, ...]  # timestamps included; the end token is not
    logprobs: tuple[float, ...]  # of each id, natural logarithms, under the rules, before the temperature
    text: str  # without timestamps and special tokens
    language: str  # its code
    avg_logprob: float  # of the ids and of the end token, where that came; divided by their number and one
    no_speech: float  # the probability that nobody speaks, by the model
    compression_ratio: float  # of the text's bytes to what zlib makes of them; high where it repeats itself
    temperature: float


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _whole(value: Any, most: int) -> bool:
    return type(value) is int and 1 <= value <= most


def _check(name: str, value: Any, right: bool, rule: str) -> None:
    if not right:
        raise ArgumentError(f"{name} is {value!r}; it must be {rule}.")

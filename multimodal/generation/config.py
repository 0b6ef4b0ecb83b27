"""What generation is asked for: how to choose each token, what is forbidden or forced, and when to stop.

Refs: top-p arXiv:1904.09751 · min-p arXiv:2407.01082 · repetition penalty arXiv:1909.05858 §4.1 · length penalty
arXiv:1609.08144 §7
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from multimodal.errors import ArgumentError


def _check(name: str, value: Any, right: bool, rule: str) -> None:
    if not right:
        raise ArgumentError(f"{name} is {value!r}; it must be {rule}.")


@dataclass(frozen=True, kw_only=True)
class SamplingConfig:
    """Tokens are drawn by their probability, after these cuts in this order."""

    temperature: float = 1.0  # logits are divided by it
    top_k: int | None = None  # only the k likeliest
    top_p: float | None = None  # only the fewest likeliest that together reach this probability
    min_p: float | None = None  # only those at least this many times as likely as the likeliest
    seed: int | None = None  # None: another one each time, from torch's global generator

    def __post_init__(self) -> None:
        # Not 0 for greedy, as some have it: greedy is `sampling=None`, and what is left out cannot be contradicted.
        _check("temperature", self.temperature, self.temperature > 0, "above 0; greedy is to sample not at all")
        _check("top_k", self.top_k, self.top_k is None or self.top_k >= 1, "at least 1")
        _check("top_p", self.top_p, self.top_p is None or 0 < self.top_p <= 1, "above 0 and at most 1")
        _check("min_p", self.min_p, self.min_p is None or 0 <= self.min_p <= 1, "between 0 and 1")


@dataclass(frozen=True, kw_only=True)
class BeamConfig:
    """The likeliest sequences are searched for, several kept at a time."""

    width: int = 4
    length_penalty: float = 1.0  # a hypothesis scores log-probability / length ** this
    # When to end a search that has found `width` hypotheses. True: at once. False: when no unfinished one would be
    # better if it ended now. "never": when none could become better, were all its further tokens certain.
    early_stopping: Literal[False, True, "never"] = False
    n_best: int = 1  # hypotheses that are returned for each prompt

    def __post_init__(self) -> None:
        _check("width", self.width, self.width >= 1, "at least 1")
        _check("n_best", self.n_best, 1 <= self.n_best <= self.width, f"between 1 and the width, {self.width}")


@dataclass(frozen=True, kw_only=True)
class RulesConfig:
    """What is forbidden or forced, whatever the model says; published checkpoints come with theirs.

    The prompt counts for the first two; in an encoder-decoder that is the target's beginning, not the source.
    """

    repetition_penalty: float = 1.0  # scores of tokens that were there: divided by it where positive, else multiplied
    no_repeat_ngram: int = 0  # no sequence of so many tokens comes twice; 0: any may
    min_new_tokens: int = 0  # before these no end token
    suppress: tuple[int, ...] = ()  # ids that never come
    suppress_first: tuple[int, ...] = ()  # ids that are never the first new token (Whisper)
    forced_first: int | None = None  # id of the first new token (BART)
    forced_last: int | None = None  # id of the last new token where room ends a row (BART, Marian)

    def __post_init__(self) -> None:
        _check("repetition_penalty", self.repetition_penalty, self.repetition_penalty > 0, "above 0; 1 does nothing")
        _check("no_repeat_ngram", self.no_repeat_ngram, self.no_repeat_ngram >= 0, "0, or a number of tokens")
        _check("min_new_tokens", self.min_new_tokens, self.min_new_tokens >= 0, "0, or a number of tokens")


@dataclass(frozen=True, kw_only=True)
class GenerationConfig:
    """How a model continues a prompt. Without `sampling` and `beams` it is greedy: the likeliest token each time."""

    max_new_tokens: int = 256
    end: tuple[int, ...] = ()  # ids that end a row
    stop: tuple[str, ...] = ()  # strings that end a row, and are cut off
    sampling: SamplingConfig | None = None
    beams: BeamConfig | None = None
    rules: RulesConfig = RulesConfig()

    def __post_init__(self) -> None:
        _check("max_new_tokens", self.max_new_tokens, self.max_new_tokens >= 1, "at least 1")
        _check("stop", self.stop, "" not in self.stop, "strings of at least one character")
        if self.sampling is not None and self.beams is not None:
            raise ArgumentError("sampling and beams exclude each other: beams search for the likeliest text; drop one.")

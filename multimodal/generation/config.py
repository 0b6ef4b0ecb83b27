"""What generation is asked for: how to choose each token, what is forbidden or forced, and when to stop.

Refs: top-p arXiv:1904.09751 · min-p arXiv:2407.01082 · repetition penalty arXiv:1909.05858 §4.1 · length penalty
arXiv:1609.08144 §7
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

from multimodal.errors import ArgumentError

_MOST_BEAMS = 1000  # each holds a row of the cache; more would fill the memory instead of being refused


def _check(name: str, value: Any, right: bool, rule: str) -> None:
    if not right:
        raise ArgumentError(f"{name} is {value!r}; it must be {rule}.")


def _whole(value: Any, least: int, most: int | None = None) -> bool:
    return type(value) is int and value >= least and (most is None or value <= most)


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


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
        rule = "above 0; greedy is to sample not at all"
        _check("temperature", self.temperature, _number(self.temperature) and self.temperature > 0, rule)
        top_k, top_p, min_p = self.top_k, self.top_p, self.min_p
        _check("top_k", top_k, top_k is None or _whole(top_k, 1), "a whole number of at least 1")
        _check("top_p", top_p, top_p is None or (_number(top_p) and 0 < top_p <= 1), "above 0 and at most 1")
        _check("min_p", min_p, min_p is None or (_number(min_p) and 0 <= min_p <= 1), "between 0 and 1")
        _check("seed", self.seed, self.seed is None or type(self.seed) is int, "a whole number")


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
        _check("the number of beams", self.width, _whole(self.width, 1, _MOST_BEAMS), f"from 1 to {_MOST_BEAMS:,}")
        _check(
            "n_best", self.n_best, _whole(self.n_best, 1, self.width), f"from 1 to the number of beams, {self.width}"
        )
        penalty = self.length_penalty  # lengths are raised to it
        _check("length_penalty", penalty, _number(penalty) and abs(penalty) <= 20, "a number from -20 to 20")


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
        penalty = self.repetition_penalty
        _check("repetition_penalty", penalty, _number(penalty) and penalty > 0, "above 0; 1 does nothing")
        _check("no_repeat_ngram", self.no_repeat_ngram, _whole(self.no_repeat_ngram, 0), "0, or a number of tokens")
        _check("min_new_tokens", self.min_new_tokens, _whole(self.min_new_tokens, 0), "0, or a number of tokens")


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
        _check("max_new_tokens", self.max_new_tokens, _whole(self.max_new_tokens, 1), "a whole number of at least 1")
        right = all(isinstance(text, str) and text for text in self.stop)
        _check("stop", self.stop, right, "strings of at least one character")
        if self.sampling is not None and self.beams is not None:
            raise ArgumentError("sampling and beams exclude each other: beams search for the likeliest text; drop one.")

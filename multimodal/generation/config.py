"""What generation is asked for: how to choose each token, what is forbidden or forced, and when to stop.

Refs: top-p arXiv:1904.09751 · min-p arXiv:2407.01082 · repetition penalty arXiv:1909.05858 §4.1 · length penalty
arXiv:1609.08144 §7
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class SamplingConfig:
    """Tokens are drawn by their probability, after these cuts in this order."""

    temperature: float = 1.0  # logits are divided by it
    top_k: int | None = None  # only the k likeliest
    top_p: float | None = None  # only the fewest likeliest that together reach this probability
    min_p: float | None = None  # only those at least this many times as likely as the likeliest
    seed: int | None = None  # None: torch's global generator


@dataclass(frozen=True, kw_only=True)
class BeamConfig:
    """The likeliest sequences are searched for, several kept at a time."""

    width: int = 4
    length_penalty: float = 1.0  # a hypothesis scores log-probability / length ** this
    early_stopping: bool = False  # end at `width` finished hypotheses, though better ones could still come
    n_best: int = 1  # hypotheses that are returned for each prompt


@dataclass(frozen=True, kw_only=True)
class RulesConfig:
    """What is forbidden or forced, whatever the model says; published checkpoints come with theirs."""

    repetition_penalty: float = 1.0  # logits of tokens that were there: divided by it where positive, else multiplied
    no_repeat_ngram: int = 0  # no sequence of so many tokens comes twice; 0: any may
    min_new_tokens: int = 0  # before these no end token
    suppress: tuple[int, ...] = ()  # ids that never come
    suppress_first: tuple[int, ...] = ()  # ids that are never the first new token (Whisper)
    forced_first: int | None = None  # id of the first new token (BART)
    forced_last: int | None = None  # id of the last new token, at `max_new_tokens` (BART, Marian)


@dataclass(frozen=True, kw_only=True)
class GenerationConfig:
    """How a model continues a prompt. Without `sampling` and `beams` it is greedy: the likeliest token each time."""

    max_new_tokens: int = 256
    end: tuple[int, ...] = ()  # ids that end a row
    stop: tuple[str, ...] = ()  # strings that end a row, and are cut off
    sampling: SamplingConfig | None = None
    beams: BeamConfig | None = None
    rules: RulesConfig = RulesConfig()

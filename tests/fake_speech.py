"""A recording whose windows are known, and a decoder that says what a test wants of each."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from tiny_speech import tiny_whisper

from multimodal.models.speech import batched, sequential
from multimodal.models.speech.decoding import compression_ratio
from multimodal.models.speech.options import Decoded

RATE = 16_000


def voice(seconds: float, *, loud: float = 0.3) -> np.ndarray:
    """Harmonics that swell and fade four times a second, as syllables do: (n,) at 16 kHz."""
    t = np.arange(round(seconds * RATE)) / RATE
    phase = 2 * np.pi * np.cumsum(120 + 30 * np.sin(2 * np.pi * 0.7 * t)) / RATE
    wave = sum(np.sin(k * phase) / k for k in range(1, 12))
    return (loud / 2 * wave * (0.55 - 0.45 * np.cos(2 * np.pi * 4 * t))).astype(np.float32)


def turns(number: int, *, speech: float = 20.0, pause: float = 12.0) -> np.ndarray:
    """`number` windows: each of `speech` seconds, with so long a pause that a window never holds two."""
    silence = np.zeros(round(pause * RATE), dtype=np.float32)
    return np.concatenate([part for _ in range(number) for part in (voice(speech), silence)])


def deaf_whisper(vocabulary: Any = "multilingual") -> Any:
    """A tiny recognizer with a real vocabulary whose encoder takes no time, and hears nothing."""
    model = tiny_whisper(vocabulary)
    model.encode = lambda mel: torch.zeros(len(mel), 2, 32)  # pyright: ignore
    return model


def said(
    model: Any,
    text: str,
    *,
    logprob: float = -0.1,
    no_speech: float = 0.0,
    temperature: float = 0.0,
    compression: float | None = None,
) -> Decoded:
    """What a decoder gives for a text with times, such as "<0.00> Hello.<2.50>"."""
    ids: list[int] = []
    for part in re.split(r"(<\d+\.\d\d>)", text):
        if re.fullmatch(r"<\d+\.\d\d>", part):
            ids.append(model.tokens.timestamp_begin + round(float(part[1:-1]) * 50))
        elif part:
            ids += model.tokenizer.encode(part, special=False).ids
    plain = re.sub(r"<\d+\.\d\d>", "", text).strip()
    return Decoded(
        ids=tuple(ids), logprobs=(logprob,) * len(ids), text=plain, language="en", avg_logprob=logprob,
        no_speech=no_speech, temperature=temperature,
        compression_ratio=compression_ratio(plain) if compression is None else compression,
    )  # fmt: skip


@dataclass
class Script:
    """Answers of a fake decoder, one for each window in its order, and what it was asked."""

    answers: list[Decoded]
    asked: list[tuple[Any, list[list[int]]]] = field(default_factory=list)  # config and prompts of each call

    def __call__(self, model: Any, context: Any, config: Any, *, prompts: Sequence[Sequence[int]]) -> list[Decoded]:
        self.asked.append((config, [list(prompt) for prompt in prompts]))
        return [self.answers.pop(0) for _ in range(len(context))]


def scripted(
    monkeypatch: Any, *, batch: Sequence[Decoded] = (), alone: Sequence[Decoded] = ()
) -> tuple[Script, Script]:
    """Decoders of batches, and of windows on their own, that give these answers."""
    scripts = Script(list(batch)), Script(list(alone))
    monkeypatch.setattr(batched, "decode", scripts[0])
    monkeypatch.setattr(sequential, "decode", scripts[1])
    return scripts


def hearing(monkeypatch: Any, odds: Callable[[int], dict[str, float]]) -> None:
    """Each window that is listened to sounds like `odds(number)`."""
    heard = [0]

    def detect(model: Any, context: Any) -> list[dict[str, float]]:
        rows = [dict.fromkeys(model.tokens.languages, 0.0) | odds(heard[0] + i) for i in range(len(context))]
        heard[0] += len(context)
        return rows

    monkeypatch.setattr(batched, "detect_language", detect)
    monkeypatch.setattr(sequential, "detect_language", detect)

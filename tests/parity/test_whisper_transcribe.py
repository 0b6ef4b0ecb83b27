"""Long recordings: the same segments as `whisper.transcribe`, of models of random weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tiny_speech import openai_twin, tiny_whisper

from multimodal.models.speech.options import DecodingConfig
from multimodal.models.speech.sequential import LongFormConfig, sequential
from multimodal.models.speech.transcription import transcribe
from multimodal.models.speech.windows import WholeWindows

whisper = pytest.importorskip("whisper")

RATE = 16_000


def recording(seconds: float, *, seed: int = 0) -> np.ndarray:
    """Tones, chirps and bursts of noise of other pitch and loudness every second or so."""
    rng = np.random.default_rng(seed)
    parts: list[np.ndarray] = []
    while sum(map(len, parts)) < seconds * RATE:
        t = np.arange(round(rng.uniform(0.3, 2.0) * RATE)) / RATE
        pitch = rng.uniform(80, 3000) + rng.uniform(-800, 800) * t
        wave = rng.uniform(0.02, 0.6) * np.sin(2 * np.pi * pitch * t)
        wave += rng.uniform(0, 0.1) * rng.standard_normal(len(t))
        parts.append(wave * np.hanning(len(t)) if rng.random() < 0.8 else 0.01 * wave)
    return np.concatenate(parts)[: round(seconds * RATE)].astype(np.float32)


def both(model: Any, wave: np.ndarray, *, words: bool = False, **options: Any) -> tuple[Any, dict[str, Any]]:
    """Our transcription and theirs, one window after the other and without draws."""
    ours = transcribe(
        model, wave, batch_size=1, temperatures=0.0, timestamps="word" if words else "segment", best_of=None, **options
    )
    names = {"condition": "condition_on_previous_text", "prompt": "initial_prompt", "beams": "beam_size"}
    theirs = {names.get(name, name): value for name, value in options.items()}
    return ours, whisper.transcribe(
        openai_twin(model), wave, temperature=0.0, word_timestamps=words, fp16=False, **theirs
    )


def same(ours: Any, theirs: dict[str, Any]) -> None:
    """Equal but for segments without text, which openai-whisper empties and keeps."""
    expected = [segment for segment in theirs["segments"] if segment["text"].strip()]
    assert ours.language == theirs["language"] and ours.text == theirs["text"].strip()
    assert len(ours.segments) == len(expected)
    for mine, other in zip(ours.segments, expected, strict=True):
        assert list(mine.ids) == other["tokens"] and mine.text == other["text"].strip()
        assert (mine.start, mine.end) == pytest.approx((other["start"], other["end"]), abs=1e-6)
        figures = (mine.avg_logprob, mine.no_speech, mine.compression_ratio, mine.temperature)
        names = ("avg_logprob", "no_speech_prob", "compression_ratio", "temperature")
        assert figures == pytest.approx([other[name] for name in names], abs=1e-3)
        words = other.get("words", [])
        assert [word.text for word in mine.words] == [word["word"] for word in words]
        for word, expected_word in zip(mine.words, words, strict=True):
            assert (word.start, word.end) == pytest.approx((expected_word["start"], expected_word["end"]), abs=1e-6)
            assert word.probability == pytest.approx(expected_word["probability"], abs=1e-4)


def small(seed: int) -> Any:
    """A model that writes up to 48 tokens a window."""
    return tiny_whisper(seed=seed, length=96)


def test_segments():
    ours, theirs = both(small(0), recording(70))
    same(ours, theirs)
    assert len(ours.segments) >= 3 and any(segment.start > 35 for segment in ours.segments)


def test_words(monkeypatch):
    for name in ("dtw_cpu", "backtrace"):  # compiling them takes longer than they run
        monkeypatch.setattr(f"whisper.timing.{name}", getattr(whisper.timing, name).py_func)
    ours, theirs = both(small(2), recording(70, seed=2), words=True)
    same(ours, theirs)
    assert sum(len(segment.words) for segment in ours.segments) > 5


def test_a_prompt_and_windows_that_are_not_told_the_text_before():
    options = {"prompt": "Names: Ada, Grace.", "condition": False, "language": "de", "task": "translate"}
    same(*both(small(2), recording(45, seed=2), **options))


def test_windows_without_speech_are_skipped():
    model, wave = small(4), recording(75, seed=4)
    every = whisper.transcribe(openai_twin(model), wave, temperature=0.0, fp16=False, language="en")["segments"]
    values = sorted({segment["no_speech_prob"] for segment in every})
    threshold = (values[0] + values[-1]) / 2
    assert values[0] < threshold < values[-1], "some windows are above it, some below"
    config = LongFormConfig(
        decoding=DecodingConfig(language="en"), temperatures=(0.0,), no_speech=threshold, logprob=None
    )
    steps = sequential(model, WholeWindows(model, wave), config)
    theirs = whisper.transcribe(
        openai_twin(model), wave, temperature=0.0, fp16=False, language="en", no_speech_threshold=threshold,
        logprob_threshold=None,
    )["segments"]  # fmt: skip
    expected = [tuple(segment["tokens"]) for segment in theirs if segment["text"].strip()]
    assert [segment.ids for step in steps for segment in step.segments] == expected
    assert 0 < len(theirs) < len(every)

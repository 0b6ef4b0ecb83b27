"""Small recordings for tests of speech data."""

from __future__ import annotations

import json
import wave
from pathlib import Path

import numpy as np


def tone(seconds: float, hertz: float = 440.0, *, rate: int = 16_000, loud: float = 0.5) -> np.ndarray:
    """A tone that stays."""
    return loud * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)


def write_wave(path: Path, sound: np.ndarray, *, rate: int = 16_000) -> Path:
    """`sound` (n,), or (n, c), as a 16-bit WAV file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1 if sound.ndim == 1 else sound.shape[1])
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(np.round(np.clip(sound, -1, 1) * 32767).astype("<i2").tobytes())
    return path


def write_table(path: Path, rows: list[dict]) -> Path:
    """`rows` as JSON Lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return path

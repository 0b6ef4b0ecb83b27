"""Sounds and files of them, for the tests of reading."""

from __future__ import annotations

import io
import wave

import numpy as np
import pytest
import soundfile

from multimodal.media import MediaError, read_audio


def tone(*, seconds: float = 1.0, rate: int = 16_000, hertz: float = 440.0) -> np.ndarray:
    """A sine at 0.3 of full scale, with a little noise: float32 (n,)."""
    time = np.arange(round(seconds * rate)) / rate
    noise = np.random.default_rng(0).standard_normal(len(time))
    return (0.3 * np.sin(2 * np.pi * hertz * time) + 0.01 * noise).astype(np.float32)


def pcm(samples: np.ndarray, rate: int = 16_000) -> bytes:
    """A 16-bit WAV file of `samples` (n,) or (n, c), written by the standard library."""
    channels = 1 if samples.ndim == 1 else samples.shape[1]
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(channels)
        out.setsampwidth(2)
        out.setframerate(rate)
        out.writeframes(np.rint(samples * 32767).astype("<i2").tobytes())
    return file.getvalue()


def encoded(samples: np.ndarray, form: str, *, rate: int = 16_000, subtype: str | None = None) -> bytes:
    """A file of one of libsndfile's formats."""
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=form, subtype=subtype)
    return file.getvalue()


def plain(data: bytes) -> np.ndarray:
    """What a 16-bit WAV file holds, its channels averaged: read by the standard library."""
    with wave.open(io.BytesIO(data)) as file:
        values = np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, file.getnchannels())
    return (values.astype(np.float64) / 32768).mean(axis=1)


def refused(source) -> str:
    """The one sentence with which `read_audio` refuses `source`."""
    with pytest.raises(MediaError) as caught:
        read_audio(source)
    message = str(caught.value)
    assert "\n" not in message and message.endswith((".", "'"))
    return message

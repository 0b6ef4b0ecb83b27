"""The spectrogram of a recording from any moment on, as much as the model reads at once.

Whisper's features are relative to the loudest moment of the clip that they are computed from. openai-whisper takes the
whole file for that clip. So do `WholeWindows`, for recordings of up to `WHOLE` seconds; in longer ones, which are not
held in memory, `StreamedWindows` take each window for itself, as the model was trained.

Axes: n samples · m mel channels · t frames of 10 ms
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeAlias

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor
from torch.nn import functional as F

from multimodal.models.speech.activity import ActivityConfig, band_power
from multimodal.tokenizers.audio_features import HOP, SAMPLE_RATE

WHOLE = 15 * 60.0  # seconds; about 600 MB while the features are computed, 60 MB after


def window_frames(model: Any) -> int:
    """How many frames a `SpeechRecognizer` reads at once: Whisper 3,000."""
    return 2 * model.config.encoder.stem.positions


def window_features(model: Any, waves: list[np.ndarray]) -> Float[Tensor, "b m t"]:
    """The features of waves (n,) that each fit a window, with silence behind, on the model's device."""
    samples = window_frames(model) * HOP
    padded = np.stack([np.pad(wave, (0, samples - len(wave))) for wave in waves])
    weight = next(model.parameters())
    return model.features(torch.from_numpy(padded).to(weight.device)).to(weight.dtype)


class WholeWindows:
    """Windows of a recording that is in memory: `wave` (n,)."""

    def __init__(self, model: Any, wave: Float32[np.ndarray, " n"]) -> None:
        self.size, self.wave = window_frames(model), wave
        self.seconds = len(wave) / SAMPLE_RATE
        self.frames = len(wave) // HOP
        weight = next(model.parameters())
        padded = np.pad(wave, (0, self.size * HOP))[None]
        self.mel: Tensor = model.features(torch.from_numpy(padded).to(weight.device)).to(weight.dtype)

    def at(self, frame: int) -> tuple[Float[Tensor, "1 m t"], int] | None:
        """The window from `frame` on and how many of its frames are of the recording; None: it is over by then."""
        count = min(self.size, self.frames - frame)
        if count <= 0:
            return None
        mel = self.mel[:, :, frame : frame + count]
        return F.pad(mel, (0, self.size - count)), count

    def silent(self, frame: int) -> bool:
        """Whether there is no sound at all in the window from `frame` on."""
        return is_silent(self.wave[frame * HOP : (frame + self.size) * HOP])


class StreamedWindows:
    """Windows of a recording that comes in `pieces` (n,); they may be asked for in rising order only."""

    def __init__(self, model: Any, pieces: Iterable[np.ndarray]) -> None:
        self.model, self.size = model, window_frames(model)
        self._pieces = iter(pieces)
        self._wave, self._start = np.zeros(0, dtype=np.float32), 0  # what is held, and its first frame
        self._samples = 0  # how many were read so far

    @property
    def seconds(self) -> float:
        """How much was read so far."""
        return self._samples / SAMPLE_RATE

    def at(self, frame: int) -> tuple[Float[Tensor, "1 m t"], int] | None:
        """As of `WholeWindows`."""
        wave = self._read(frame)
        count = len(wave) // HOP
        if not count:
            return None
        mel = window_features(self.model, [wave])
        return F.pad(mel[:, :, :count], (0, self.size - count)), count

    def silent(self, frame: int) -> bool:
        """As of `WholeWindows`."""
        return is_silent(self._read(frame))

    def _read(self, frame: int) -> np.ndarray:
        """The samples of the window from `frame` on, fewer at the end; what is before them is forgotten."""
        end = (frame + self.size - self._start) * HOP
        held = [self._wave]
        missing = end - len(self._wave)
        while missing > 0 and (piece := next(self._pieces, None)) is not None:
            held.append(piece)
            missing -= len(piece)
            self._samples += len(piece)
        wave = np.concatenate(held)
        self._wave, self._start = wave[(frame - self._start) * HOP :], frame
        return self._wave[: self.size * HOP]


Windows: TypeAlias = WholeWindows | StreamedWindows


def is_silent(wave: Float32[np.ndarray, " n"]) -> bool:
    """Whether nothing in `wave` is louder than the faintest noise of a recording."""
    quietest = 10 ** (ActivityConfig().quietest / 10)
    return not len(wave) or bool(band_power(wave).max() <= quietest)

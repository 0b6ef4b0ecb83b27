"""From a recording to the spectrogram that a model was trained on: features, cut or filled up to a length, normalised.

One `AudioTransformConfig` lives in the model folder where an `ImageTransformConfig` does for pictures: what it gives is
a picture of one channel, low frequencies first, and goes through the same patches and batches. Equal to transformers'
ASTFeatureExtractor with Kaldi's features. Decoding is in `media`, the features in `audio_features.py`, random changes
in `data/sounds`.

Axes: n samples · m mel channels · t frames
Refs: AST arXiv:2104.01778 §2.1
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from multimodal.errors import ArgumentError
from multimodal.media import AudioSource, MediaError, read_audio
from multimodal.tokenizers.audio_features import (
    FRAMES_PER_SECOND,
    HOP,
    SAMPLE_RATE,
    WINDOW,
    AudioFeaturesConfig,
    FbankConfig,
    LogMelConfig,
)


@dataclass(frozen=True, kw_only=True)
class AudioTransformConfig:
    """What `AudioTransform` does to a recording; a plain part of a model's config. The defaults are AST's."""

    features: AudioFeaturesConfig = FbankConfig(mels=128, window="hanning")
    seconds: float = 10.24  # that the model hears: the first ones of what is longer; what is shorter is filled up
    mean: float = -4.2677393  # of the features (AudioSet's)
    std: float = 4.5689974  # features are divided by twice as much

    def __post_init__(self):
        if not (math.isfinite(self.seconds) and self.frames >= 1):
            raise ArgumentError(f"seconds is {self.seconds}; it must be at least {1 / FRAMES_PER_SECOND} (one frame).")
        if not (math.isfinite(self.std) and self.std > 0 and math.isfinite(self.mean)):
            raise ArgumentError(f"mean is {self.mean} and std {self.std}; they must be numbers, and std above 0.")

    @property
    def frames(self) -> int:
        """t: how many frames there are in `seconds`, one for each 10 ms."""
        return round(self.seconds * FRAMES_PER_SECOND)

    @property
    def size(self) -> tuple[int, int]:
        """(m, t): height and width of the spectrogram as a picture."""
        return self.features.mels, self.frames

    def build(self) -> AudioTransform:
        """The transform; it can be sent to other processes."""
        return AudioTransform(self)


class AudioTransform:
    """Recordings to a model's input (`read`)."""

    def __init__(self, config: AudioTransformConfig):
        self.config = config
        self.features = config.features.build()

    def __repr__(self) -> str:
        return f"AudioTransform({self.config})"

    def read(self, source: AudioSource) -> Float[Tensor, "1 m t"]:
        """The spectrogram of a path, the bytes of a file, a file object, an array (at 16 kHz) or (array, its rate).

        Raises:
            MediaError: not a readable recording.
        """
        heard = ((self.config.frames - 1) * HOP + WINDOW) / SAMPLE_RATE  # seconds
        return self.fit(self.spectrogram(read_audio(source, rate=SAMPLE_RATE, longest=heard)))

    def spectrogram(self, wave: np.ndarray) -> Float[Tensor, "m t"]:
        """The features (m, t) of samples (n,), as many frames as they give.

        Whisper's are relative to the loudest frame, so there what is shorter than `seconds` is filled up before.
        """
        samples = torch.from_numpy(np.ascontiguousarray(wave, dtype=np.float32))
        if isinstance(self.config.features, LogMelConfig):
            samples = F.pad(samples, (0, max(0, self.config.frames * HOP - len(samples))))
        return self.features(samples[None])[0]

    def fit(self, mel: Float[Tensor, "m t"], *, start: int = 0) -> Float[Tensor, "1 m u"]:
        """Normalised, with as many frames as the model hears: zeros behind what is shorter, the rest cut off.

        Args:
            mel: what `spectrogram` gave.
            start: the frame where it begins in the result; below 0, as many frames are left out at its front.
        """
        mel = F.pad(mel[:, max(0, -start) :], (max(0, start), 0))
        mel = F.pad(mel, (0, max(0, self.config.frames - mel.shape[1])))[:, : self.config.frames]
        return ((mel - self.config.mean) / (2 * self.config.std))[None]

    def normalize(self, x: Float[Tensor, "*b m t"], dtype: torch.dtype = torch.float32) -> Float[Tensor, "*b m t"]:
        """`x` in `dtype`: what `read` gives is normalised already."""
        return x.to(dtype)

    def picture(self, x: Float[Tensor, "1 m t"]) -> Image.Image:
        """What `read` gave as a picture in grey, t pixels wide and m high, high frequencies at the top."""
        low, high = x.min(), x.max()
        grey = ((x[0] - low) / (high - low).clamp(min=1e-6) * 255).round().to(torch.uint8)
        return Image.fromarray(grey.flip(0).cpu().numpy()).convert("RGB")


def several_clips(clips: Any) -> Iterable[Any]:
    """One recording or many, as many.

    Raises:
        MediaError: neither a recording nor several.
    """
    with_rate = isinstance(clips, tuple) and len(clips) == 2 and isinstance(clips[1], Integral)
    if isinstance(clips, str | Path | bytes) or hasattr(clips, "read") or with_rate:
        return [clips]
    if getattr(clips, "ndim", None) in (1, 2):
        return [clips]
    if not isinstance(clips, Iterable):
        raise MediaError(f"{type(clips).__name__} is not a recording: give a path or an array of samples, or several.")
    return clips

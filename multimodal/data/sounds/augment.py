"""Random changes of clips that become spectrograms of one length: the waveform's, then tempo and place.

Every clip's changes follow from a seed that the loader derives from (run seed, epoch, clip), as those of images. What
is hidden in spectrograms, and mixtures of two, are made on batches (`tasks/spec_augment.py`, `tasks/mixing.py`).

Axes: n samples · m mel channels · t frames
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from multimodal.data.speech.augment import WaveAugmentConfig
from multimodal.data.text.noise import noise_generator
from multimodal.errors import ArgumentError
from multimodal.media import read_audio
from multimodal.tokenizers.audio_features import HOP, SAMPLE_RATE, LogMelConfig
from multimodal.tokenizers.audio_transform import AudioTransformConfig
from multimodal.tokenizers.transforms import AnyTransformConfig

_READ = 4  # times the length that the model hears: what is read of a longer recording, of which a part is drawn


@dataclass(frozen=True, kw_only=True)
class SoundAugmentConfig:
    """How training clips are changed; all zeros and a speed of 1 leave what the model hears at prediction."""

    wave: WaveAugmentConfig = WaveAugmentConfig(speeds=(0.9, 0.95, 1.0, 1.05, 1.1), gain=(-6.0, 6.0))
    tempo: float = 0.0  # how much slower or faster at most, the pitch kept: 0.2 is from 0.8 to 1.2
    shift: float = 1.0  # part of the time that is left over, in which a clip may begin; of a longer clip, any part

    def __post_init__(self) -> None:
        if not 0 <= self.tempo < 1:
            raise ArgumentError(f"tempo is {self.tempo}; it is a part of 1, from 0 to below 1.")
        if not 0 <= self.shift <= 1:
            raise ArgumentError(f"shift is {self.shift}; it is a part, from 0 to 1.")

    def build(self, transform: AnyTransformConfig) -> SoundAugment:
        """A `SoundAugment` that gives what `transform` gives.

        Raises:
            ArgumentError: `transform` is of images.
            DataError: as `WaveAugmentConfig.build`.
        """
        if not isinstance(transform, AudioTransformConfig):
            raise ArgumentError("SoundAugmentConfig takes models of sound, and this one is a model of images.")
        return SoundAugment(self, transform)


class SoundAugment:
    """The bytes of a recording and a seed to the spectrogram that a model is trained on."""

    def __init__(self, config: SoundAugmentConfig, transform: AudioTransformConfig) -> None:
        self.config, self.plain = config, transform.build()
        self.wave = config.wave.build(SAMPLE_RATE)

    def read(self, data: bytes, *, seed: int) -> Float[Tensor, "1 m t"]:
        """The changed spectrogram; equal for an equal `seed`.

        Raises:
            MediaError: not a readable recording.
        """
        transform = self.plain.config
        draw = noise_generator(seed, 0, 1)
        wave = read_audio(data, rate=SAMPLE_RATE, longest=_READ * transform.seconds)
        wave = self.wave(wave, seed=(seed, 0, 0))
        start = draw.random() * self.config.shift
        if isinstance(transform.features, LogMelConfig):  # which are relative to the whole: silence goes in front
            room = transform.frames * HOP - len(wave)
            wave = np.pad(wave, (max(0, round(start * room)), 0))
        mel = self.plain.spectrogram(wave)
        if self.config.tempo:
            faster = 1 + draw.uniform(-self.config.tempo, self.config.tempo)
            size = max(1, round(mel.shape[1] / faster))
            mel = F.interpolate(mel[None], size=size, mode="linear", align_corners=False)[0]
        return self.plain.fit(mel, start=round(start * (transform.frames - mel.shape[1])))

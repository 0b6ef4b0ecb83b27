"""Random changes of the sound of training clips: speed, loudness, noise. What is masked in spectrograms is not here.

Each follows from (seed, epoch, index), so that a run can be repeated and gone on with.

Refs: speed perturbation: Ko et al., "Audio augmentation for speech recognition", Interspeech 2015
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float32
from numpy.random import Generator

from multimodal.data.text.noise import noise_generator
from multimodal.errors import ArgumentError, DataError
from multimodal.media import MediaError, find_audio, read_audio

Wave = Float32[np.ndarray, "_"]  # any number of samples: that of a changed one differs
NOISE_SECONDS = 30.0  # read of a noise file at most


@dataclass(frozen=True, kw_only=True)
class WaveAugmentConfig:
    """How clips are changed; the default is the speed alone, as is usual for training from nothing."""

    speeds: tuple[float, ...] = (0.9, 1.0, 1.1)  # one is drawn; the pitch changes with it
    gain: tuple[float, float] = (0.0, 0.0)  # dB, from the first to the second
    noise: float = 0.0  # how often noise is added, 0 to 1
    snr: tuple[float, float] = (10.0, 30.0)  # dB, speech over noise
    colours: tuple[Literal["white", "pink"], ...] = ("white", "pink")  # of made noise; one is drawn
    noise_folder: str | None = None  # recordings of noise, used instead of made noise

    def __post_init__(self) -> None:
        if not self.speeds or not all(0.5 <= speed <= 2 for speed in self.speeds):
            raise ArgumentError(f"speeds is {self.speeds}; it must name speeds from 0.5 to 2 (1: as recorded).")
        for name in ("gain", "snr"):
            low, high = getattr(self, name)
            if low > high:
                raise ArgumentError(f"{name} is {low} to {high} dB; the lower one comes first.")
        if not 0 <= self.noise <= 1:
            raise ArgumentError(f"noise is {self.noise}; it is a probability, from 0 to 1.")
        if not self.colours or not set(self.colours) <= {"white", "pink"}:
            raise ArgumentError(f"colours is {self.colours}; it must name 'white', 'pink' or both.")

    def build(self, rate: int) -> WaveAugment:
        """The changes of waveforms of `rate` samples a second.

        Raises:
            DataError: there is no noise in `noise_folder`.
        """
        return WaveAugment(self, rate)


class WaveAugment:
    """Changes waveforms; see `WaveAugmentConfig`."""

    def __init__(self, config: WaveAugmentConfig, rate: int) -> None:
        self.config, self.rate = config, rate
        self.noises: list[str] = []
        if config.noise_folder is not None and config.noise:
            try:
                self.noises = [str(path) for path in find_audio(config.noise_folder)]
            except MediaError as error:
                raise DataError(f"noise_folder: {error}") from None
            if not self.noises:
                raise DataError(f"noise_folder {config.noise_folder} holds no recordings; give one that does, or None.")

    def __call__(self, wave: Wave, *, seed: tuple[int, int, int], longest: float | None = None) -> Wave:
        """The changed waveform, of another length where the speed changes; loud peaks are not cut off.

        Args:
            wave: what was recorded.
            seed: (run, epoch, index).
            longest: seconds; a clip that would become longer keeps its speed.

        Raises:
            MediaError: a noise file cannot be read.
        """
        config, generator = self.config, noise_generator(*seed)
        speed, loud = generator.choice(config.speeds), generator.uniform(*config.gain)
        noisy, snr = generator.random() < config.noise, generator.uniform(*config.snr)
        fits = speed > 1 or longest is None or len(wave) / speed <= longest * self.rate
        if speed != 1 and fits:
            wave = change_speed(wave, float(speed))
        if noisy:
            wave = add_noise(wave, self._noise(len(wave), generator), float(snr))
        return wave * np.float32(10 ** (loud / 20)) if loud else wave

    def _noise(self, length: int, generator: Generator) -> Wave:
        """`length` samples of noise, of any loudness."""
        if not self.noises:
            return made_noise(length, str(generator.choice(self.config.colours)), generator)
        path = self.noises[int(generator.integers(len(self.noises)))]
        noise = np.asarray(read_audio(path, rate=self.rate, longest=NOISE_SECONDS))
        start = int(generator.integers(len(noise)))
        return np.resize(np.roll(noise, -start), length)  # a short one begins again


def change_speed(wave: Wave, speed: float) -> Wave:
    """`wave` played `speed` times as fast, by resampling: pitch and formants change with it."""
    import soxr

    return np.asarray(soxr.resample(wave, speed, 1.0), dtype=np.float32)


def made_noise(length: int, colour: str, generator: Generator) -> Wave:
    """White noise (as much power in each hertz) or pink noise (as much in each octave)."""
    white = generator.standard_normal(length)
    if colour == "white" or length < 2:
        return white.astype(np.float32)
    spectrum = np.fft.rfft(white)
    spectrum /= np.sqrt(np.maximum(np.arange(len(spectrum)), 1))
    return np.fft.irfft(spectrum, length).astype(np.float32)


def add_noise(wave: Wave, noise: Wave, snr: float) -> Wave:
    """`wave` with `noise` so loud that the power of the wave is `snr` dB above it; silence stays as it is."""
    power, other = float(np.mean(wave.astype(np.float64) ** 2)), float(np.mean(noise.astype(np.float64) ** 2))
    if not power or not other:
        return wave
    return wave + noise * np.float32((power / other / 10 ** (snr / 10)) ** 0.5)

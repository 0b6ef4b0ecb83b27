"""Sound to mel spectrograms: Whisper's logarithms (`LogMel`) and Kaldi's filterbanks (`Fbank`).

What a spectrogram becomes next is in `audio.py`; reading files is `media`'s business. Both need waveforms at
`SAMPLE_RATE`, and tell how many frames a number of samples gives.

Axes: b batch · n samples · m mel channels · t frames · f frequencies · k samples of a frame
Refs: Whisper arXiv:2212.04356 §2.2 · Slaney's mel scale: Auditory Toolbox, Interval Research 1998-010 · Kaldi's
filterbanks https://kaldi-asr.org/doc/feat.html
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from multimodal.errors import ArgumentError

SAMPLE_RATE = 16_000  # samples a second
HOP = 160  # samples from one frame to the next: 10 ms
FRAMES_PER_SECOND = SAMPLE_RATE // HOP  # 100
WINDOW = 400  # samples that a frame looks at: 25 ms


def _check_mels(mels: int) -> None:
    if not 1 <= mels <= WINDOW // 2:
        raise ArgumentError(f"mels is {mels}; it must be from 1 to {WINDOW // 2} channels (80 and 128 are usual).")


@dataclass(frozen=True, kw_only=True)
class LogMelConfig:
    """Whisper's features: base-10 logarithms, clamped to 8 below the loudest of the clip, moved to about -1 to 1."""

    mels: int = 80  # m; 128 from large-v3 on

    def __post_init__(self) -> None:
        _check_mels(self.mels)

    def build(self) -> LogMel:
        """A `LogMel`."""
        return LogMel(self)


@dataclass(frozen=True, kw_only=True)
class FbankConfig:
    """Kaldi's filterbank features: natural logarithms of the energy in each mel channel."""

    mels: int = 80  # m; AST takes 128
    low: float = 20.0  # Hz, where the lowest channel begins
    high: float = SAMPLE_RATE / 2  # Hz, where the highest ends
    window: Literal["povey", "hanning"] = "povey"  # AST takes "hanning"
    preemphasis: float = 0.97

    def __post_init__(self) -> None:
        _check_mels(self.mels)
        if not 0 <= self.low < self.high <= SAMPLE_RATE / 2:
            raise ArgumentError(f"low is {self.low} and high {self.high} Hz; 0 <= low < high <= {SAMPLE_RATE / 2:g}.")

    def build(self) -> Fbank:
        """An `Fbank`."""
        return Fbank(self)


AudioFeaturesConfig: TypeAlias = LogMelConfig | FbankConfig


class LogMel(nn.Module):
    """Waveforms to Whisper's log-mel spectrograms, a frame every 10 ms; silence is one constant."""

    filters: Tensor
    window: Tensor

    def __init__(self, config: LogMelConfig) -> None:
        super().__init__()
        self.config, self.mels = config, config.mels
        self.register_buffer("filters", slaney_filters(config.mels), persistent=False)  # m f
        self.register_buffer("window", torch.hann_window(WINDOW), persistent=False)

    def frames(self, samples: int) -> int:
        """How many frames that many samples give."""
        return samples // HOP

    def forward(self, wave: Float[Tensor, "b n"]) -> Float[Tensor, "b m t"]:
        """Features in float32; a clip that is shorter than a window is filled up with silence.

        Each is relative to the loudest frame of its own row, so a row must hold all that is one recording: pad what is
        shorter than the model's window with zeros before, not after.
        """
        wave = F.pad(wave.float(), (0, max(0, WINDOW - wave.shape[1])))
        with torch.autocast(wave.device.type, enabled=False):
            spectrum = torch.stft(wave, WINDOW, HOP, window=self.window, return_complex=True)  # b f t
            power = spectrum[..., :-1].abs() ** 2
            logarithm = (self.filters @ power).clamp(min=1e-10).log10()
        loudest = logarithm.amax(dim=(1, 2), keepdim=True)
        return (torch.maximum(logarithm, loudest - 8.0) + 4.0) / 4.0


class Fbank(nn.Module):
    """Waveforms to Kaldi's log filterbanks; a frame every 10 ms, each whole within the clip (`snip_edges`)."""

    filters: Tensor
    window: Tensor

    SIZE = 512  # of the Fourier transform: the next power of two from 400

    def __init__(self, config: FbankConfig) -> None:
        super().__init__()
        self.config, self.mels = config, config.mels
        window = torch.hann_window(WINDOW, periodic=False, dtype=torch.float64)
        window = window**0.85 if config.window == "povey" else window
        self.register_buffer("window", window.float(), persistent=False)
        self.register_buffer(
            "filters", kaldi_filters(config.mels, config.low, config.high, self.SIZE), persistent=False
        )

    def frames(self, samples: int) -> int:
        """How many frames that many samples give, one at least."""
        return 1 + max(0, samples - WINDOW) // HOP

    def forward(self, wave: Float[Tensor, "b n"]) -> Float[Tensor, "b m t"]:
        """Features in float32; a clip that is shorter than a frame is filled up with silence.

        No frame depends on samples behind its end, so padding at the right of a row changes no real frame.
        """
        wave = F.pad(wave.float(), (0, max(0, WINDOW - wave.shape[1])))
        with torch.autocast(wave.device.type, enabled=False):
            frames = wave.unfold(1, WINDOW, HOP)  # b t k
            frames = frames - frames.mean(-1, keepdim=True)
            before = F.pad(frames, (1, 0), mode="replicate")[..., :-1]
            frames = (frames - self.config.preemphasis * before) * self.window
            power = torch.fft.rfft(frames, n=self.SIZE).abs() ** 2  # b t f
            energy = power @ self.filters.T
            return energy.clamp(min=torch.finfo(torch.float32).eps).log().transpose(1, 2)


def frame_keep(features: LogMel | Fbank, samples: Int[Tensor, " b"], frames: int) -> Bool[Tensor, "b t"]:
    """Which of `frames` frames are real, where row b has `samples[b]` samples and padding behind."""
    counts = torch.tensor([features.frames(n) for n in samples.tolist()], device=samples.device)
    return torch.arange(frames, device=samples.device) < counts[:, None]


def standardized(
    mel: Float[Tensor, "b m t"], keep: Bool[Tensor, "b t"] | None = None, *, eps: float = 1e-5
) -> Float[Tensor, "b m t"]:
    """Each channel with mean 0 and deviation 1 over the real frames of its clip; 0 at padding."""
    if keep is None:
        keep = torch.ones(mel.shape[0], mel.shape[2], dtype=torch.bool, device=mel.device)
    real = keep[:, None]
    count = real.sum(-1, keepdim=True)
    mean = mel.masked_fill(~real, 0.0).sum(-1, keepdim=True) / count
    centred = (mel - mean).masked_fill(~real, 0.0)
    return centred / ((centred**2).sum(-1, keepdim=True) / count + eps).sqrt()


def slaney_filters(mels: int) -> Float[Tensor, "m f"]:
    """Triangles of equal area over the frequencies of a 400-sample transform, from 0 to 8 kHz on Slaney's mel scale."""
    top = 15.0 + 27.0 * math.log(8.0) / math.log(6.4)  # 8 kHz: linear to 1 kHz (15 mel), then 27 mel a factor of 6.4
    places = np.linspace(0.0, top, mels + 2)
    edges = np.where(places < 15.0, places * 200.0 / 3.0, 1000.0 * np.exp((places - 15.0) * math.log(6.4) / 27.0))  # Hz
    frequencies = np.linspace(0.0, SAMPLE_RATE / 2, WINDOW // 2 + 1)
    filters = _triangles(edges, frequencies) * (2.0 / (edges[2:] - edges[:-2]))[:, None]
    return torch.from_numpy(filters).float()


def kaldi_filters(mels: int, low: float, high: float, size: int) -> Float[Tensor, "m f"]:
    """Triangles of height 1 over the frequencies of a `size`-sample transform, straight on the mel scale."""
    edges = np.linspace(_kaldi_mel(low), _kaldi_mel(high), mels + 2)
    places = _kaldi_mel(np.arange(size // 2) * SAMPLE_RATE / size)
    filters = _triangles(edges, places)
    return torch.from_numpy(np.pad(filters, ((0, 0), (0, 1)))).float()  # Kaldi leaves out the Nyquist frequency


def _kaldi_mel(frequency: Any) -> Any:
    return 1127.0 * np.log(1.0 + np.asarray(frequency) / 700.0)


def _triangles(edges: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Row i rises from 0 at `edges[i]` to 1 at `edges[i + 1]` and falls to 0 at `edges[i + 2]`."""
    left, peak, right = (edges[i : len(edges) - 2 + i, None] for i in range(3))
    rising, falling = (places - left) / (peak - left), (right - places) / (right - peak)
    return np.maximum(0.0, np.minimum(rising, falling))

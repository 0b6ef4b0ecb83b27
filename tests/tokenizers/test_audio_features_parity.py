"""Whisper's spectrograms equal those of openai-whisper and transformers."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from multimodal.tokenizers.audio_features import SAMPLE_RATE, LogMelConfig

SECONDS = 2.3


def chirp(seconds: float = SECONDS, *, noise: float = 0.01, seed: int = 0) -> torch.Tensor:
    """A rising tone that fades in, with some noise (n)."""
    t = torch.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    tone = 0.6 * (t / seconds) * torch.sin(2 * math.pi * (100 * t + 1500 * t**2))
    return tone + noise * torch.randn(len(t), generator=torch.Generator().manual_seed(seed))


WAVES = {
    "a chirp": chirp(),
    "noise": 0.3 * torch.randn(30_001, generator=torch.Generator().manual_seed(1)),
    "silence": torch.zeros(16_000),
    "silence after a click": torch.cat([torch.ones(3), torch.zeros(20_000)]),
    "very quiet": 1e-4 * chirp(),
    "30 seconds": torch.cat([chirp(5.0), torch.zeros(25 * SAMPLE_RATE)]),
}


@pytest.mark.parametrize("mels", [80, 128])
@pytest.mark.parametrize("wave", WAVES.values(), ids=WAVES.keys())
def test_log_mel_equals_openai(wave: torch.Tensor, mels: int) -> None:
    audio = pytest.importorskip("whisper.audio")
    ours, theirs = LogMelConfig(mels=mels).build()(wave[None])[0], audio.log_mel_spectrogram(wave, n_mels=mels)
    assert ours.shape == theirs.shape
    assert (ours - theirs).abs().max() < 1e-5


@pytest.mark.parametrize("mels", [80, 128])
@pytest.mark.parametrize("wave", WAVES.values(), ids=WAVES.keys())
def test_log_mel_equals_transformers(wave: torch.Tensor, mels: int) -> None:
    extractor = pytest.importorskip("transformers").WhisperFeatureExtractor(feature_size=mels)
    given = torch.nn.functional.pad(wave, (0, 30 * SAMPLE_RATE - len(wave)))
    theirs = torch.as_tensor(np.asarray(extractor(wave.numpy(), sampling_rate=SAMPLE_RATE).input_features))[0]
    ours = LogMelConfig(mels=mels).build()(given[None])[0]
    assert ours.shape == theirs.shape == (mels, 3000)
    assert (ours - theirs).abs().max() < 1e-5


def test_each_row_of_a_batch_is_what_it_is_alone() -> None:
    features = LogMelConfig().build()
    waves = torch.stack([chirp(), 1e-3 * chirp(seed=2)])
    together = features(waves)
    for wave, found in zip(waves, together, strict=True):
        assert (features(wave[None])[0] - found).abs().max() < 1e-5

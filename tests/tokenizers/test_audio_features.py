"""Spectrograms against their definitions, written out for one frame; what Kaldi and torchaudio compute."""

import math

import numpy as np
import pytest
import torch

from multimodal.errors import ArgumentError
from multimodal.tokenizers.audio_features import (
    HOP,
    SAMPLE_RATE,
    WINDOW,
    FbankConfig,
    LogMelConfig,
    frame_keep,
    standardized,
)

WAVE = 0.1 * torch.randn(2, SAMPLE_RATE, generator=torch.Generator().manual_seed(0))


def fourier_power(frame, size):
    n = np.arange(len(frame))
    waves = np.exp(-2j * math.pi * np.outer(np.arange(size // 2 + 1), n) / size)
    return np.abs(waves @ frame) ** 2


def test_a_frame_of_whisper_written_out():
    features = LogMelConfig(mels=80).build()
    frame, power = 37, None
    wave = WAVE[0].double().numpy()
    for t in range(SAMPLE_RATE // HOP):
        centre = t * HOP
        places = np.abs(np.arange(centre - WINDOW // 2, centre + WINDOW // 2))  # reflected at the beginning
        places = np.where(places >= len(wave), 2 * (len(wave) - 1) - places, places)  # and at the end
        hann = 0.5 - 0.5 * np.cos(2 * math.pi * np.arange(WINDOW) / WINDOW)
        spectrum = fourier_power(wave[places] * hann, WINDOW)
        power = spectrum[None] if power is None else np.concatenate([power, spectrum[None]])

    def hertz(mel):
        return mel * 200 / 3 if mel < 15 else 1000 * 6.4 ** ((mel - 15) / 27)

    top = 15 + 27 * math.log(8) / math.log(6.4)
    edges = [hertz(top * i / 81) for i in range(82)]
    energy = np.zeros((len(power), 80))
    for channel in range(80):
        left, peak, right = edges[channel : channel + 3]
        for f in range(201):
            x = f * 40.0
            weight = max(0.0, min((x - left) / (peak - left), (right - x) / (right - peak)))
            energy[:, channel] += 2 / (right - left) * weight * power[:, f]
    logarithm = np.log10(np.maximum(energy, 1e-10))
    expected = (np.maximum(logarithm, logarithm.max() - 8) + 4) / 4
    found = features(WAVE[:1])[0]
    assert found.shape == (80, 100) == (80, features.frames(SAMPLE_RATE))
    np.testing.assert_allclose(found[:, frame], expected[frame], atol=1e-5)
    np.testing.assert_allclose(found.T, expected, atol=1e-4)


def test_a_frame_of_kaldi_written_out():
    features = FbankConfig(mels=23).build()
    frame = WAVE[0, 5 * HOP : 5 * HOP + WINDOW].double().numpy()
    frame = frame - frame.mean()
    frame = frame - 0.97 * np.concatenate([frame[:1], frame[:-1]])
    frame = frame * (0.5 - 0.5 * np.cos(2 * math.pi * np.arange(WINDOW) / (WINDOW - 1))) ** 0.85
    power = fourier_power(frame, 512)

    def mel(hertz):
        return 1127 * math.log(1 + hertz / 700)

    edges = np.linspace(mel(20), mel(8000), 25)
    expected = []
    for left, peak, right in zip(edges, edges[1:], edges[2:], strict=False):
        places = np.array([mel(f * SAMPLE_RATE / 512) for f in range(256)])
        weights = np.clip(np.minimum((places - left) / (peak - left), (right - places) / (right - peak)), 0, None)
        expected.append(math.log((weights * power[:256]).sum()))
    np.testing.assert_allclose(features(WAVE[:1])[0, :, 5], expected, atol=2e-4)


@pytest.mark.parametrize(
    ("config", "options"),
    [
        (FbankConfig(), {"num_mel_bins": 80}),
        (FbankConfig(mels=128, window="hanning"), {"num_mel_bins": 128, "window_type": "hanning"}),
        (FbankConfig(mels=40, low=60.0, high=7600.0), {"num_mel_bins": 40, "low_freq": 60.0, "high_freq": 7600.0}),
    ],
)
def test_equal_to_the_filterbanks_of_torchaudio(config, options):
    from torchaudio.compliance.kaldi import fbank

    found = config.build()(WAVE)
    for row, wave in zip(found, WAVE, strict=True):
        expected = fbank(wave[None], sample_frequency=SAMPLE_RATE, dither=0.0, **options)
        assert expected.shape == row.T.shape
        # Energies, not logarithms: float32 is coarse where hardly any energy is.
        torch.testing.assert_close(row.T.exp(), expected.exp(), rtol=1e-3, atol=1e-5)
        assert (row.T - expected).abs().mean() < 1e-5


def test_frames_are_whole_and_padding_changes_none():
    features = FbankConfig().build()
    for samples in (1, 400, 559, 560, 7000):
        assert features(WAVE[:, :samples]).shape[2] == features.frames(samples)
    padded = torch.cat([WAVE[:1, :7000], torch.ones(1, 3000)], dim=1)
    count = features.frames(7000)
    torch.testing.assert_close(features(padded)[:, :, :count], features(WAVE[:1, :7000]))
    keep = frame_keep(features, torch.tensor([10_000, 7000]), features.frames(10_000))
    assert keep.sum(1).tolist() == [features.frames(10_000), count]


@pytest.mark.parametrize("config", [LogMelConfig(), FbankConfig()])
@pytest.mark.parametrize("samples", [1, 160, 399])
def test_clips_shorter_than_a_window_and_silence_have_finite_features(config, samples):
    assert torch.isfinite(config.build()(torch.zeros(1, samples))).all()
    assert torch.isfinite(config.build()(WAVE[:, :samples])).all()


def test_standardized_channels_have_mean_0_and_deviation_1_over_real_frames():
    mel = 5 + 3 * torch.randn(2, 4, 50, generator=torch.Generator().manual_seed(3))
    keep = torch.arange(50) < torch.tensor([50, 20])[:, None]
    found = standardized(mel, keep)
    torch.testing.assert_close(found[1, :, :20].mean(-1), torch.zeros(4), atol=1e-5, rtol=0)
    torch.testing.assert_close(found[1, :, :20].std(-1, correction=0), torch.ones(4), atol=1e-4, rtol=0)
    assert not found[1, :, 20:].any()
    torch.testing.assert_close(found[1:, :, :20], standardized(mel[1:, :, :20]))


def test_wrong_settings_are_refused():
    with pytest.raises(ArgumentError, match="mels is 0"):
        LogMelConfig(mels=0)
    with pytest.raises(ArgumentError, match=r"low is 500\.0 and high 400"):
        FbankConfig(low=500.0, high=400.0)

"""Recordings to spectrograms of one length, against the rule written out and against transformers."""

from __future__ import annotations

import io
import pickle

import numpy as np
import pytest
import soundfile
import torch
from tiny_sounds import tone

from multimodal.errors import ArgumentError
from multimodal.media import MediaError
from multimodal.tokenizers.audio_features import FbankConfig, LogMelConfig
from multimodal.tokenizers.audio_transform import AudioTransformConfig, several_clips

CONFIG = AudioTransformConfig(features=FbankConfig(mels=20), seconds=0.5, mean=-3.0, std=2.0)


def wave(samples: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.1, samples).astype(np.float32)


def by_hand(samples: np.ndarray) -> torch.Tensor:
    """Features, then 50 frames of them with zeros behind, then (x - mean) / (2 std)."""
    mel = CONFIG.features.build()(torch.from_numpy(samples)[None])[0]
    rows = torch.zeros(20, 50)
    rows[:, : min(50, mel.shape[1])] = mel[:, :50]
    return (rows[None] + 3.0) / 4.0


@pytest.mark.parametrize("samples", [1, 399, 400, 5000, 8240, 8241, 30_000])
def test_features_are_cut_or_filled_up_with_zeros_and_normalised(samples):
    found = CONFIG.build().read(wave(samples))
    assert found.shape == (1, *CONFIG.size) == (1, 20, 50) and found.dtype == torch.float32
    torch.testing.assert_close(found, by_hand(wave(samples)))


@pytest.mark.parametrize("samples", [500, 8000, 20_000])
def test_equal_to_the_extractor_of_transformers(samples):
    transformers = pytest.importorskip("transformers")
    theirs = transformers.ASTFeatureExtractor(max_length=128, mean=-6.845978, std=5.5654526)
    expected = theirs(wave(samples), sampling_rate=16_000, return_tensors="pt").input_values.transpose(1, 2)
    transform = AudioTransformConfig(seconds=1.28, mean=-6.845978, std=5.5654526).build()
    torch.testing.assert_close(transform.read(wave(samples)), expected, atol=1e-4, rtol=0)


def test_whisper_hears_silence_behind_a_short_clip():
    config = AudioTransformConfig(features=LogMelConfig(mels=20), seconds=0.5, mean=0.0, std=0.5)
    silent = np.concatenate([wave(3000), np.zeros(5000, np.float32)])
    expected = config.features.build()(torch.from_numpy(silent)[None])
    torch.testing.assert_close(config.build().read(wave(3000)), expected)


def test_any_source_rate_and_number_of_channels(tmp_path):
    transform, sound = CONFIG.build(), tone(440, 0.3)
    soundfile.write(tmp_path / "a.wav", sound, 16_000, subtype="FLOAT")
    expected = transform.read(sound)
    data = (tmp_path / "a.wav").read_bytes()
    for source in (tmp_path / "a.wav", str(tmp_path / "a.wav"), data, io.BytesIO(data), np.stack([sound, sound], 1)):
        torch.testing.assert_close(transform.read(source), expected, atol=1e-5, rtol=0)
    slow = transform.read((tone(440, 0.3, rate=8000), 8000))
    assert (slow[:, :8] - expected[:, :8]).abs().max() < 0.1, "the same tone, below half of the lower rate"


def test_a_long_file_is_read_as_far_as_it_is_heard(tmp_path):
    sound = wave(48_000)
    whole = CONFIG.build().read(sound)
    soundfile.write(tmp_path / "long.wav", sound, 16_000, subtype="FLOAT")
    assert torch.equal(CONFIG.build().read(tmp_path / "long.wav"), whole)


@pytest.mark.parametrize("start", [-7, 0, 5, 40])
def test_a_clip_may_be_moved(start):
    transform = CONFIG.build()
    mel = transform.spectrogram(wave(5000))  # 29 frames
    rows = torch.zeros(20, 200)
    rows[:, 100 + start : 129 + start] = mel
    torch.testing.assert_close(transform.fit(mel, start=start), (rows[None, :, 100:150] + 3.0) / 4.0)


def test_a_picture_has_high_frequencies_at_the_top():
    transform = CONFIG.build()
    low, high = (np.asarray(transform.picture(transform.read(tone(f, 0.6))).convert("L")) for f in (200, 6000))
    assert low.shape == (20, 50)
    assert low.mean(1).argmax() > 14 and high.mean(1).argmax() < 6


def test_it_casts_and_travels():
    transform = pickle.loads(pickle.dumps(CONFIG.build()))
    x = transform.read(wave(4000))
    assert torch.equal(x, CONFIG.build().read(wave(4000)))
    assert torch.equal(transform.normalize(x), x) and transform.normalize(x, torch.bfloat16).dtype == torch.bfloat16


@pytest.mark.parametrize(("fields", "rule"), [({"seconds": 0.001}, "at least 0.01"), ({"std": 0.0}, "std above 0")])
def test_fields_out_of_range(fields, rule):
    with pytest.raises(ArgumentError, match=rule):
        AudioTransformConfig(**fields)


def test_what_is_no_sound_is_refused(tmp_path):
    (tmp_path / "page.wav").write_text("<html>")
    for source in (tmp_path / "page.wav", tmp_path / "none.wav", np.zeros(0, np.float32), np.full(99, np.nan)):
        with pytest.raises(MediaError):
            CONFIG.build().read(source)


def test_one_clip_or_many():
    sound = wave(100)
    for one in ("a.wav", b"RIFF", io.BytesIO(), sound, np.zeros((100, 2)), (sound, 8000)):
        assert list(several_clips(one)) == [one] or next(iter(several_clips(one))) is one
    assert list(several_clips(["a.wav", "b.wav"])) == ["a.wav", "b.wav"]
    assert len(list(several_clips((sound, sound)))) == 2
    with pytest.raises(MediaError, match="int is not a recording"):
        several_clips(3)

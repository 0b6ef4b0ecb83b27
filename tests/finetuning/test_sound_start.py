"""Where training on sound starts: fresh models, and published ones whose positions are cut or resized."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny_models import vit
from tiny_sounds import classifier
from torch.nn import functional as F

from multimodal.checkpoint import save
from multimodal.data.sounds.measure import mean_and_deviation
from multimodal.data.speech.tones import write_tones
from multimodal.errors import ArgumentError, DataError
from multimodal.finetuning.sound_start import (
    FreshClapConfig,
    HearingConfig,
    cut_or_resized,
    fresh_ast,
    fresh_clap,
    published_ast,
)
from multimodal.hub import export_transformers
from multimodal.presets.dual import Stack
from multimodal.presets.sound import Spectrograms, ast
from multimodal.tokenizers.audio_features import FbankConfig
from multimodal.tokenizers.audio_transform import AudioTransformConfig

HEARING = HearingConfig(seconds=0.5, mels=24, high=4000.0, mean=-7.0, std=4.0)
SIZE = Spectrograms(dim=16, depth=2, heads=2, patch=(8, 8), stride=(8, 4))


def test_the_published_size_has_1212_patches():
    encoder = ast(AudioTransformConfig())
    assert encoder.tokenizer.grid == (12, 101) and encoder.tokenizer.prefix == 2


def test_a_fresh_ast_hears_what_it_shall_and_can_be_exported():
    model = fresh_ast(("a", "b"), HEARING, SIZE, drop_path=0.1)
    assert model.transform.config.size == (24, 50) and model.config.encoder.tokenizer.grid == (3, 11)
    assert model.transform.config.features == FbankConfig(mels=24, high=4000.0, window="hanning")
    config, state = export_transformers(model)
    assert config["model_type"] == "audio-spectrogram-transformer" and "classifier.dense.weight" in state
    assert model(torch.zeros(2, 1, 24, 50)).shape == (2, 2)


@pytest.mark.parametrize("new", [(3, 11), (3, 5), (3, 4), (2, 11), (3, 20), (5, 6)])
def test_positions_are_cut_in_the_middle_or_interpolated(new):
    """As AST's own code does for each axis."""
    vectors = torch.randn(33, 4)
    grid = vectors.T.reshape(1, 4, 3, 11)
    h, w = new
    if w <= 11:
        grid = grid[:, :, :, 11 // 2 - w // 2 : 11 // 2 - w // 2 + w]
    else:
        grid = F.interpolate(grid, size=(3, w), mode="bilinear")
    if h <= 3:
        grid = grid[:, :, 3 // 2 - h // 2 : 3 // 2 - h // 2 + h]
    else:
        grid = F.interpolate(grid, size=(h, w), mode="bilinear")
    torch.testing.assert_close(cut_or_resized(vectors, (3, 11), new), grid[0].flatten(1).T)


def test_a_published_ast_for_other_classes_and_lengths(tmp_path):
    published = classifier()
    save(published, tmp_path / "model")
    same = published_ast(str(tmp_path / "model"), ("x", "y"))
    mel = torch.randn(2, 1, 24, 50)
    torch.testing.assert_close(same.eval().features(mel), published.features(mel))
    assert same.labels == ("x", "y") and same(mel).shape == (2, 2)
    longer = published_ast(str(tmp_path / "model"), ("x", "y"), seconds=0.8)
    assert longer.transform.config == replace(published.transform.config, seconds=0.8)
    grid = longer.config.encoder.tokenizer.grid
    expected = cut_or_resized(
        published.encoder.tokenizer.position.weight, published.config.encoder.tokenizer.grid, grid
    )
    assert torch.equal(longer.encoder.tokenizer.position.weight, expected)
    assert longer(torch.randn(1, 1, 24, 80)).shape == (1, 2)


def test_a_model_of_images_is_no_start(tmp_path):
    save(vit(), tmp_path / "vit")
    with pytest.raises(ArgumentError, match="must be a classifier of sound"):
        published_ast(str(tmp_path / "vit"), ("x", "y"))


def test_fresh_clap_embeds_both():
    fresh = FreshClapConfig(
        hearing=HEARING, audio=SIZE, text=Stack(dim=16, depth=1, heads=2), dim=8, length=10, vocabulary=60
    )
    model = fresh_clap(["a dog barks", "it rains", "a dog and rain"], fresh).eval()
    assert model.hears and model.caption_length == 10
    sound = np.random.default_rng(0).normal(0, 0.1, 4000).astype(np.float32)
    assert model.embed_audio(sound).shape == (1, 8) and model.embed_texts("a dog").shape == (1, 8)


def test_mean_and_deviation_of_features(tmp_path):
    root = write_tones(tmp_path / "tones", train=12, val=2, test=0, words=(1, 1))
    mean, deviation = mean_and_deviation(root / "manifest.jsonl", mels=24)
    transform = AudioTransformConfig(features=FbankConfig(mels=24, window="hanning")).build()
    from multimodal.media import read_audio

    rows = [transform.spectrogram(read_audio(path)) for path in sorted((root / "wav").glob("train*.wav"))]
    values = torch.cat([mel.flatten() for mel in rows])
    assert mean == pytest.approx(float(values.mean()), abs=1e-3)
    assert deviation == pytest.approx(float(values.std()), abs=1e-2)
    with pytest.raises(DataError):
        mean_and_deviation(tmp_path / "nowhere")

"""AST of transformers here: the same spectrograms and logits through folders, and back again bit for bit."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from folders import change_config, exported, load, random_model, rewrite
from torch import Tensor

from multimodal.errors import ArgumentError, DataError
from multimodal.hub import save_transformers
from multimodal.models.classifier import Classifier, LinearHeadConfig
from multimodal.tokenizers.audio_features import LogMelConfig
from multimodal.tokenizers.audio_transform import AudioTransformConfig

transformers = pytest.importorskip("transformers")
Equal = Callable[[Tensor, Tensor], None]
SIZES: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 48,
    "num_mel_bins": 40,
    "max_length": 61,
    "patch_size": 16,
    "layer_norm_eps": 1e-3,
    "id2label": {0: "dog", 1: "rain", 2: "clock"},
    "label2id": {"dog": 0, "rain": 1, "clock": 2},
}
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "overlapping patches": ("ASTForAudioClassification", {}),
    "without biases, another activation": ("ASTForAudioClassification", {"qkv_bias": False, "hidden_act": "relu"}),
    "patches side by side": ("ASTForAudioClassification", {"patch_size": 8, "frequency_stride": 8, "time_stride": 8}),
    "several labels": ("ASTForAudioClassification", {"problem_type": "multi_label_classification"}),
    "without classes": ("ASTModel", {"time_stride": 5}),
}


def wave(samples: int) -> np.ndarray:
    return np.random.default_rng(samples).normal(0, 0.1, samples).astype(np.float32)


def folder_of(name: str, folder: Path, **extractor: Any) -> Any:
    """Their model, and all of its files in `folder`."""
    kind, sizes = CASES[name]
    theirs = random_model(getattr(transformers, kind), transformers.ASTConfig(**{**SIZES, **sizes}))
    theirs.save_pretrained(folder)
    settings = {"num_mel_bins": 40, "max_length": 61, "mean": -6.5, "std": 3.5, **extractor}
    transformers.ASTFeatureExtractor(**settings).save_pretrained(folder)
    return theirs


def answer(theirs: Any, values: Tensor) -> Tensor:
    found = theirs(input_values=values)
    return found.logits if hasattr(found, "logits") else found.pooler_output


@pytest.mark.parametrize("name", CASES)
@torch.no_grad()
def test_equal_logits_there_and_back(name: str, tmp_path: Path, equal: Equal) -> None:
    theirs = folder_of(name, tmp_path / "read")
    ours: Classifier = load(tmp_path / "read")
    assert ours.labels == (() if name == "without classes" else ("dog", "rain", "clock"))
    assert ours.config.output == ("sigmoid" if name == "several labels" else "softmax")
    mel = torch.randn(3, 1, 40, 61, generator=torch.Generator().manual_seed(1))
    for model in (theirs, exported(ours, theirs, tmp_path)):
        equal(ours(mel), answer(model, mel[:, 0].transpose(1, 2)))
    again: Classifier = load(tmp_path / "back")
    assert again.config == ours.config and again.labels == ours.labels


@pytest.mark.parametrize("samples", [600, 5000, 9760, 40_000])
@torch.no_grad()
def test_sound_becomes_the_same_spectrogram_and_answer(samples: int, tmp_path: Path, equal: Equal) -> None:
    theirs = folder_of("overlapping patches", tmp_path)
    ours: Classifier = load(tmp_path)
    extractor = transformers.AutoFeatureExtractor.from_pretrained(tmp_path)
    values = extractor(wave(samples), sampling_rate=16_000, return_tensors="pt").input_values
    torch.testing.assert_close(ours.transform.read(wave(samples)), values.transpose(1, 2), atol=1e-4, rtol=0)
    found = ours.predict(wave(samples), top=3)[0]
    expected = answer(theirs, values)[0].softmax(-1).sort(descending=True)
    assert found.labels == tuple(("dog", "rain", "clock")[i] for i in expected.indices)
    assert found.probabilities == pytest.approx(expected.values.tolist(), abs=1e-4)


@torch.no_grad()
def test_clips_of_another_length_have_resized_positions(tmp_path: Path) -> None:
    folder_of("overlapping patches", tmp_path)
    ours: Classifier = load(tmp_path)
    assert ours(torch.randn(2, 1, 40, 90)).shape == ours(torch.randn(2, 1, 40, 33)).shape == (2, 3)


def test_the_preprocessing_travels(tmp_path: Path) -> None:
    folder_of("overlapping patches", tmp_path / "read")
    ours: Classifier = load(tmp_path / "read")
    transform = ours.transform.config
    assert isinstance(transform, AudioTransformConfig)
    assert (transform.mean, transform.std, transform.seconds) == (-6.5, 3.5, 0.61)
    save_transformers(ours, tmp_path / "back")
    theirs = transformers.AutoFeatureExtractor.from_pretrained(tmp_path / "back")
    assert type(theirs).__name__ == "ASTFeatureExtractor" and (theirs.mean, theirs.max_length) == (-6.5, 61)


def test_no_normalisation_is_read(tmp_path: Path) -> None:
    folder_of("overlapping patches", tmp_path, do_normalize=False)
    ours: Classifier = load(tmp_path)
    values = transformers.AutoFeatureExtractor.from_pretrained(tmp_path)(wave(5000), sampling_rate=16_000)
    expected = torch.tensor(np.array(values.input_values)).transpose(1, 2)
    torch.testing.assert_close(ours.transform.read(wave(5000)), expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("fields", "rule"),
    [
        ({"patch_size": 0}, "patch_size is 0; it must be a whole number from 1, or two of them"),
        ({"patch_size": [64, 16]}, "must fit into the 40 mel channels"),
        ({"problem_type": "regression"}, "only classification"),
        ({"id2label": {"1": "a"}}, "it must name each class"),
        ({"architectures": ["ASTForMoths"]}, "ASTForAudioClassification, ASTModel"),
        ({"time_stride": "ten"}, "time_stride is 'ten'"),
        ({"max_length": 71}, "max_length is 61; only 71 can be done here"),
    ],
)
def test_configs_that_cannot_be_read(fields: dict[str, Any], rule: str, tmp_path: Path) -> None:
    folder_of("overlapping patches", tmp_path)
    change_config(tmp_path, **fields)
    with pytest.raises(DataError) as caught:
        load(tmp_path)
    assert rule in str(caught.value)


@pytest.mark.parametrize(("field", "value"), [("sampling_rate", 8000), ("std", 0.0), ("padding_value", 1.0)])
def test_preprocessing_that_cannot_be_done(field: str, value: float, tmp_path: Path) -> None:
    folder_of("overlapping patches", tmp_path)
    path = tmp_path / "preprocessor_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), field: value}))
    with pytest.raises(DataError, match=field):
        load(tmp_path)


def test_a_tensor_that_no_row_covers_is_named(tmp_path: Path) -> None:
    folder_of("overlapping patches", tmp_path)
    rewrite(tmp_path, more={"surplus.weight": torch.zeros(2)})
    with pytest.raises(DataError, match=r"surplus\.weight"):
        load(tmp_path)


def test_what_transformers_has_no_name_for(tmp_path: Path) -> None:
    folder_of("overlapping patches", tmp_path)
    ours: Classifier = load(tmp_path)
    pooled = replace(ours.config, encoder=replace(ours.config.encoder, norm=None)).build(ours.labels)
    with pytest.raises(ArgumentError, match="no model like this Classifier"):
        save_transformers(pooled, tmp_path / "out")
    other = replace(ours.config, transform=AudioTransformConfig(features=LogMelConfig(mels=40), seconds=0.61))
    with pytest.raises(ArgumentError, match="LogMelConfig"):
        save_transformers(other.build(ours.labels), tmp_path / "out")
    trained = replace(ours.config, head=LinearHeadConfig(dropout=0.1)).build(ours.labels)
    save_transformers(trained, tmp_path / "out")
    assert load(tmp_path / "out").labels == ours.labels

"""Whisper's sizes have the published numbers of parameters, and those of openai-whisper's and transformers' models."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from multimodal.checkpoint.fit import EmptyParameters
from multimodal.errors import ArgumentError
from multimodal.hub.transformers_whisper import write
from multimodal.presets import WHISPER_SIZES, whisper
from multimodal.weights.whisper import WHISPER

PUBLISHED = {  # millions: Whisper's Table 1, its model card, and that of each distilled model
    "tiny": 39,
    "tiny.en": 39,
    "base": 74,
    "base.en": 74,
    "small": 244,
    "small.en": 244,
    "medium": 769,
    "medium.en": 769,
    "large": 1550,
    "large-v2": 1550,
    "large-v3": 1550,
    "large-v3-turbo": 809,
    "distil-small.en": 166,
    "distil-medium.en": 394,
    "distil-large-v2": 756,
    "distil-large-v3": 756,
}


def empty(size: str) -> Any:
    with EmptyParameters():
        return whisper(size).build()


@pytest.mark.parametrize("size", WHISPER_SIZES)
def test_published_numbers_of_parameters(size: str) -> None:
    model = empty(size)
    count = sum(parameter.numel() for parameter in model.parameters()) + model.encoder.stem.positions.numel()
    assert count / 1e6 == pytest.approx(PUBLISHED[size], rel=0.035)  # tiny's 39 are 37.8; from small on within 1%
    if PUBLISHED[size] > 100:
        assert count / 1e6 == pytest.approx(PUBLISHED[size], rel=0.01)


@pytest.mark.parametrize("size", ["tiny", "base.en", "large-v3-turbo"])
def test_the_tensors_are_those_of_transformers(size: str) -> None:
    transformers = pytest.importorskip("transformers")
    with torch.device("meta"):
        theirs = transformers.WhisperForConditionalGeneration(
            transformers.WhisperConfig(**(write(whisper(size)) or {}))
        )
    ours = {name: tensor.to("meta") for name, tensor in empty(size).state_dict().items()}
    found = {name: tensor.shape for name, tensor in WHISPER.export(ours).items()}
    assert found == {name: tensor.shape for name, tensor in theirs.state_dict().items()}


def test_names_and_numbers_of_ones_own() -> None:
    small = replace(WHISPER_SIZES["tiny"], dim=32, heads=2, depth=1, decoder_depth=1, vocabulary=50)
    model = whisper(small, dropout=0.1).build().eval()
    assert model(torch.randn(1, 80, 3000), torch.tensor([[1, 2, 3]])).shape == (1, 3, 50)
    with pytest.raises(ArgumentError, match=r"size is 'larg'.*Did you mean 'large'"):
        whisper("larg")

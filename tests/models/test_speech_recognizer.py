"""Whisper on the shared backbone: equal logits with openai-whisper and transformers, cache, beams, what is refused."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tiny_speech import clips, openai_twin, tiny_whisper, transformers_twin

from multimodal.models.speech_recognizer import SpeechRecognizer

SHORT: dict[str, Any] = {"positions": 50}  # one second


def ids_for(model: SpeechRecognizer, t: int = 9) -> torch.Tensor:
    return torch.randint(model.config.embedding.vocabulary, (2, t), generator=torch.Generator().manual_seed(1))


def scale_of_difference(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    assert ours.shape == theirs.shape
    return float((ours - theirs).abs().max() / theirs.abs().max())


CASES = [
    ("multilingual", {}),
    ("v3", {"mels": 128, "depth": 3, "decoder_depth": 2}),
    ("en", {"dim": 24, "heads": 2}),
]


@torch.no_grad()
@pytest.mark.parametrize(("vocabulary", "sizes"), CASES)
def test_logits_equal_openai(vocabulary: Any, sizes: dict[str, Any]) -> None:
    model = tiny_whisper(vocabulary, **sizes)
    mel, ids = clips(mels=model.features.mels), ids_for(model)
    assert scale_of_difference(model(mel, ids), openai_twin(model)(mel, ids)) < 1e-5


@torch.no_grad()
@pytest.mark.parametrize(("vocabulary", "sizes"), CASES)
def test_logits_equal_transformers(vocabulary: Any, sizes: dict[str, Any]) -> None:
    model = tiny_whisper(vocabulary, **sizes, **SHORT)
    mel, ids = clips(mels=model.features.mels, frames=100), ids_for(model)
    theirs = transformers_twin(model)(input_features=mel, decoder_input_ids=ids).logits
    assert scale_of_difference(model(mel, ids), theirs) < 1e-5

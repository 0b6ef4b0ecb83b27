"""Whisper of transformers through folders: equal logits there and back, tokenizers, what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from folders import change_config, exported, load, published, random_model, rewrite
from tiny_speech import clips, tiny_whisper, transformers_config, whisper_tokenizer

import multimodal as mm
from multimodal.errors import DataError
from multimodal.hub.transformers_export import save_transformers
from multimodal.models.speech_recognizer import SpeechRecognizer

transformers = pytest.importorskip("transformers")

LIKE = tiny_whisper(positions=50, length=24)
SHAPES = {
    "whisper": {},
    "distilled: two decoder layers": {"encoder_layers": 4, "decoder_layers": 2},
    "turbo: 128 mels": {"num_mel_bins": 128, "encoder_layers": 5, "decoder_layers": 4},
    "other widths": {"encoder_attention_heads": 2, "encoder_ffn_dim": 40, "decoder_ffn_dim": 56},
}


def whisper(**fields: Any) -> Any:
    theirs = random_model(transformers.WhisperForConditionalGeneration, transformers_config(LIKE, **fields))
    theirs.model.encoder.embed_positions.weight.data.add_(0.01)  # some were trained on
    return theirs


def both_logits(ours: SpeechRecognizer, theirs: Any) -> tuple[torch.Tensor, torch.Tensor]:
    mel, ids = clips(mels=ours.features.mels, frames=100), torch.randint(51_865, (2, 7))
    return ours(mel, ids), theirs(input_features=mel, decoder_input_ids=ids).logits


@torch.no_grad()
@pytest.mark.parametrize("fields", SHAPES.values(), ids=SHAPES.keys())
def test_logits_there_and_back(fields: dict[str, Any], tmp_path: Path, equal: Any) -> None:
    theirs = whisper(**fields)
    ours = published(theirs, tmp_path / "read")
    assert type(ours) is SpeechRecognizer and ours.tokenizer is None
    equal(*both_logits(ours, theirs))
    equal(*both_logits(ours, exported(ours, theirs, tmp_path)))
    assert load(tmp_path / "back").config == ours.config

"""`hf:openai/whisper-*`: what is needed is downloaded, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from stand_ins import CPU, Hub
from tiny_speech import tiny_whisper

import multimodal as mm
from multimodal.errors import DataError
from multimodal.hub.transformers_export import save_transformers

NAME = "openai/whisper-tiny"


def publish(hub: Hub, folder: Path) -> None:
    names = sorted(path.name for path in folder.iterdir())
    for name in names:
        hub.files[f"/{NAME}/resolve/main/{name}"] = (folder / name).read_bytes()
    more = ("pytorch_model.bin", "tf_model.h5", "flax_model.msgpack", "normalizer.json")
    info = {"id": NAME, "sha": "0" * 40, "siblings": [{"rfilename": name} for name in (*names, *more)]}
    hub.files[f"/api/models/{NAME}"] = json.dumps(info).encode()


def test_whisper_by_its_name(hub: Hub, tmp_path: Path) -> None:
    model = tiny_whisper(positions=50, alignment_heads=((1, 2),))
    save_transformers(model, tmp_path / "theirs")
    publish(hub, tmp_path / "theirs")
    found = mm.load(f"hf:{NAME}", **CPU)
    assert isinstance(found, mm.SpeechRecognizer) and found.card == {"source": f"hf:{NAME}"}
    assert found.config == model.config and found.tokens == model.tokens
    assert all(torch.equal(tensor, found.state_dict()[name]) for name, tensor in model.state_dict().items())
    fetched = {line.removeprefix("GET ") for line in hub.asked if line.startswith("GET ")}
    assert fetched >= {"generation_config.json", "preprocessor_config.json", "tokenizer.json", "model.safetensors"}
    assert not fetched & {"pytorch_model.bin", "tf_model.h5", "flax_model.msgpack"}


def test_a_repository_of_pickles_is_refused(hub: Hub, tmp_path: Path) -> None:
    save_transformers(tiny_whisper(positions=50), tmp_path / "theirs")
    (tmp_path / "theirs" / "model.safetensors").unlink()
    publish(hub, tmp_path / "theirs")
    with pytest.raises(DataError, match="a pickle can run code"):
        mm.load(f"hf:{NAME}", **CPU)

"""Published weights: downloaded once, never executed, and every way of not getting them in a sentence."""

from __future__ import annotations

import os
import pickle
import time
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import timm
import torch
from safetensors.torch import save_file
from stand_ins import CPU, PUBLISHED, Hub, pixels, use_hub

from multimodal.errors import DataError
from multimodal.hub import export_timm, load
from multimodal.models.image_encoder import ImageEncoderConfig


def published_weights(path: Path) -> tuple[torch.nn.Module, bytes]:
    model = timm.create_model(PUBLISHED).eval()
    torch.nn.init.normal_(model.head.weight)
    save_file(model.state_dict(), path)
    return model, path.read_bytes()


def test_published_name_is_downloaded_once(hub: Hub, tmp_path: Path) -> None:
    theirs, content = published_weights(tmp_path / "weights.safetensors")
    hub.publish("model.safetensors", content)
    model = load(f"timm:{PUBLISHED}", **CPU)
    with torch.inference_mode():
        assert torch.allclose(model(pixels(model)), theirs(pixels(model)), rtol=0, atol=1e-5)
    assert isinstance(model.config.encoder, ImageEncoderConfig)
    assert not model.training
    assert model.labels[0] == "tench, Tinca tinca"
    assert model.card == {"source": f"timm:{PUBLISHED}"}
    exported = export_timm(model)
    assert exported.keys() == theirs.state_dict().keys()
    assert all(torch.equal(exported[name], tensor) for name, tensor in theirs.state_dict().items())
    assert "GET model.safetensors" in hub.asked
    hub.asked.clear()
    load(f"timm:{PUBLISHED}", **CPU)
    assert hub.asked == []  # not even a question: it works on a plane


def test_pickle_is_read_for_tensors_alone(hub: Hub, tmp_path: Path) -> None:
    theirs, _ = published_weights(tmp_path / "weights.safetensors")
    torch.save(theirs.state_dict(), tmp_path / "weights.bin")
    hub.publish("pytorch_model.bin", (tmp_path / "weights.bin").read_bytes())
    model = load(f"timm:{PUBLISHED}", **CPU)
    assert torch.equal(model.head[1].weight, theirs.head.weight)


class Trap:
    """Unpickling this makes a folder."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (os.environ["TRAP"],)


def test_pickle_with_code_in_it_runs_nothing(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trap = tmp_path / "sprung"
    monkeypatch.setenv("TRAP", str(trap))
    torch.save({"head.weight": Trap()}, tmp_path / "weights.bin")
    hub.publish("pytorch_model.bin", (tmp_path / "weights.bin").read_bytes())
    with pytest.raises(DataError, match="cannot be used"):
        load(f"timm:{PUBLISHED}", **CPU)
    assert not trap.exists()
    with pytest.raises(FileNotFoundError):  # the trap works: it is the loader that did not step on it
        monkeypatch.setenv("TRAP", str(tmp_path / "no" / "where"))
        pickle.loads(pickle.dumps(Trap()))


def test_damaged_download_says_where_it_is(hub: Hub, tmp_path: Path) -> None:
    _, content = published_weights(tmp_path / "weights.safetensors")
    hub.publish("model.safetensors", content[:-1000])
    with pytest.raises(DataError, match=r"test_vit.r160_in1k in .*cache.* cannot be used: .* Remove them"):
        load(f"timm:{PUBLISHED}", **CPU)


def test_repository_without_weights_and_without_repository(hub: Hub) -> None:
    with pytest.raises(DataError, match=r"timm/test_vit.r160_in1k holds none of model.safetensors, pytorch_model.bin"):
        load(f"timm:{PUBLISHED}", **CPU)
    hub.status, hub.error = 401, "RepoNotFound"
    with pytest.raises(DataError, match=r"has no repository timm/test_vit.r160_in1k, or not for you"):
        load(f"timm:{PUBLISHED}", **CPU)
    hub.status, hub.error = 403, "GatedRepo"
    with pytest.raises(DataError, match=r"accept their terms: do that at http://127.*/timm/test_vit.r160_in1k"):
        load(f"timm:{PUBLISHED}", **CPU)


def test_nobody_answers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    use_hub(monkeypatch, "http://127.0.0.1:9", tmp_path)
    began = time.monotonic()
    with pytest.raises(DataError) as error:
        load(f"timm:{PUBLISHED}", **CPU)
    assert time.monotonic() - began < 5  # s; the hub's own retries take most of a minute
    message = str(error.value)
    assert "weights of timm:test_vit.r160_in1k could not be downloaded from http://127.0.0.1:9" in message
    assert "HF_HUB_OFFLINE" in message and "pretrained=False" in message and "model folder" in message
    assert "\n" not in message


def test_offline_mode(monkeypatch: pytest.MonkeyPatch, hub: Hub) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(DataError, match="could not be downloaded"):
        load(f"timm:{PUBLISHED}", **CPU)
    assert hub.asked == []

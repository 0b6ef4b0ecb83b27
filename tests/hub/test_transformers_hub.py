"""Text models of the hub: only what is needed is downloaded, once, and every way of not getting it is a sentence."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

import huggingface_hub
import pytest
import torch
from stand_ins import CPU, Hub, use_hub
from tiny_text import llama_tensors, shard, word_tokenizer, write_llama

from multimodal.errors import ArgumentError, DataError
from multimodal.hub import load

NAME, COMMIT = "someone/tiny", "0" * 40
IDS = torch.tensor([[3, 1, 4, 1, 5, 9]])


def publish(hub: Hub, folder: Path, *, revision: str | None = None, more: tuple[str, ...] = ()) -> None:
    """Give the hub the files of `folder`, and the list of them with `more` names."""
    names = sorted(path.name for path in folder.iterdir())
    for name in names:
        hub.files[f"/{NAME}/resolve/{revision or 'main'}/{name}"] = (folder / name).read_bytes()
    info = {"id": NAME, "sha": COMMIT, "siblings": [{"rfilename": name} for name in (*names, *more)]}
    hub.files[f"/api/models/{NAME}" + (f"/revision/{revision}" if revision else "")] = json.dumps(info).encode()


def test_a_model_is_downloaded_once(hub: Hub, tmp_path: Path) -> None:
    folder = write_llama(tmp_path / "theirs")
    word_tokenizer().save(folder)
    publish(hub, folder, more=("pytorch_model.bin", "README.md", "onnx/model.onnx", "consolidated.safetensors"))
    model = load(f"hf:{NAME}", **CPU)
    assert torch.equal(model(IDS), load(folder, **CPU)(IDS))
    assert model.card == {"source": f"hf:{NAME}"} and model.tokenizer.vocabulary == 20
    fetched = {line.removeprefix("GET ") for line in hub.asked if line.startswith("GET ")}
    assert fetched >= {"config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"}
    assert not fetched & {"pytorch_model.bin", "README.md", "model.onnx", "consolidated.safetensors"}
    hub.asked.clear()
    load(f"hf:{NAME}", **CPU)
    assert hub.asked == []  # not even a question: it works on a plane


def test_what_another_program_left_out_of_the_cache_is_fetched(hub: Hub, tmp_path: Path, monkeypatch) -> None:
    folder = write_llama(tmp_path / "theirs")
    word_tokenizer().save(folder)
    (folder / "generation_config.json").write_text('{"max_new_tokens": 3}')
    publish(hub, folder)
    load(f"hf:{NAME}", **CPU)
    (found,) = (tmp_path / "cache").rglob("generation_config.json")
    found.unlink()
    hub.asked.clear()
    assert load(f"hf:{NAME}", **CPU).config.generation.max_new_tokens == 3
    assert "HEAD generation_config.json" in hub.asked and "GET model.safetensors" not in hub.asked
    # A cache that we have no list of, as another program fills it: asked once more, or taken as it is.
    shutil.rmtree(tmp_path / "cache" / "assets")
    hub.files.clear()
    assert load(f"hf:{NAME}", **CPU).config.generation.max_new_tokens == 3
    use_hub(monkeypatch, "http://127.0.0.1:9", tmp_path / "cache")
    assert torch.equal(load(f"hf:{NAME}", **CPU)(IDS), load(folder, **CPU)(IDS))


def test_shards_of_a_revision(hub: Hub, tmp_path: Path) -> None:
    folder = write_llama(tmp_path / "theirs")
    expected = load(folder, **CPU)(IDS)
    shard(folder)
    publish(hub, folder, revision="older")
    assert torch.equal(load(f"hf:{NAME}@older", **CPU)(IDS), expected)


def test_fresh_weights_need_no_download_of_weights(hub: Hub, tmp_path: Path) -> None:
    folder = write_llama(tmp_path / "theirs")
    publish(hub, folder)
    model = load(f"hf:{NAME}", pretrained=False, **CPU)
    assert model.config.backbone.depth == 2
    assert "GET model.safetensors" not in hub.asked
    assert torch.equal(load(f"hf:{NAME}", **CPU)(IDS), load(folder, **CPU)(IDS))  # they come when they are needed


def test_an_unsupported_model_costs_no_waiting(hub: Hub, tmp_path: Path) -> None:
    publish(hub, write_llama(tmp_path / "theirs", model_type="llama9"))
    with pytest.raises(DataError, match=r"model_type is 'llama9'; .* Did you mean 'llama'"):
        load(f"hf:{NAME}", **CPU)
    assert not any("safetensors" in line for line in hub.asked)


def test_repositories_without_what_is_needed(hub: Hub, tmp_path: Path) -> None:
    folder = write_llama(tmp_path / "theirs")
    (folder / "model.safetensors").unlink()
    torch.save(llama_tensors(), folder / "pytorch_model.bin")
    publish(hub, folder)
    with pytest.raises(DataError, match=r"someone/tiny holds neither model.safetensors nor .*: a pickle can run code"):
        load(f"hf:{NAME}", **CPU)
    assert not any("pytorch_model.bin" in line for line in hub.asked)
    (folder / "config.json").unlink()
    publish(hub, folder)
    with pytest.raises(DataError, match=r"someone/tiny holds no config.json"):
        load(f"hf:{NAME}", **CPU)


def test_no_repository_no_revision_no_right(hub: Hub) -> None:
    hub.status, hub.error = 401, "RepoNotFound"
    with pytest.raises(DataError, match=r"has no repository someone/tiny, or not for you"):
        load(f"hf:{NAME}", **CPU)
    hub.status, hub.error = 403, "GatedRepo"
    with pytest.raises(DataError, match=r"of hf:someone/tiny are given only .* do that at http://127.*/someone/tiny"):
        load(f"hf:{NAME}", **CPU)
    hub.status, hub.error = 404, "RevisionNotFound"
    with pytest.raises(DataError, match=r"someone/tiny has no such revision: hf:someone/tiny@never"):
        load(f"hf:{NAME}@never", **CPU)
    hub.files[f"/api/models/{NAME}"] = b"<html>Please log in to this network.</html>"
    with pytest.raises(DataError, match=r"of hf:someone/tiny could not be downloaded from http://127"):
        load(f"hf:{NAME}", **CPU)
    with pytest.raises(ArgumentError, match=r"'a/b/c' is not the name of a repository; give 'hf:ORG/NAME'"):
        load("hf:a/b/c", **CPU)


def test_nobody_answers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    use_hub(monkeypatch, "http://127.0.0.1:9", tmp_path)
    began = time.monotonic()
    with pytest.raises(DataError) as error:
        load(f"hf:{NAME}", **CPU)
    assert time.monotonic() - began < 5  # s
    message = str(error.value)
    assert "weights of hf:someone/tiny could not be downloaded from http://127.0.0.1:9" in message
    assert "HF_HUB_OFFLINE" in message and "model folder" in message and "\n" not in message
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(DataError, match="could not be downloaded"):
        load(f"hf:{NAME}", **CPU)

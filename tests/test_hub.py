"""`load` from every kind of source, and every wrong one in a sentence; a local server stands in for the hub."""

from __future__ import annotations

import http.server
import json
import os
import pickle
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import timm
import torch
from safetensors.torch import load_file, save_file
from timm.models import save_for_hf

from multimodal.checkpoint import save
from multimodal.errors import ArgumentError, DataError
from multimodal.hub import best_dtype, export_timm, find_device, find_dtype, load, save_timm
from multimodal.models.classifier import Classifier, with_labels
from multimodal.models.image_encoder import ImageEncoderConfig, TimmEncoderConfig

CPU: dict[str, Any] = {"device": "cpu", "dtype": "float32"}
TINY: dict[str, Any] = {"embed_dim": 32, "depth": 2, "num_heads": 2, "img_size": (16, 24), "patch_size": 4}
PUBLISHED = "test_vit.r160_in1k"  # a real name of a tiny model; what the server gives for it is made here


def pixels(model: Classifier) -> torch.Tensor:
    return torch.randn(2, 3, *model.transform.config.size, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def written(tmp_path: Path) -> tuple[Path, torch.nn.Module]:
    """A folder as timm writes it, of a vision transformer with other sizes than its name says, and its model."""
    model = timm.create_model("vit_tiny_patch16_224", num_classes=3, **TINY).eval()
    torch.nn.init.normal_(model.head.weight)
    labels = {"label_names": ["n1", "n2", "n3"], "label_descriptions": {"n1": "cat", "n2": "dog", "n3": "cow"}}
    data = {"input_size": (3, 16, 24), "mean": (0.1, 0.2, 0.3), "crop_pct": 0.8}
    save_for_hf(model, str(tmp_path / "theirs"), model_config=labels, safe_serialization=True, data_config=data)
    return tmp_path / "theirs", model


class Hub:
    """A server that answers as the hub does, for the files that it is given; counts what it was asked."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.status, self.error = 404, "EntryNotFound"
        hub = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_HEAD(self) -> None:
                self.do_GET(body=False)

            def do_GET(self, body: bool = True) -> None:
                hub.asked.append(f"{self.command} {self.path.rpartition('/')[2]}")
                content = hub.files.get(self.path)
                self.send_response(200 if content is not None else hub.status)
                self.send_header("X-Repo-Commit", "0" * 40)
                if content is None:
                    self.send_header("X-Error-Code", hub.error)
                    content = b""
                self.send_header("ETag", '"' + str(abs(hash(content))) + '"')
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                if body:
                    self.wfile.write(content)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()
        self.address = f"http://127.0.0.1:{self.server.server_address[1]}"

    def publish(self, name: str, content: bytes) -> None:
        self.files[f"/timm/{PUBLISHED}/resolve/main/{name}"] = content


def use_hub(monkeypatch: pytest.MonkeyPatch, address: str, cache: Path) -> None:
    constants = huggingface_hub.constants
    monkeypatch.setattr(constants, "ENDPOINT", address)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", address + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    found = Hub()
    use_hub(monkeypatch, found.address, tmp_path / "cache")
    yield found
    found.server.shutdown()
    found.server.server_close()


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


def test_fresh_weights_need_no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    use_hub(monkeypatch, "http://127.0.0.1:9", tmp_path)
    model = load("timm:test_convnext", pretrained=False, **CPU)
    assert isinstance(model.config.encoder, TimmEncoderConfig)
    assert model.config.encoder.name == "test_convnext.r160_in1k"  # in full, so that it is the same model next year
    assert model.labels[:2] == ("0", "1")  # fresh weights know no names


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            "timm:vit_smal_patch16_224",
            r"no model 'vit_smal_patch16_224'\. Did you mean 'vit_small_patch16_224'",
        ),
        ("timm:xyzzy", r"timm has no model 'xyzzy'\. `timm\.list_models\(\)` gives all names\."),
        ("timm:test_vit.r160_in2k", r"no weights 'r160_in2k' of test_vit; it has r160_in1k\. Did you mean 'r160_in1k'"),
        ("timm:vit_base_patch16_rpn_224.x", r"of vit_base_patch16_rpn_224; it has sw_in1k"),
        ("timm:vit_small_patch16_18x2_224", r"timm publishes no weights of vit_small_patch16_18x2_224"),
        ("open_clip:ViT-B-32", r"'open_clip:' is neither"),
        ("tim:resnet18", r"'tim:' is neither\. Did you mean 'timm'"),
        ("vit_small_patch16_224", r"no folder 'vit_small_patch16_224'\. Did you mean 'timm:vit_small_patch16_224'"),
        ("no/such/folder", r"no folder 'no/such/folder'; give the path"),
    ],
)
def test_wrong_source(source: str, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        load(source, **CPU)


def test_old_name_of_a_model() -> None:
    model = load("timm:vit_tiny_patch16_224_in21k", pretrained=False, **CPU)
    assert model.card["source"] == "timm:vit_tiny_patch16_224.augreg_in21k"


def test_folder_of_timm(written: tuple[Path, torch.nn.Module]) -> None:
    folder, theirs = written
    model = load(folder, **CPU)
    with torch.inference_mode():
        assert torch.allclose(model(pixels(model)), theirs(pixels(model)), rtol=0, atol=1e-5)
    assert model.labels == ("cat", "dog", "cow")
    transform = model.transform.config
    assert (transform.size, transform.mean, transform.crop_fraction) == ((16, 24), (0.1, 0.2, 0.3), 0.8)
    fresh = load(str(folder), pretrained=False, **CPU)
    assert fresh.config == model.config
    assert not torch.equal(fresh.head[1].weight, model.head[1].weight)


def test_folder_of_timm_with_a_wrapped_model(tmp_path: Path) -> None:
    theirs = timm.create_model("test_convnext", num_classes=4, global_pool="max").eval()
    save_for_hf(theirs, str(tmp_path), safe_serialization=True)
    model = load(tmp_path, **CPU)
    with torch.inference_mode():
        assert torch.allclose(model(pixels(model)), theirs(pixels(model)), rtol=0, atol=1e-5)
    again = load(save(model, tmp_path / "ours"), **CPU)
    with torch.inference_mode():
        assert torch.equal(again(pixels(model)), model(pixels(model)))


@pytest.mark.parametrize("safe", [False, True], ids=["pickle", "nothing"])
def test_folder_of_timm_without_safetensors(written: tuple[Path, torch.nn.Module], safe: bool) -> None:
    folder, model = written
    (folder / "model.safetensors").unlink()
    if safe:
        with pytest.raises(DataError, match=r"holds no model\.safetensors"):
            load(folder, **CPU)
        return
    torch.save(model.state_dict(), folder / "pytorch_model.bin")
    with pytest.raises(DataError, match=r"as a pickle \(pytorch_model.bin\), which can run code.*weights_only=True"):
        load(folder, **CPU)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"architecture": "vit_tiny_patch16_225"},
            r"no architecture 'vit_tiny_patch16_225'\. Did you mean 'vit_tiny_patch16_224'",
        ),
        ({"model_args": {**TINY, "depth": 3}}, "cannot be read"),
        ({"model_args": {**TINY, "depht": 2}}, "cannot be read: .*depht"),
        ({"model_args": [1]}, "does not say what timm needs"),
        ({"architecture": None}, "does not say what timm needs"),
    ],
)
def test_folder_of_timm_with_an_edited_config(
    written: tuple[Path, torch.nn.Module], change: dict[str, Any], message: str
) -> None:
    folder, _ = written
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(DataError, match=message):
        load(folder, **CPU)


def test_folder_of_timm_that_is_damaged(written: tuple[Path, torch.nn.Module]) -> None:
    folder, _ = written
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(DataError, match="cannot be read"):
        load(folder, **CPU)
    (folder / "config.json").write_text("{")
    with pytest.raises(DataError, match=r"config\.json is not JSON"):
        load(folder, **CPU)


@pytest.mark.parametrize(
    ("name", "content", "who"),
    [
        ("config.json", {"model_type": "vit", "architectures": ["ViTForImageClassification"]}, "transformers"),
        ("open_clip_config.json", {}, "open_clip"),
    ],
)
def test_folder_of_another_library(tmp_path: Path, name: str, content: dict[str, Any], who: str) -> None:
    (tmp_path / name).write_text(json.dumps(content))
    with pytest.raises(ArgumentError, match=f"was written by {who}; only folders of multimodal and of timm"):
        load(tmp_path, **CPU)


def test_folder_of_ours_and_its_fresh_twin(written: tuple[Path, torch.nn.Module], tmp_path: Path) -> None:
    model = load(written[0], **CPU)
    folder = save(model, tmp_path / "ours")
    again = load(folder, device="cpu", dtype="bf16")
    assert {p.dtype for p in again.parameters()} == {torch.bfloat16}
    assert again.labels == model.labels
    fresh = load(folder, pretrained=False, **CPU)
    assert fresh.config == model.config and not fresh.training
    assert not torch.equal(fresh.head[1].weight, model.head[1].weight)
    with pytest.raises(DataError, match="not a model folder"):
        load(tmp_path, **CPU)


def test_bfloat16_keeps_rotary_positions_exact() -> None:
    model = load("timm:eva02_tiny_patch14_224", pretrained=False, device="cpu", dtype="bfloat16")
    exact = model.config.encoder.backbone.position.build(3, 64)
    places = torch.rand(1, 5, 2) * 30
    assert {p.dtype for p in model.parameters()} == {torch.bfloat16}
    assert torch.equal(model.encoder.backbone.position(places).cos, exact(places).cos)


def test_save_timm_writes_what_timm_reads(written: tuple[Path, torch.nn.Module], tmp_path: Path) -> None:
    model = with_labels(load(written[0], **CPU), ["left", "right"])
    with pytest.raises(ArgumentError, match="does not say which timm model"):
        save_timm(model, tmp_path / "back")
    folder = save_timm(model, tmp_path / "back", "vit_tiny_patch16_224", **TINY)
    theirs = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
    with torch.inference_mode():
        assert torch.allclose(model(pixels(model)), theirs(pixels(model)), rtol=0, atol=1e-5)
    data = timm.data.resolve_model_data_config(theirs)
    assert (tuple(data["input_size"]), tuple(data["mean"])) == ((3, 16, 24), (0.1, 0.2, 0.3))
    assert (data["crop_pct"], data["crop_mode"]) == (0.8, "center")
    assert load(folder, **CPU).labels == ("left", "right")
    assert load_file(folder / "model.safetensors").keys() == theirs.state_dict().keys()
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(ArgumentError, match=r"notes\.txt"):
        save_timm(model, folder, "vit_tiny_patch16_224", **TINY)


def test_save_timm_of_a_model_trained_at_another_size(written: tuple[Path, torch.nn.Module], tmp_path: Path) -> None:
    model = load(written[0], **CPU)
    config = replace(model.config, transform=replace(model.config.transform, size=(30, 22)))  # patches do not divide it
    other = config.build(model.labels).eval()
    other.load_state_dict(model.state_dict())
    arguments = {**model.card["arguments"]}
    folder = save_timm(other, tmp_path / "back", "vit_tiny_patch16_224", **arguments)
    theirs = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
    assert tuple(timm.data.resolve_model_data_config(theirs)["input_size"]) == (3, 30, 22)
    with torch.inference_mode():
        assert torch.allclose(other(pixels(other)), theirs(pixels(other)), rtol=0, atol=1e-5)
    again = load(folder, **CPU)
    with torch.inference_mode():
        assert torch.allclose(again(pixels(other)), theirs(pixels(other)), rtol=0, atol=1e-5)


def test_model_without_classes_can_be_kept(tmp_path: Path) -> None:
    model = load("timm:levit_128s", pretrained=False, **CPU)
    again = load(save(model, tmp_path / "ours"), **CPU)
    assert again.labels == ()
    assert torch.equal(again(pixels(model)), model(pixels(model)))


def test_unknown_preprocessing(written: tuple[Path, torch.nn.Module]) -> None:
    path = written[0] / "config.json"
    config = json.loads(path.read_text())
    config["pretrained_cfg"] |= {"crop_mode": "sideways"}
    path.write_text(json.dumps(config))
    with pytest.raises(DataError, match=r"preprocessing .*'sideways'.* cannot be done here"):
        load(written[0], **CPU)


def test_devices() -> None:
    assert find_device("cpu") == torch.device("cpu")
    assert find_device("auto").type in ("cpu", "cuda", "mps")
    with pytest.raises(ArgumentError, match=r"device is 'cdua'; .* Did you mean 'cuda'"):
        find_device("cdua")
    with pytest.raises(ArgumentError, match="device is 'auto:1'"):
        find_device("auto:1")
    with pytest.raises(ArgumentError, match=r"device is 'cuda:99', but this machine has"):
        find_device("cuda:99")


def test_dtypes(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu = torch.device("cpu")
    for name in ("bf16", "bfloat16", "torch.bfloat16", torch.bfloat16):
        assert find_dtype(name, cpu) == torch.bfloat16
    with pytest.raises(ArgumentError, match=r"dtype is 'bloat16'; .* Did you mean 'bfloat16'"):
        find_dtype("bloat16", cpu)
    with pytest.raises(ArgumentError, match=r"dtype is torch\.int8"):
        find_dtype(torch.int8, cpu)
    for avx, amx in ((True, False), (False, True), (False, False)):
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda avx=avx: avx)
        monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda amx=amx: amx)
        assert best_dtype(cpu) == find_dtype("auto", cpu) == (torch.bfloat16 if avx or amx else torch.float32)
    assert best_dtype(torch.device("mps")) == torch.float32

"""`load` from every kind of source that needs no network, and every wrong one in a sentence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from stand_ins import CPU, TINY, pixels, use_hub
from timm.models import save_for_hf

from multimodal.checkpoint import save
from multimodal.errors import ArgumentError, DataError
from multimodal.hub import load
from multimodal.models.image_encoder import TimmEncoderConfig


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
        ("tim:resnet18", r"'tim:' is none of these\. Did you mean 'timm'"),
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


def test_folder_of_another_library(tmp_path: Path) -> None:
    (tmp_path / "open_clip_config.json").write_text("{}")
    with pytest.raises(DataError, match="does not say what open_clip needs: model_cfg"):
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

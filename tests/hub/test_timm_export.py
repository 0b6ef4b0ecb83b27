"""A folder that timm loads, with equal logits and the same preprocessing. Tensors alone: tests/parity/test_timm.py."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import load_file
from stand_ins import CPU, TINY, pixels

from multimodal.errors import ArgumentError
from multimodal.finetuning.adapt import with_head
from multimodal.hub import load, save_timm


def test_save_timm_writes_what_timm_reads(written: tuple[Path, torch.nn.Module], tmp_path: Path) -> None:
    model = with_head(load(written[0], **CPU), ["left", "right"])
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

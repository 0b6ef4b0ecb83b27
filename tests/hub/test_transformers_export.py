"""A folder that transformers loads. Equal bits and outputs by family are in tests/parity."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from stand_ins import CPU
from tiny_text import llama_tensors, word_tokenizer, write_llama

from multimodal.backbone.lora import LoraConfig, attach
from multimodal.backbone.mlp import MlpConfig
from multimodal.errors import ArgumentError
from multimodal.generation.config import GenerationConfig, SamplingConfig
from multimodal.hub import export_transformers, load, save_transformers

IDS = torch.tensor([[3, 1, 4, 1, 5, 9]])


def tiny(tmp_path: Path, **fields: Any) -> Any:
    return load(write_llama(tmp_path / "theirs", **fields), **CPU)


def test_weights_and_config(tmp_path: Path) -> None:
    config, state = export_transformers(tiny(tmp_path, eos_token_id=1))
    theirs = llama_tensors()
    assert state.keys() == {*theirs, "lm_head.weight"}  # tied: there under both of its names
    assert all(torch.equal(state[name], theirs[name]) for name in theirs)
    assert (config["model_type"], config["architectures"]) == ("llama", ["LlamaForCausalLM"])
    assert (config["eos_token_id"], config["pad_token_id"], config["torch_dtype"]) == (1, None, "float32")


def test_a_whole_folder_with_tokenizer_and_defaults(tmp_path: Path) -> None:
    folder = write_llama(tmp_path / "theirs")
    word_tokenizer().save(folder)
    model = load(folder, device="cpu", dtype="bfloat16")
    generation = GenerationConfig(max_new_tokens=9, end=(1,), sampling=SamplingConfig(temperature=0.5))
    other = replace(model.config, generation=generation).build(model.tokenizer).bfloat16().eval()
    other.load_state_dict(model.state_dict())
    saved = save_transformers(other, tmp_path / "back")
    assert {path.name for path in saved.iterdir()} == {
        *("config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")
    }
    stored = load_file(saved / "model.safetensors")
    assert stored.keys() == llama_tensors().keys()  # a tied tensor once
    assert {tensor.dtype for tensor in stored.values()} == {torch.bfloat16}
    assert json.loads((saved / "config.json").read_text())["pad_token_id"] == 1  # the tokenizer's
    again = load(saved, device="cpu", dtype="bfloat16")
    assert again.config == other.config
    assert again.tokenizer.rows(["w1"]) == model.tokenizer.rows(["w1"])
    assert torch.equal(again(IDS), model(IDS))
    save_transformers(other, saved)  # over itself
    (saved / "notes.txt").write_text("mine")
    with pytest.raises(ArgumentError, match=r"notes\.txt"):
        save_transformers(other, saved)


def test_adapters_are_folded_in(tmp_path: Path) -> None:
    model = tiny(tmp_path)
    attach(model, LoraConfig(rank=2))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.01)
    again = load(save_transformers(model, tmp_path / "back"), **CPU)
    torch.testing.assert_close(again(IDS), model(IDS), atol=1e-4, rtol=1e-4)


def test_a_model_that_transformers_does_not_have(tmp_path: Path) -> None:
    config = tiny(tmp_path).config
    block = config.backbone.block
    bare = replace(config, backbone=replace(config.backbone, final_norm=False))
    with pytest.raises(
        ArgumentError, match=r"no model like this LanguageModel\. As llama, its backbone.final_norm would"
    ):
        export_transformers(bare.build())
    mixed = replace(block, mlp=MlpConfig(hidden=8))
    with pytest.raises(ArgumentError, match="transformers has no model like this LanguageModel"):
        export_transformers(replace(config, backbone=replace(config.backbone, block=mixed)).build())

"""Folders of transformers: sharded, tied, old and damaged ones. Equal outputs by family are in tests/parity."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from stand_ins import CPU
from tiny_text import LLAMA, change_weights, llama_tensors, shard, word_tokenizer, write_llama
from torch import Tensor

from multimodal.errors import DataError
from multimodal.hub import load
from multimodal.models.language_model import LanguageModel

IDS = torch.tensor([[3, 1, 4, 1, 5, 9]])


def test_folder_of_a_language_model(tmp_path: Path) -> None:
    folder = write_llama(tmp_path / "theirs", eos_token_id=[1, 7])
    word_tokenizer().save(folder)
    model = load(folder, **CPU)
    assert isinstance(model, LanguageModel) and not model.training
    assert model.card == {"source": "transformers"}
    assert model.config.generation.end == (1, 7)
    assert model.tokenizer is not None and model.tokenizer.eos_id == 1
    theirs = llama_tensors()
    assert torch.equal(model.backbone.blocks[1].attention.q.weight, theirs["model.layers.1.self_attn.q_proj.weight"])
    assert all(parameter.requires_grad for parameter in model.parameters())
    fresh = load(folder, pretrained=False, **CPU)
    assert fresh.config == model.config and fresh.tokenizer is not None and not fresh.training
    assert not torch.equal(fresh.output_weight, model.output_weight)


def test_number_formats(tmp_path: Path) -> None:
    folder = write_llama(tmp_path)
    single = load(folder, **CPU)
    half = load(folder, device="cpu", dtype="bf16")
    assert {parameter.dtype for parameter in half.parameters()} == {torch.bfloat16}
    assert torch.equal(half.output_weight, single.output_weight.bfloat16())
    change_weights(folder, lambda tensors: tensors["model.norm.weight"].fill_(1e6))
    with pytest.raises(DataError, match=r"'model.norm.weight' holds numbers that torch.float16 cannot; load it with"):
        load(folder, device="cpu", dtype="fp16")


def test_a_model_that_is_loaded_is_nobody_elses(tmp_path: Path) -> None:
    """Training it changes no other tensor, and the file may be overwritten."""
    model = load(write_llama(tmp_path), **CPU)
    places = [parameter.untyped_storage().data_ptr() for parameter in model.parameters()]
    assert len(set(places)) == len(places)
    before = model(IDS)
    content = bytearray((tmp_path / "model.safetensors").read_bytes())
    with (tmp_path / "model.safetensors").open("r+b") as file:
        file.write(bytes(len(content)))
    assert torch.equal(model(IDS), before)


def test_shards(tmp_path: Path) -> None:
    expected = load(write_llama(tmp_path), **CPU)(IDS)
    places = shard(tmp_path)
    assert torch.equal(load(tmp_path, **CPU)(IDS), expected)
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {**places, "model.more.weight": places["model.norm.weight"]}}))
    with pytest.raises(
        DataError, match=r"holds no 'model.more.weight', which its model.safetensors.index.json promises"
    ):
        load(tmp_path, **CPU)
    index.write_text(json.dumps({"weight_map": {**places, "model.norm.weight": "../elsewhere.safetensors"}}))
    with pytest.raises(DataError, match=r"names the file '\.\./elsewhere.safetensors', which is not one of its folder"):
        load(tmp_path, **CPU)
    index.write_text(json.dumps({"weight_map": []}))
    with pytest.raises(DataError, match=r"has no weight_map"):
        load(tmp_path, **CPU)
    index.write_text(json.dumps({"weight_map": places}))
    (tmp_path / places["model.norm.weight"]).unlink()
    with pytest.raises(
        DataError, match=r"model-0000._of_00002.safetensors is missing|safetensors is missing\. Copy the"
    ):
        load(tmp_path, **CPU)


def test_two_shards_with_the_same_tensor(tmp_path: Path) -> None:
    places = shard(write_llama(tmp_path))
    (tmp_path / places["model.norm.weight"]).replace(tmp_path / "kept")
    for file in set(places.values()):
        (tmp_path / file).write_bytes((tmp_path / "kept").read_bytes())
    with pytest.raises(DataError, match=r"both hold 'model\."):
        load(tmp_path, **CPU)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_weights_that_are_no_numbers(tmp_path: Path, value: float) -> None:
    folder = write_llama(tmp_path)

    def spoil(tensors: dict[str, Tensor]) -> None:
        tensors["model.layers.1.mlp.up_proj.weight"][3, 5] = value

    change_weights(folder, spoil)
    with pytest.raises(DataError, match=r"'model.layers.1.mlp.up_proj.weight' holds NaN or infinity"):
        load(folder, **CPU)


def test_missing_extra_and_misshapen_tensors(tmp_path: Path) -> None:
    folder = write_llama(tmp_path)
    change_weights(folder, lambda tensors: tensors.update({"model.layers.0.mlp.upp_proj.weight": torch.zeros(2)}))
    with pytest.raises(
        DataError, match=r"hold 'model.layers.0.mlp.upp_proj.weight', which no row.*mean '.*up_proj.weight'"
    ):
        load(folder, **CPU)
    change_weights(folder, lambda tensors: tensors.pop("model.layers.0.mlp.upp_proj.weight"))
    change_weights(folder, lambda tensors: tensors.pop("model.layers.1.mlp.up_proj.weight"))
    with pytest.raises(DataError, match=r"stays unfilled, expected under 'model.layers.1.mlp.up_proj.weight'"):
        load(folder, **CPU)
    change_weights(folder, lambda tensors: tensors.pop("model.layers.0.mlp.up_proj.weight"))
    with pytest.raises(DataError, match=r"under 'model.layers.0.mlp.up_proj.weight', 'model.layers.1.mlp.up_proj.weig"):
        load(folder, **CPU)
    folder = write_llama(tmp_path, vocab_size=21)
    with pytest.raises(
        DataError, match=r"'model.embed_tokens.weight' has shape \[20, 16\], but the model needs \[21, 16\]"
    ):
        load(folder, **CPU)
    folder = write_llama(tmp_path)
    eighth = torch.ones(16).to(torch.float8_e4m3fn)
    change_weights(folder, lambda tensors: tensors.update({"model.norm.weight": eighth}))
    with pytest.raises(DataError, match=r"'model.norm.weight' is stored as float8_e4m3fn\. Quantized weights are not"):
        load(folder, **CPU)
    folder = write_llama(tmp_path)
    change_weights(folder, lambda tensors: tensors.update({"model.norm.weight": torch.ones(16, dtype=torch.int8)}))
    with pytest.raises(DataError, match=r"of type torch.int8; quantized weights cannot be read"):
        load(folder, **CPU)


def test_damaged_files_and_pickles(tmp_path: Path) -> None:
    folder = write_llama(tmp_path)
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(DataError, match=r"model.safetensors cannot be read: "):
        load(folder, **CPU)
    weights.unlink()
    with pytest.raises(DataError, match=r"holds no model.safetensors; copy"):
        load(folder, **CPU)
    torch.save(llama_tensors(), folder / "pytorch_model.bin")
    with pytest.raises(DataError, match=r"as a pickle \(pytorch_model.bin\), which can run code") as error:
        load(folder, **CPU)
    cure = str(error.value).split("`")[1].replace("'pytorch_model.bin'", f"{str(folder / 'pytorch_model.bin')!r}")
    exec(cure.replace("'model.safetensors'", f"{str(weights)!r}"))  # what the sentence advises works
    assert load_file(weights).keys() == llama_tensors().keys()
    load(folder, **CPU)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"model_type": "lama"}, r"model_type is 'lama'; of transformers' models, .*qwen2.* Did you mean 'llama'"),
        ({"model_type": "vit"}, r"model_type is 'vit'; .* Image models come from timm"),
        ({"model_type": None}, r"model_type is None"),
        ({"auto_map": {"AutoModel": "code.Model"}}, r"auto_map is .*; the model brings code of its own"),
        ({"quantization_config": {"bits": 4}}, r"quantization_config is \{'bits': 4\}; only \{\} can be done here"),
        ({"architectures": ["LlamaForTokenClassification"]}, r"architectures is \['LlamaForTokenClassification'\]; of"),
        ({"hidden_act": "gelu_neu"}, r"hidden_act is 'gelu_neu'; .* Did you mean 'gelu_new'"),
        ({"vocab_size": 0}, r"vocab_size is 0; it must be a whole number from 1"),
        ({"rms_norm_eps": "small"}, r"rms_norm_eps is 'small'; it must be a number"),
        ({"tie_word_embeddings": 1}, r"tie_word_embeddings is 1; it must be true or false"),
        ({"eos_token_id": "</s>"}, r"eos_token_id is '</s>'; it must be an id or a list of ids"),
        (
            {"rope_parameters": {"rope_type": "longrope"}},
            r"rope_parameters is .*; the kinds of scaling here are default",
        ),
        ({"rope_parameters": {"rope_type": "linear"}}, r"config.json: rope_parameters: factor is missing"),
        ({"repetition_penalty": -1.0}, r"repetition_penalty is -1.0"),
        ({"num_key_value_heads": 3}, r"config.json describes a model that cannot be built: heads=4 is not a multiple"),
    ],
)
def test_configs_that_mean_something_else(tmp_path: Path, fields: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        load(write_llama(tmp_path, **fields), **CPU)


def test_tokenizer_that_does_not_fit(tmp_path: Path) -> None:
    folder = write_llama(tmp_path)
    word_tokenizer(words=21).save(folder)
    with pytest.raises(DataError, match=r"ids up to 20 and the model 20 embeddings: they do not belong together"):
        load(folder, **CPU)


def test_a_field_nobody_computes_with_does_no_harm(tmp_path: Path) -> None:
    expected = load(write_llama(tmp_path / "plain"), **CPU).config
    odd = {"transformers_version": "9.9", "my_notes": [1], "use_cache": False, "torch_dtype": "float16"}
    assert load(write_llama(tmp_path / "odd", **odd), **CPU).config == expected
    assert "my_notes" not in LLAMA

"""Llama of transformers: grouped queries, rotary positions and their scaling, RMSNorm, SwiGLU, no biases."""

from pathlib import Path
from typing import Any

import pytest
import torch
from decoders import assert_cache, assert_parity
from folders import change_config, load, published, random_model, rewrite

from multimodal.errors import DataError

transformers = pytest.importorskip("transformers")

LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
YARN = {"rope_type": "yarn", "factor": 4.0}
LENGTH = {"original_max_position_embeddings": 32}
SCALINGS = {
    "linear": {"rope_type": "linear", "factor": 4.0},
    "llama3": {**LLAMA3, **LENGTH},
    "yarn": {**YARN, **LENGTH},
    "yarn, all of it": {
        **YARN,
        **LENGTH,
        "beta_fast": 16.0,
        "beta_slow": 2.0,
        "truncate": False,
        "attention_factor": 1.3,
    },
    "yarn, two rates": {**YARN, **LENGTH, "mscale": 1.0, "mscale_all_dim": 0.5},
}


def config(**fields: Any) -> Any:
    sizes = {"vocab_size": 50, "hidden_size": 48, "intermediate_size": 80, "num_hidden_layers": 3}
    usual = {"num_attention_heads": 6, "num_key_value_heads": 2, "max_position_embeddings": 128}
    return transformers.LlamaConfig(**{**sizes, **usual, **fields})


def llama(**fields: Any) -> Any:
    return random_model(transformers.LlamaForCausalLM, config(**fields))


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"num_key_value_heads": 1, "head_dim": 12, "rms_norm_eps": 1e-3, "hidden_act": "gelu"},
        {"num_key_value_heads": 6, "attention_bias": True, "mlp_bias": True, "tie_word_embeddings": True},
        {"rope_parameters": {"rope_type": "default", "rope_theta": 50.0}},
    ],
    ids=["grouped", "one group, wide", "biases, tied", "base"],
)
def test_logits_there_and_back(fields: dict[str, Any], tmp_path: Path, equal: Any) -> None:
    assert_parity(llama(**fields), tmp_path, equal)


@pytest.mark.parametrize("scaling", SCALINGS.values(), ids=SCALINGS)
@torch.no_grad()
def test_longer_texts(scaling: dict[str, Any], tmp_path: Path, equal: Any) -> None:
    theirs = llama(rope_parameters={"rope_theta": 100.0, **scaling})
    ours = assert_parity(theirs, tmp_path, equal)
    assert ours.config.backbone.position.scaling is not None
    ids = torch.randint(50, (2, 120))
    equal(ours(ids), theirs(ids).logits)
    plain = llama()
    assert not torch.allclose(plain(ids).logits, theirs(ids).logits, atol=1e-2)


@pytest.mark.parametrize("name", ["linear", "llama3"])
@torch.no_grad()
def test_scaling_as_older_configs_have_it(name: str, tmp_path: Path, equal: Any) -> None:
    theirs = llama(rope_parameters={"rope_theta": 100.0, **SCALINGS[name]})
    theirs.save_pretrained(tmp_path)
    old = {"type" if key == "rope_type" else key: value for key, value in SCALINGS[name].items()}
    change_config(tmp_path, rope_parameters=None, rope_scaling=old, rope_theta=100.0)
    ids = torch.randint(50, (2, 50))
    equal(load(tmp_path)(ids), theirs(ids).logits)
    change_config(tmp_path, rope_scaling={"type": "dynamic", "factor": 2.0})
    with pytest.raises(
        DataError, match=r"rope_scaling is \{'type': 'dynamic'.*the kinds of scaling here are default, lin"
    ):
        load(tmp_path)


@torch.no_grad()
def test_left_padding_and_given_positions(tmp_path: Path, equal: Any) -> None:
    theirs = llama()
    ours = published(theirs, tmp_path)
    ids, keep = torch.randint(50, (3, 17)), (torch.arange(17) < torch.tensor([17, 5, 11])[:, None]).flip(1)
    equal(ours(ids, keep=keep)[keep], theirs(ids, attention_mask=keep.long()).logits[keep])
    positions = torch.stack([torch.arange(17) * 2, torch.arange(17) + 300, torch.arange(17)])
    equal(ours(ids, positions=positions), theirs(ids, position_ids=positions).logits)
    assert_cache(ours, theirs, ids, equal)


@torch.no_grad()
def test_other_names_in_the_file(tmp_path: Path, equal: Any) -> None:
    """Frequencies that older versions stored; and a file without its output layer, which only a tied model can do."""
    theirs, ids = llama(tie_word_embeddings=True), torch.randint(50, (2, 9))
    theirs.save_pretrained(tmp_path)
    stored = {"layers.0.self_attn.rotary_emb.inv_freq": torch.ones(4)}
    rewrite(tmp_path, rename=lambda name: name.removeprefix("model."), more=stored)
    equal(load(tmp_path)(ids), theirs(ids).logits)
    change_config(tmp_path, tie_word_embeddings=False)
    with pytest.raises(DataError, match=r"'head.weight' stays unfilled, expected under 'lm_head.weight'"):
        load(tmp_path)

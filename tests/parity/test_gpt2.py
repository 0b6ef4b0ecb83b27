"""GPT-2 of transformers: causal, pre-norm, learned positions, tanh-GELU, weights stored transposed and fused."""

from pathlib import Path
from typing import Any

import pytest
import torch
from decoders import assert_parity
from folders import change_config, load, published, random_model, rewrite

from multimodal.errors import DataError

transformers = pytest.importorskip("transformers")

SIZES = {"vocab_size": 50, "n_positions": 24, "n_embd": 32, "n_layer": 3, "n_head": 4, "bos_token_id": 0}


def gpt2(**fields: Any) -> Any:
    config = transformers.GPT2Config(**{**SIZES, "eos_token_id": 0, **fields})
    return random_model(transformers.GPT2LMHeadModel, config)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"n_inner": 40, "activation_function": "relu", "scale_attn_weights": False, "layer_norm_epsilon": 1e-3},
        {"tie_word_embeddings": False, "activation_function": "gelu", "resid_pdrop": 0.2, "attn_pdrop": 0.3},
    ],
    ids=["usual", "unscaled", "untied"],
)
def test_logits_there_and_back(fields: dict[str, Any], tmp_path: Path, equal: Any) -> None:
    ours = assert_parity(gpt2(**fields), tmp_path, equal)
    assert (ours.head is None) == fields.get("tie_word_embeddings", True)
    assert ours.config.generation.end == (0,)


@torch.no_grad()
def test_the_names_of_the_first_files(tmp_path: Path, equal: Any) -> None:
    """No prefix, causal masks among the weights, and the word table under both of its names."""
    theirs = gpt2()
    theirs.save_pretrained(tmp_path)
    masks = {"h.0.attn.bias": torch.ones(1, 1, 4, 4, dtype=torch.uint8), "h.0.attn.masked_bias": torch.tensor(-1e4)}
    rewrite(
        tmp_path,
        rename=lambda name: name.removeprefix("transformer."),
        more={**masks, "lm_head.weight": theirs.lm_head.weight},
    )
    ids = torch.randint(50, (2, 9))
    equal(load(tmp_path)(ids), theirs(ids).logits)
    rewrite(tmp_path, more={"lm_head.weight": theirs.lm_head.weight + 1})
    with pytest.raises(DataError, match=r"'transformer.wte.weight' and 'lm_head.weight' differ, but the model ties"):
        load(tmp_path)


@torch.no_grad()
def test_without_its_output_layer(tmp_path: Path, equal: Any) -> None:
    theirs = random_model(transformers.GPT2Model, transformers.GPT2Config(**SIZES))
    ours, ids = published(theirs, tmp_path), torch.randint(50, (2, 9))
    equal(ours.hidden(ids), theirs(ids).last_hidden_state)


@pytest.mark.parametrize(
    ("field", "value"),
    [("scale_attn_by_inverse_layer_idx", True), ("add_cross_attention", True), ("activation_function", "mish")],
)
def test_what_cannot_be_done_is_named(field: str, value: Any, tmp_path: Path) -> None:
    gpt2().save_pretrained(tmp_path)
    change_config(tmp_path, **{field: value})
    with pytest.raises(DataError, match=rf"config\.json: {field} is {value!r}; "):
        load(tmp_path)

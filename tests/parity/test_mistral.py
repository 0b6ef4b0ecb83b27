"""Mistral of transformers: a Llama in which each token looks back on a window only."""

from pathlib import Path
from typing import Any

import pytest
import torch
from decoders import assert_parity, assert_same_texts
from folders import change_config, load, random_model

from multimodal.errors import DataError

transformers = pytest.importorskip("transformers")


def mistral(**fields: Any) -> Any:
    sizes = {"vocab_size": 50, "hidden_size": 48, "intermediate_size": 80, "num_hidden_layers": 3}
    usual = {"num_attention_heads": 6, "num_key_value_heads": 2, "max_position_embeddings": 128}
    return random_model(transformers.MistralForCausalLM, transformers.MistralConfig(**{**sizes, **usual, **fields}))


def test_logits_there_and_back(tmp_path: Path, equal: Any) -> None:
    theirs = mistral(sliding_window=5, head_dim=12)
    ours = assert_parity(theirs, tmp_path, equal)
    assert ours.config.window == 5
    assert_same_texts(ours, theirs)


@torch.no_grad()
def test_the_window_is_seen(tmp_path: Path, equal: Any) -> None:
    theirs = mistral(sliding_window=None)
    theirs.save_pretrained(tmp_path)
    ids = torch.randint(50, (2, 17))
    whole = load(tmp_path)
    equal(whole(ids), theirs(ids).logits)
    assert whole.config.window is None
    change_config(tmp_path, sliding_window=5)
    narrow = load(tmp_path)(ids)
    equal(narrow[:, :5], theirs(ids).logits[:, :5])
    assert not torch.allclose(narrow[:, 5:], theirs(ids).logits[:, 5:], atol=1e-3)


def test_a_damaged_field_is_named(tmp_path: Path) -> None:
    mistral().save_pretrained(tmp_path)
    change_config(tmp_path, num_key_value_heads="two")
    with pytest.raises(DataError, match=r"num_key_value_heads is 'two'; it must be a whole number from 1"):
        load(tmp_path)

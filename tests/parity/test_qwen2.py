"""Qwen2 of transformers: a Llama with biases on queries, keys and values, and maybe a sliding window."""

from pathlib import Path
from typing import Any

import pytest
from decoders import assert_parity, assert_same_texts
from folders import change_config, load, random_model

from multimodal.errors import DataError

transformers = pytest.importorskip("transformers")


def qwen2(**fields: Any) -> Any:
    sizes = {"vocab_size": 50, "hidden_size": 48, "intermediate_size": 80, "num_hidden_layers": 3}
    usual = {"num_attention_heads": 6, "num_key_value_heads": 2, "max_position_embeddings": 128}
    return random_model(transformers.Qwen2ForCausalLM, transformers.Qwen2Config(**{**sizes, **usual, **fields}))


@pytest.mark.parametrize(
    ("fields", "window"),
    [
        ({}, None),
        ({"tie_word_embeddings": True, "use_sliding_window": True, "sliding_window": 5, "max_window_layers": 3}, None),
        ({"use_sliding_window": True, "sliding_window": 5, "max_window_layers": 0}, 5),
    ],
    ids=["whole", "no layer has the window", "every layer has it"],
)
def test_logits_there_and_back(fields: dict[str, Any], window: int | None, tmp_path: Path, equal: Any) -> None:
    theirs = qwen2(**fields)
    ours = assert_parity(theirs, tmp_path, equal)
    assert_same_texts(ours, theirs)
    assert ours.config.window == window
    assert ours.config.backbone.block.attention.bias == "qkv"


def test_a_window_in_some_layers_is_refused(tmp_path: Path) -> None:
    qwen2(use_sliding_window=True, sliding_window=5, max_window_layers=1).save_pretrained(tmp_path)
    with pytest.raises(
        DataError, match=r"layer_types is \['full_attention', 'sliding.*a sliding window is that of all"
    ):
        load(tmp_path)
    for wrong in ([["a"]] * 3, ["sliding_attention"], "full_attention", [{}]):
        change_config(tmp_path, layer_types=wrong)
        with pytest.raises(DataError, match=r"layer_types is .*; it must say for each of the \d layers one of full"):
            load(tmp_path)
    change_config(tmp_path, layer_types=None)  # as older versions write it
    with pytest.raises(
        DataError, match=r"max_window_layers is 1; here a sliding window is that of all layers or of none"
    ):
        load(tmp_path)

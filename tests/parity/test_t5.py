"""T5 of transformers: relative buckets, RMSNorm, unscaled scores, cross-attention.

Version 1.0 has a plain ReLU MLP and the word table, scaled, as its output layer; 1.1 a gated MLP with tanh-GELU and an
output layer of its own.
"""

from pathlib import Path
from typing import Any

import pytest
import torch
from folders import change_config, exported, load, published, random_model, rewrite
from seq2seq import assert_cache, assert_parity, both_logits
from torch import nn

from multimodal.errors import DataError

transformers = pytest.importorskip("transformers")


def config(**fields: Any) -> Any:
    sizes = {"vocab_size": 50, "d_model": 32, "d_kv": 6, "d_ff": 48, "num_layers": 2, "num_decoder_layers": 3}
    more = {"num_heads": 4, "relative_attention_num_buckets": 8, "relative_attention_max_distance": 10}
    return transformers.T5Config(**{**sizes, **more, "decoder_start_token_id": 0, **fields})  # 4 x 6 is not 32


def t5(version: str, **fields: Any) -> Any:
    """Version "1.0"; "1.1"; or "1.1 tied", whose output layer is the word table, unscaled."""
    if version == "1.0":
        return random_model(transformers.T5ForConditionalGeneration, config(**fields))
    fields = {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False, **fields}
    model = random_model(transformers.T5ForConditionalGeneration, config(**fields))
    if version == "1.1":
        model.lm_head.weight = nn.Parameter(torch.randn(50, 32))
        model.all_tied_weights_keys.pop("lm_head.weight")
    return model


@pytest.mark.parametrize("version", ["1.0", "1.1", "1.1 tied"])
def test_logits_there_and_back(version: str, tmp_path: Path, equal: Any) -> None:
    ours = assert_parity(t5(version), tmp_path, equal)
    assert ours.config.tied == (version != "1.1")
    assert ours.config.output_scale == (32**-0.5 if version == "1.0" else 1.0)


@pytest.mark.parametrize("form", ["gated-silu", "gated-relu", "gelu", "silu"])
def test_other_mlps(form: str, tmp_path: Path, equal: Any) -> None:
    assert_parity(t5("1.0", feed_forward_proj=form, d_kv=8), tmp_path, equal)


@torch.no_grad()
def test_files_of_version_1_1_as_first_published(tmp_path: Path, equal: Any) -> None:
    """Their config.json says that the output layer is not tied, and nothing of a scale."""
    theirs = t5("1.1")
    ours = published(theirs, tmp_path)
    path = tmp_path / "config.json"
    lines = path.read_text().splitlines()
    path.write_text("\n".join(line for line in lines if "scale_decoder" not in line and "dense_act" not in line))
    change_config(tmp_path, tie_word_embeddings=False)
    again = load(tmp_path)
    assert again.config == ours.config
    equal(*both_logits(again, theirs))


@torch.no_grad()
def test_hidden_states_of_a_model_without_an_output_layer(tmp_path: Path, equal: Any) -> None:
    theirs = random_model(transformers.T5Model, config())
    ours = published(theirs, tmp_path / "read")
    equal(*both_logits(ours, theirs))
    equal(*both_logits(ours, exported(ours, theirs, tmp_path)))


@pytest.mark.parametrize("version", ["1.0", "1.1"])
@torch.no_grad()
def test_decoding_with_a_cache(version: str, tmp_path: Path, equal: Any) -> None:
    theirs = t5(version)
    assert_cache(published(theirs, tmp_path), theirs, equal)


@torch.no_grad()
def test_texts_longer_than_in_training(tmp_path: Path, equal: Any) -> None:
    theirs = t5("1.0", n_positions=8)
    ours, ids = published(theirs, tmp_path), torch.randint(50, (1, 40))
    assert ours.config.embedding.max_length == 8
    equal(ours(ids, ids), theirs(ids, decoder_input_ids=ids).logits)


@torch.no_grad()
def test_the_names_of_old_files(tmp_path: Path, equal: Any) -> None:
    theirs = t5("1.0")
    theirs.save_pretrained(tmp_path)
    words = theirs.state_dict()["shared.weight"]
    more = {f"{name}.weight": words for name in ("encoder.embed_tokens", "decoder.embed_tokens", "lm_head")}
    spare = {"decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight": torch.randn(8, 4)}
    rewrite(tmp_path, more={**more, **spare})
    change_config(tmp_path, architectures=["T5WithLMHeadModel"])
    equal(*both_logits(load(tmp_path), theirs))


def test_the_first_token(tmp_path: Path) -> None:
    t5("1.0", decoder_start_token_id=None, pad_token_id=5).save_pretrained(tmp_path)
    assert load(tmp_path).config.start == 5
    change_config(tmp_path, decoder_start_token_id=7)
    assert load(tmp_path).config.start == 7


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"feed_forward_proj": "gated-gelu-new"}, "feed_forward_proj is 'gated-gelu-new'; it must be an activation"),
        ({"feed_forward_proj": "tanh", "dense_act_fn": None}, "dense_act_fn"),
        ({"is_decoder": True}, "is_decoder is True"),
        ({"architectures": ["T5EncoderModel"]}, r"architectures is \['T5EncoderModel'\].*T5ForConditionalGeneration"),
    ],
)
def test_what_cannot_be_done(fields: dict[str, Any], words: str, tmp_path: Path) -> None:
    config(architectures=["T5ForConditionalGeneration"]).save_pretrained(tmp_path)
    change_config(tmp_path, **fields)
    with pytest.raises(DataError, match=words):
        load(tmp_path)

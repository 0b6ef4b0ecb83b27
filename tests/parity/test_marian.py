"""Marian of transformers, the original encoder-decoder: sinusoidal positions, scaled words, post-norm stacks."""

from pathlib import Path
from typing import Any

import pytest
import torch
from folders import change_config, load, published, random_model, rewrite
from seq2seq import assert_cache, assert_parity, both_logits

from multimodal.errors import DataError

transformers = pytest.importorskip("transformers")


def config(**fields: Any) -> Any:
    sizes = {"vocab_size": 50, "d_model": 32, "encoder_layers": 2, "decoder_layers": 3, "max_position_embeddings": 24}
    heads = {"encoder_attention_heads": 4, "decoder_attention_heads": 4, "encoder_ffn_dim": 48, "decoder_ffn_dim": 40}
    ids = {"pad_token_id": 49, "decoder_start_token_id": 49, "eos_token_id": 0, "forced_eos_token_id": 0}
    usual = {"activation_function": "swish", "scale_embedding": True}
    return transformers.MarianConfig(**{**sizes, **heads, **ids, **usual, **fields})


def marian(**fields: Any) -> Any:
    return random_model(transformers.MarianMTModel, config(**fields))


@pytest.mark.parametrize("scale", [True, False])
def test_logits_there_and_back(scale: bool, tmp_path: Path, equal: Any) -> None:
    theirs = marian(scale_embedding=scale)
    assert theirs.final_logits_bias.abs().max() > 0
    ours = assert_parity(theirs, tmp_path, equal)
    assert ours.config.embedding.scale == (32**0.5 if scale else 1.0)


@torch.no_grad()
def test_decoding_with_a_cache(tmp_path: Path, equal: Any) -> None:
    theirs = marian()
    assert_cache(published(theirs, tmp_path), theirs, equal)


def test_generation_as_the_checkpoint_asks(tmp_path: Path) -> None:
    theirs = marian()
    theirs.generation_config.update(num_beams=6, max_length=20, bad_words_ids=[[49]])
    ours = published(theirs, tmp_path)
    generation = ours.config.generation
    assert (ours.config.start, generation.end, generation.rules.forced_last) == (49, (0,), 0)
    assert (generation.beams.width, generation.rules.suppress, generation.max_new_tokens) == (6, (49,), 19)


@torch.no_grad()
def test_the_names_of_old_files(tmp_path: Path, equal: Any) -> None:
    """Sinusoids were stored, and every name of the word table."""
    theirs = marian()
    theirs.save_pretrained(tmp_path)
    names = ("encoder.embed_tokens", "decoder.embed_tokens", "encoder.embed_positions", "decoder.embed_positions")
    more = {f"model.{name}.weight": theirs.state_dict()[f"model.{name}.weight"] for name in names}
    rewrite(tmp_path, more={**more, "lm_head.weight": theirs.state_dict()["lm_head.weight"]})
    change_config(tmp_path, normalize_embedding=False, static_position_embeddings=True, add_bias_logits=False)
    equal(*both_logits(load(tmp_path), theirs))


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"share_encoder_decoder_embeddings": False}, "share_encoder_decoder_embeddings is False; only True"),
        ({"decoder_vocab_size": 60}, "decoder_vocab_size is 60; only 50"),
        ({"static_position_embeddings": False}, "static_position_embeddings is False; only True"),
        ({"architectures": ["MarianForCausalLM"]}, r"architectures is \['MarianForCausalLM'\].*MarianMTModel"),
    ],
)
def test_what_cannot_be_done(fields: dict[str, Any], words: str, tmp_path: Path) -> None:
    config(architectures=["MarianMTModel"]).save_pretrained(tmp_path)
    change_config(tmp_path, **fields)
    with pytest.raises(DataError, match=words):
        load(tmp_path)

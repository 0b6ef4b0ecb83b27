"""BART of transformers: post-norm stacks, learned positions from row 2, a norm of the embeddings, a bias of logits."""

from pathlib import Path
from typing import Any

import pytest
import torch
from folders import change_config, exported, load, published, random_model, rewrite
from seq2seq import assert_cache, assert_parity, both_logits

from multimodal.errors import ArgumentError, DataError

transformers = pytest.importorskip("transformers")


def config(**fields: Any) -> Any:
    sizes = {"vocab_size": 50, "d_model": 32, "encoder_layers": 2, "decoder_layers": 3, "max_position_embeddings": 24}
    heads = {"encoder_attention_heads": 4, "decoder_attention_heads": 2, "encoder_ffn_dim": 48, "decoder_ffn_dim": 40}
    return transformers.BartConfig(**{**sizes, **heads, **fields})


def bart(**fields: Any) -> Any:
    return random_model(transformers.BartForConditionalGeneration, config(**fields))


@pytest.mark.parametrize(
    "fields", [{}, {"scale_embedding": True, "activation_function": "relu"}], ids=["base", "scale"]
)
def test_logits_there_and_back(fields: dict[str, Any], tmp_path: Path, equal: Any) -> None:
    theirs = bart(**fields)
    assert theirs.final_logits_bias.abs().max() > 0
    ours = assert_parity(theirs, tmp_path, equal)
    assert ours.config.embedding.scale == (32**0.5 if fields else 1.0)


@torch.no_grad()
def test_a_model_without_an_output_layer(tmp_path: Path, equal: Any) -> None:
    """As the pretrained ones are published: transformers makes the output layer of the word table."""
    theirs = random_model(transformers.BartModel, config())
    ours = published(theirs, tmp_path / "read")
    equal(*both_logits(ours, theirs))
    exported(ours, theirs, tmp_path)
    equal(*both_logits(ours, transformers.BartForConditionalGeneration.from_pretrained(tmp_path / "back").eval()))


@torch.no_grad()
def test_decoding_with_a_cache(tmp_path: Path, equal: Any) -> None:
    theirs = bart()
    assert_cache(published(theirs, tmp_path), theirs, equal)


@torch.no_grad()
def test_the_longest_text(tmp_path: Path, equal: Any) -> None:
    theirs = bart()
    ours, ids = published(theirs, tmp_path), torch.randint(4, 50, (1, 24))
    equal(ours(ids, ids), theirs(ids, decoder_input_ids=ids).logits)
    with pytest.raises(ArgumentError, match="25 tokens were given; the model reads up to 24"):
        ours.encode(torch.randint(4, 50, (1, 25)))


def test_generation_as_the_checkpoint_asks(tmp_path: Path) -> None:
    theirs = bart(forced_bos_token_id=0, decoder_start_token_id=2)
    settings = {"num_beams": 4, "length_penalty": 2.0, "no_repeat_ngram_size": 3, "max_length": 20, "min_length": 5}
    theirs.generation_config.update(**settings, early_stopping=True, forced_bos_token_id=0)
    ours = published(theirs, tmp_path / "read")
    generation, rules = ours.config.generation, ours.config.generation.rules
    assert (ours.config.start, rules.forced_first, rules.forced_last, generation.end) == (2, 0, 2, (2,))
    assert (generation.beams.width, generation.beams.length_penalty, generation.beams.early_stopping) == (4, 2.0, True)
    assert (rules.no_repeat_ngram, rules.min_new_tokens, generation.max_new_tokens) == (3, 4, 19)
    exported(ours, theirs, tmp_path)
    assert load(tmp_path / "back").config == ours.config


@torch.no_grad()
def test_the_names_of_old_files(tmp_path: Path, equal: Any) -> None:
    theirs = bart()
    theirs.save_pretrained(tmp_path)
    words = theirs.state_dict()["model.shared.weight"]
    names = ("model.encoder.embed_tokens", "model.decoder.embed_tokens", "lm_head")
    more = {f"{name}.weight": words for name in names}
    rewrite(tmp_path, more={**more, "model.encoder.version": torch.tensor([3.0])})
    legacy = {"normalize_before": False, "normalize_embedding": True, "static_position_embeddings": False}
    change_config(tmp_path, **legacy, add_final_layer_norm=False, extra_pos_embeddings=2)
    equal(*both_logits(load(tmp_path), theirs))


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"tie_word_embeddings": False}, "tie_word_embeddings is False; only True"),
        ({"normalize_before": True}, "normalize_before is True; only False"),
        ({"normalize_embedding": False}, "normalize_embedding is False; only True"),
        ({"add_final_layer_norm": True}, "add_final_layer_norm is True"),
        (
            {"architectures": ["BartForCausalLM"]},
            r"architectures is \['BartForCausalLM'\].*BartForConditionalGeneration",
        ),
    ],
)
def test_what_cannot_be_done(fields: dict[str, Any], words: str, tmp_path: Path) -> None:
    config(architectures=["BartModel"]).save_pretrained(tmp_path)
    change_config(tmp_path, **fields)
    with pytest.raises(DataError, match=words):
        load(tmp_path)

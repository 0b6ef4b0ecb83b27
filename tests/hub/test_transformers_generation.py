"""Defaults of generation, from either of their files, and back."""

from __future__ import annotations

import warnings
from typing import Any

import pytest

from multimodal.errors import DataError
from multimodal.generation.config import BeamConfig, GenerationConfig, RulesConfig, SamplingConfig
from multimodal.hub.transformers_generation import read_generation, write_generation


def test_the_end_of_a_text() -> None:
    assert read_generation({}, {}).end == ()
    assert read_generation({}, {}, end=2).end == (2,)  # the family's own
    assert read_generation({"eos_token_id": None}, {}, end=2).end == ()
    assert read_generation({"eos_token_id": 5}, {}, end=2).end == (5,)
    assert read_generation({"eos_token_id": 5}, {"eos_token_id": [6, 7]}, end=2).end == (6, 7)
    assert read_generation({"eos_token_id": 5}, {"max_new_tokens": 3}, end=2).end == ()  # one file says it all


def test_sampling() -> None:
    assert read_generation({}, {"temperature": 0.5}).sampling is None
    assert read_generation({}, {"do_sample": True}).sampling == SamplingConfig(top_k=50)  # transformers' default
    fields = {"do_sample": True, "temperature": 0.6, "top_k": 0, "top_p": 0.9, "min_p": 0.1}
    assert read_generation({}, fields).sampling == SamplingConfig(temperature=0.6, top_p=0.9, min_p=0.1)


def test_beams_and_rules_as_bart_has_them() -> None:
    fields: dict[str, Any] = {
        "num_beams": 4,
        "length_penalty": 2.0,
        "early_stopping": True,
        "num_return_sequences": 2,
        "no_repeat_ngram_size": 3,
        "min_length": 56,
        "max_length": 142,
        "repetition_penalty": 1.2,
        "forced_bos_token_id": 0,
        "forced_eos_token_id": 2,
        "eos_token_id": 2,
        "bad_words_ids": [[9], [2], [7]],
        "suppress_tokens": [4],
        "begin_suppress_tokens": [5, 6],
    }
    found = read_generation(fields, {}, encoder_decoder=True)
    assert found == GenerationConfig(
        max_new_tokens=141,  # the one that the decoder begins with counts too
        end=(2,),
        beams=BeamConfig(width=4, length_penalty=2.0, early_stopping=True, n_best=2),
        rules=RulesConfig(
            repetition_penalty=1.2,
            no_repeat_ngram=3,
            min_new_tokens=55,
            suppress=(4, 7, 9),  # an end token is no bad word, there as here
            suppress_first=(5, 6),
            forced_first=0,
            forced_last=2,
        ),
    )
    assert read_generation({"force_bos_token_to_be_generated": True, "bos_token_id": 3}, {}).rules.forced_first == 3


def test_lengths_with_the_prompt_in_them_are_left_out() -> None:
    assert read_generation({}, {"max_length": 30}).max_new_tokens == GenerationConfig().max_new_tokens
    assert read_generation({}, {"max_length": 30, "max_new_tokens": 7}).max_new_tokens == 7


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"penalty_alpha": 0.6, "typical_p": 0.5}, "typical_p, penalty_alpha"),
        ({"num_beams": 2, "num_beam_groups": 2}, "num_beam_groups"),
        ({"num_beams": 2, "do_sample": True}, "do_sample"),
        ({"bad_words_ids": [[1, 2]]}, "bad_words_ids of several tokens"),
        ({"min_length": 3}, "min_length"),
    ],
)
def test_what_cannot_be_followed_is_said(fields: dict[str, Any], name: str) -> None:
    with pytest.warns(UserWarning, match=rf"generation_config.json: {name} cannot be followed here"):
        read_generation({}, fields)


def test_nothing_is_said_where_nothing_is_asked() -> None:
    usual = {"typical_p": 1.0, "num_beam_groups": 1, "guidance_scale": None, "renormalize_logits": False, "seed": 3}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_generation({}, {**usual, "max_length": 20, "min_length": 0}) == GenerationConfig()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"eos_token_id": -1}, r"generation_config.json: eos_token_id is -1; it must be an id or a list of ids"),
        ({"num_beams": 2, "early_stopping": "soon"}, r"early_stopping is 'soon'; it must be true, false or 'never'"),
        ({"bad_words_ids": [3]}, r"bad_words_ids is \[3\]; it must be a list of lists"),
        ({"do_sample": "yes"}, r"do_sample is 'yes'; it must be true or false"),
    ],
)
def test_damaged_fields(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_generation({}, fields)


@pytest.mark.parametrize("encoder_decoder", [False, True])
@pytest.mark.parametrize(
    "config",
    [
        GenerationConfig(),
        GenerationConfig(max_new_tokens=7, end=(1, 2), stop=("\n\n", "User:")),
        GenerationConfig(sampling=SamplingConfig(temperature=0.3, top_p=0.8)),
        GenerationConfig(sampling=SamplingConfig(top_k=5, min_p=0.1), end=(0,)),
        GenerationConfig(beams=BeamConfig(width=3, early_stopping="never", length_penalty=0.6, n_best=2)),
        GenerationConfig(rules=RulesConfig(suppress=(1, 2), suppress_first=(3,), forced_first=4, forced_last=5)),
        GenerationConfig(rules=RulesConfig(repetition_penalty=1.1, no_repeat_ngram=2, min_new_tokens=9)),
    ],
)
def test_there_and_back(config: GenerationConfig, encoder_decoder: bool) -> None:
    assert read_generation({}, write_generation(config), encoder_decoder=encoder_decoder) == config


def test_transformers_reads_what_is_written() -> None:
    transformers = pytest.importorskip("transformers")
    config = GenerationConfig(
        max_new_tokens=7, end=(1,), beams=BeamConfig(width=3, length_penalty=0.6), rules=RulesConfig(forced_last=1)
    )
    theirs = transformers.GenerationConfig.from_dict(write_generation(config))
    assert (theirs.max_new_tokens, theirs.eos_token_id, theirs.num_beams) == (7, 1, 3)
    assert (theirs.length_penalty, theirs.forced_eos_token_id, theirs.early_stopping) == (0.6, 1, False)

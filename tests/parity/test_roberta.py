"""RoBERTa of transformers: positions counted from behind the padding's id, its own classifier, no next sentence."""

from pathlib import Path
from typing import Any

import pytest
import torch
from encoders import HEADS, assert_labels, assert_packing, assert_parity, outputs
from folders import change_config, load, random_model, rewrite

from multimodal.errors import ArgumentError, DataError

transformers = pytest.importorskip("transformers")

COMPUTED = {
    "Model": {"hidden", "pooled"},
    "ForMaskedLM": {"hidden", "words"},
    "ForSequenceClassification": {"logits"},
    "ForTokenClassification": {"tags"},
    "ForQuestionAnswering": {"spans"},
    "ForMultipleChoice": {"logits"},
}


def config(**fields: Any) -> Any:
    sizes = {"vocab_size": 50, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
    more = {"intermediate_size": 48, "max_position_embeddings": 26, "type_vocab_size": 1, "layer_norm_eps": 1e-5}
    return transformers.RobertaConfig(**{**sizes, **more, **fields})


@pytest.mark.parametrize("name", COMPUTED)
def test_outputs_there_and_back(name: str, tmp_path: Path, equal: Any) -> None:
    kind = getattr(transformers, f"Roberta{name}")
    assert_parity(kind, config(), tmp_path, equal, ours=HEADS[name], computed=COMPUTED[name])


def test_options(tmp_path: Path, equal: Any) -> None:
    changed = config(hidden_act="relu", pad_token_id=3, type_vocab_size=2)  # the head of masked words keeps its GELU
    kind = transformers.RobertaForMaskedLM
    assert_parity(kind, changed, tmp_path, equal, ours="TextEncoder", computed={"hidden", "words"})


@torch.no_grad()
def test_the_longest_text(tmp_path: Path, equal: Any) -> None:
    theirs = random_model(transformers.RobertaModel, config())
    theirs.save_pretrained(tmp_path)
    model, ids = load(tmp_path), torch.randint(4, 50, (1, 24))
    equal(model(ids), theirs(ids).last_hidden_state)
    with pytest.raises(ArgumentError, match="25 tokens were given; the model reads up to 24"):
        model(torch.randint(4, 50, (1, 25)))


def test_packed_documents(tmp_path: Path, equal: Any) -> None:
    assert_packing(transformers.RobertaModel, config(), tmp_path, equal)


def test_labels(tmp_path: Path) -> None:
    assert_labels(transformers.RobertaForSequenceClassification, config(num_labels=3), tmp_path)


@torch.no_grad()
def test_the_names_of_old_files(tmp_path: Path, equal: Any) -> None:
    theirs = random_model(transformers.RobertaForMaskedLM, config())
    theirs.save_pretrained(tmp_path)
    more = {
        "lm_head.decoder.weight": theirs.state_dict()["roberta.embeddings.word_embeddings.weight"],
        "lm_head.decoder.bias": theirs.state_dict()["lm_head.bias"],
        "roberta.embeddings.position_ids": torch.arange(26)[None],
        "roberta.pooler.dense.weight": torch.randn(32, 32),
        "roberta.pooler.dense.bias": torch.randn(32),
    }
    rewrite(tmp_path, more=more)
    for found, expected in outputs(load(tmp_path), theirs).values():
        equal(found, expected)


def test_no_room_for_positions(tmp_path: Path) -> None:
    config(architectures=["RobertaModel"]).save_pretrained(tmp_path)
    change_config(tmp_path, max_position_embeddings=2)
    with pytest.raises(DataError, match="max_position_embeddings is 2; positions are counted from 2"):
        load(tmp_path)

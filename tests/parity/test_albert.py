"""ALBERT of transformers: narrow word vectors, one set of weights for all layers, the order of sentences."""

from pathlib import Path
from typing import Any

import pytest
import torch
from encoders import HEADS, assert_labels, assert_packing, assert_parity, outputs
from folders import change_config, load, random_model, rewrite

from multimodal.errors import DataError

transformers = pytest.importorskip("transformers")

COMPUTED = {
    "Model": {"hidden", "pooled"},
    "ForMaskedLM": {"hidden", "words"},
    "ForPreTraining": {"hidden", "words", "order"},
    "ForSequenceClassification": {"logits"},
    "ForTokenClassification": {"tags"},
    "ForQuestionAnswering": {"spans"},
    "ForMultipleChoice": {"logits"},
}


def config(**fields: Any) -> Any:
    sizes = {"vocab_size": 50, "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4}
    more = {"embedding_size": 12, "intermediate_size": 48, "max_position_embeddings": 24}
    return transformers.AlbertConfig(**{**sizes, **more, **fields})


@pytest.mark.parametrize("name", COMPUTED)
def test_outputs_there_and_back(name: str, tmp_path: Path, equal: Any) -> None:
    kind = getattr(transformers, f"Albert{name}")
    assert_parity(kind, config(), tmp_path, equal, ours=HEADS.get(name, "TextEncoder"), computed=COMPUTED[name])


def test_words_as_wide_as_the_model(tmp_path: Path, equal: Any) -> None:
    changed, kind = config(embedding_size=32, hidden_act="relu"), transformers.AlbertForMaskedLM
    assert_parity(kind, changed, tmp_path, equal, ours="TextEncoder", computed={"hidden", "words"})


def test_packed_documents(tmp_path: Path, equal: Any) -> None:
    assert_packing(transformers.AlbertModel, config(), tmp_path, equal)


def test_labels(tmp_path: Path) -> None:
    assert_labels(transformers.AlbertForTokenClassification, config(num_labels=3), tmp_path)


@torch.no_grad()
def test_the_names_of_old_files(tmp_path: Path, equal: Any) -> None:
    theirs = random_model(transformers.AlbertForMaskedLM, config())
    theirs.save_pretrained(tmp_path)
    more = {
        "predictions.decoder.weight": theirs.state_dict()["albert.embeddings.word_embeddings.weight"],
        "predictions.decoder.bias": theirs.state_dict()["predictions.bias"],
        "albert.embeddings.position_ids": torch.arange(24)[None],
        "albert.pooler.weight": torch.randn(32, 32),
        "albert.pooler.bias": torch.randn(32),
        "sop_classifier.classifier.weight": torch.randn(2, 32),
        "sop_classifier.classifier.bias": torch.randn(2),
    }
    rewrite(tmp_path, more=more)
    for found, expected in outputs(load(tmp_path), theirs).values():
        equal(found, expected)


@pytest.mark.parametrize("field", ["num_hidden_groups", "inner_group_num"])
def test_several_sets_of_weights(field: str, tmp_path: Path) -> None:
    config(architectures=["AlbertModel"]).save_pretrained(tmp_path)
    change_config(tmp_path, **{field: 2})
    with pytest.raises(DataError, match=f"{field} is 2; only 1 can be done here"):
        load(tmp_path)

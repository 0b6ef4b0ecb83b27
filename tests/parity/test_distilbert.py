"""DistilBERT of transformers: no segments, no pooler, fields and tensors with names of their own."""

from pathlib import Path
from typing import Any

import pytest
import torch
from encoders import HEADS, assert_labels, assert_packing, assert_parity, outputs
from folders import change_config, load, random_model, rewrite

from multimodal.errors import DataError

transformers = pytest.importorskip("transformers")

COMPUTED = {
    "Model": {"hidden"},
    "ForMaskedLM": {"hidden", "words"},
    "ForSequenceClassification": {"logits"},
    "ForTokenClassification": {"tags"},
    "ForQuestionAnswering": {"spans"},
    "ForMultipleChoice": {"logits"},
}


def config(**fields: Any) -> Any:
    sizes = {"vocab_size": 50, "dim": 32, "n_layers": 3, "n_heads": 4, "hidden_dim": 48, "max_position_embeddings": 24}
    return transformers.DistilBertConfig(**{**sizes, **fields})


@pytest.mark.parametrize("name", COMPUTED)
def test_outputs_there_and_back(name: str, tmp_path: Path, equal: Any) -> None:
    kind = getattr(transformers, f"DistilBert{name}")
    assert_parity(kind, config(), tmp_path, equal, ours=HEADS[name], computed=COMPUTED[name])


@pytest.mark.parametrize("fields", [{"activation": "relu"}, {"sinusoidal_pos_embds": True}], ids=str)
def test_options(fields: dict[str, Any], tmp_path: Path, equal: Any) -> None:
    kind = transformers.DistilBertForMaskedLM
    assert_parity(kind, config(**fields), tmp_path, equal, ours="TextEncoder", computed={"hidden", "words"})


def test_packed_documents(tmp_path: Path, equal: Any) -> None:
    assert_packing(transformers.DistilBertModel, config(), tmp_path, equal)


def test_labels_and_dropouts(tmp_path: Path) -> None:
    changed = config(num_labels=3, dropout=0.3, attention_dropout=0.4, seq_classif_dropout=0.5)
    assert_labels(transformers.DistilBertForSequenceClassification, changed, tmp_path)
    read = load(tmp_path / "back").config
    assert (read.encoder.embedding.dropout, read.encoder.backbone.block.dropout) == (0.3, 0.3)
    assert (read.encoder.backbone.block.attention.dropout, read.head.dropout) == (0.4, 0.5)


@torch.no_grad()
def test_the_names_of_old_files(tmp_path: Path, equal: Any) -> None:
    theirs = random_model(transformers.DistilBertForMaskedLM, config())
    theirs.save_pretrained(tmp_path)
    words = theirs.state_dict()["distilbert.embeddings.word_embeddings.weight"]
    rewrite(tmp_path, more={"vocab_projector.weight": words, "distilbert.embeddings.position_ids": torch.arange(24)})
    for found, expected in outputs(load(tmp_path), theirs).values():
        equal(found, expected)


def test_a_field_under_its_own_name(tmp_path: Path) -> None:
    config(architectures=["DistilBertModel"]).save_pretrained(tmp_path)
    change_config(tmp_path, n_layers="three")
    with pytest.raises(DataError, match="n_layers is 'three'; it must be a whole number from 1"):
        load(tmp_path)

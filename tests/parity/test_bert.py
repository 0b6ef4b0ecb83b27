"""BERT of transformers: post-norm, segments, a pooler, heads of pretraining and of tasks; older files."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from encoders import HEADS, assert_labels, assert_packing, assert_parity, outputs
from folders import change_config, exported, load, published, random_model, rewrite

from multimodal.errors import ArgumentError, DataError
from multimodal.hub.transformers_export import save_transformers

transformers = pytest.importorskip("transformers")

COMPUTED = {
    "Model": {"hidden", "pooled"},
    "ForMaskedLM": {"hidden", "words"},
    "ForPreTraining": {"hidden", "words", "order"},
    "ForNextSentencePrediction": {"hidden", "order"},
    "ForSequenceClassification": {"logits"},
    "ForTokenClassification": {"tags"},
    "ForQuestionAnswering": {"spans"},
    "ForMultipleChoice": {"logits"},
}


def config(**fields: Any) -> Any:
    sizes = {"vocab_size": 50, "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4}
    more = {"intermediate_size": 48, "max_position_embeddings": 24, "pad_token_id": 0}
    return transformers.BertConfig(**{**sizes, **more, **fields})


def bert(name: str, **fields: Any) -> Any:
    return random_model(getattr(transformers, f"Bert{name}"), config(**fields))


@pytest.mark.parametrize("name", COMPUTED)
def test_outputs_there_and_back(name: str, tmp_path: Path, equal: Any) -> None:
    kind, ours = getattr(transformers, f"Bert{name}"), HEADS.get(name, "TextEncoder")
    assert_parity(kind, config(), tmp_path, equal, ours=ours, computed=COMPUTED[name])


@pytest.mark.parametrize("act", ["relu", "gelu_new", "silu"])
def test_options(act: str, tmp_path: Path, equal: Any) -> None:
    changed = config(hidden_act=act, layer_norm_eps=0.1, type_vocab_size=3)
    kind = transformers.BertForMaskedLM
    assert_parity(kind, changed, tmp_path, equal, ours="TextEncoder", computed={"hidden", "words"})


def test_packed_documents(tmp_path: Path, equal: Any) -> None:
    assert_packing(transformers.BertModel, config(), tmp_path, equal)


def test_labels(tmp_path: Path) -> None:
    assert_labels(transformers.BertForSequenceClassification, config(num_labels=3), tmp_path / "texts")
    assert_labels(transformers.BertForTokenClassification, config(num_labels=3), tmp_path / "tokens")


def test_several_labels_of_a_text(tmp_path: Path) -> None:
    several = bert("ForSequenceClassification", num_labels=3, problem_type="multi_label_classification")
    model = published(several, tmp_path / "several")
    assert model.config.output == "sigmoid"
    assert exported(model, several, tmp_path).config.problem_type == "multi_label_classification"
    assert published(bert("ForSequenceClassification", num_labels=1), tmp_path / "one").config.output == "sigmoid"
    assert published(bert("ForSequenceClassification"), tmp_path / "two").config.output == "softmax"


@torch.no_grad()
def test_a_body_without_a_pooler(tmp_path: Path, equal: Any) -> None:
    theirs = transformers.BertModel(config(), add_pooling_layer=False).eval()
    model = published(theirs, tmp_path / "read")
    assert model.config.pooler is None
    for found, expected in (pairs := outputs(model, theirs)).values():
        equal(found, expected)
    assert pairs.keys() == {"hidden"}
    save_transformers(model, tmp_path / "back")
    assert load(tmp_path / "back").config == model.config


@torch.no_grad()
def test_the_names_of_old_files(tmp_path: Path, equal: Any) -> None:
    """Those first published: gamma and beta, position ids, both names of tied tensors, layers of pretraining."""
    theirs = bert("ForMaskedLM")
    theirs.save_pretrained(tmp_path)
    state = theirs.state_dict()
    words, bias = state["bert.embeddings.word_embeddings.weight"], state["cls.predictions.bias"]
    more = {
        "cls.predictions.decoder.weight": words,
        "cls.predictions.decoder.bias": bias,
        "bert.embeddings.position_ids": torch.arange(24)[None],
        "bert.pooler.dense.weight": torch.randn(32, 32),
        "bert.pooler.dense.bias": torch.randn(32),
        "cls.seq_relationship.weight": torch.randn(2, 32),
        "cls.seq_relationship.bias": torch.randn(2),
    }
    change_config(tmp_path, position_embedding_type="absolute", gradient_checkpointing=False)
    rewrite(tmp_path, rename=lambda key: re.sub("(?<=LayerNorm.)weight", "gamma", key), more=more)
    rewrite(tmp_path, rename=lambda key: re.sub("(?<=LayerNorm.)bias", "beta", key))
    for found, expected in outputs(load(tmp_path), theirs).values():
        equal(found, expected)


def test_tied_tensors_that_differ(tmp_path: Path) -> None:
    bert("ForMaskedLM").save_pretrained(tmp_path)
    rewrite(tmp_path, more={"cls.predictions.decoder.weight": torch.zeros(50, 32)})
    with pytest.raises(DataError, match=r"'cls.predictions.decoder.weight' differ, but the model ties them"):
        load(tmp_path)


@pytest.mark.parametrize("name", ["Model", "ForMaskedLM"])
@torch.no_grad()
def test_files_of_the_other_class(name: str, tmp_path: Path, equal: Any) -> None:
    """A body in a file with heads, and a head whose file names the body without its prefix."""
    theirs = bert(name)
    theirs.save_pretrained(tmp_path)
    if name == "Model":
        spare = {"cls.predictions.bias": torch.randn(50), "cls.predictions.transform.LayerNorm.weight": torch.randn(32)}
        rewrite(tmp_path, rename=lambda key: f"bert.{key}", more=spare)
    else:
        rewrite(tmp_path, rename=lambda key: key.removeprefix("bert."))
    for found, expected in outputs(load(tmp_path), theirs).values():
        equal(found, expected)


def test_a_tensor_that_is_missing_and_one_that_is_too_many(tmp_path: Path) -> None:
    bert("Model").save_pretrained(tmp_path)
    rewrite(tmp_path, rename=lambda key: key.replace("layer.1.attention.self.query", "layer.1.attention.self.quarry"))
    with pytest.raises(DataError) as error:
        load(tmp_path)
    assert "'encoder.layer.1.attention.self.quarry.bias'" in str(error.value)
    assert "'backbone.blocks.1.attention.q.bias'" in str(error.value)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"position_embedding_type": "relative_key"}, r"position_embedding_type is 'relative_key'; only 'absolute'"),
        ({"is_decoder": True}, "is_decoder is True; only False"),
        ({"add_cross_attention": True}, "add_cross_attention is True"),
        ({"tie_word_embeddings": False}, "tie_word_embeddings is False"),
        ({"hidden_act": "mish"}, "hidden_act is 'mish'; the activations here are"),
        ({"architectures": ["BertLMHeadModel"]}, "architectures is .*'BertLMHeadModel'.*BertForMaskedLM"),
        ({"num_hidden_layers": 0}, "num_hidden_layers is 0; it must be a whole number from 1"),
        ({"num_labels": 2, "problem_type": "regression"}, "problem_type is 'regression'; only classification"),
        ({"id2label": {"0": "a", "2": "c"}}, "id2label is .*; it must name each class"),
    ],
)
def test_what_cannot_be_done(fields: dict[str, Any], words: str, tmp_path: Path) -> None:
    config(architectures=["BertForSequenceClassification"]).save_pretrained(tmp_path)
    change_config(tmp_path, **fields)
    with pytest.raises((DataError, ArgumentError), match=words):
        load(tmp_path)


def test_answers_have_two_labels(tmp_path: Path) -> None:
    config(architectures=["BertForQuestionAnswering"], num_labels=3).save_pretrained(tmp_path)
    with pytest.raises(DataError, match=r"id2label is .*answers have two labels"):
        load(tmp_path)

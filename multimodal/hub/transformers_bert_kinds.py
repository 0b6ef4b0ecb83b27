"""BERT, RoBERTa, DistilBERT and ALBERT of transformers: what each calls its classes and the fields of its config.json.

What the fields mean here is said in `transformers_bert.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from multimodal.weights.bert import ALBERT, BERT, DISTILBERT, ROBERTA, Names, Part

PARTS: dict[Part, str] = {  # how transformers calls the class of each, behind the name of the model
    "base": "Model",
    "masked": "ForMaskedLM",
    "pretraining": "ForPreTraining",
    "next": "ForNextSentencePrediction",
    "classify": "ForSequenceClassification",
    "tag": "ForTokenClassification",
    "answer": "ForQuestionAnswering",
    "choose": "ForMultipleChoice",
}
TASKS: tuple[Part, ...] = ("classify", "tag", "answer", "choose")
_MASKED: tuple[Part, ...] = ("base", "masked")
_PAIRED: tuple[Part, ...] = ("base", "masked", "pretraining")
_BERT: dict[str, Any] = {  # the fields that all have, and what they mean where BERT's config.json is silent
    "vocab_size": 30_522,
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "hidden_act": "gelu",
    "max_position_embeddings": 512,
    "hidden_dropout_prob": 0.1,
    "attention_probs_dropout_prob": 0.1,
    "classifier_dropout": None,  # as hidden_dropout_prob
}
_ALBERT = {
    **_BERT,
    "vocab_size": 30_000,
    "hidden_size": 4096,
    "num_attention_heads": 64,
    "intermediate_size": 16_384,
    "hidden_act": "gelu_new",
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
    "classifier_dropout": 0.1,
}
_DISTILBERT = {
    "hidden_size": "dim",
    "num_hidden_layers": "n_layers",
    "num_attention_heads": "n_heads",
    "intermediate_size": "hidden_dim",
    "hidden_act": "activation",
    "hidden_dropout_prob": "dropout",
    "attention_probs_dropout_prob": "attention_dropout",
    "classifier_dropout": "seq_classif_dropout",
}


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One of the four.

    Attributes:
        name: its classes begin with it.
        tensors: the names of its tensors.
        parts: what there are classes for.
        usual: BERT's name of a field, and what the field means where it is absent.
        own: BERT's name of a field, and its own where that is another.
    """

    name: str
    tensors: Names
    parts: tuple[Part, ...]
    usual: Mapping[str, Any]
    own: Mapping[str, str]


KINDS = {
    "bert": Kind(name="Bert", tensors=BERT, parts=(*_PAIRED, "next", *TASKS), usual=_BERT, own={}),
    "roberta": Kind(
        name="Roberta", tensors=ROBERTA, parts=(*_MASKED, *TASKS), usual={**_BERT, "vocab_size": 50_265}, own={}
    ),
    "distilbert": Kind(
        name="DistilBert",
        tensors=DISTILBERT,
        parts=(*_MASKED, *TASKS),
        usual={**_BERT, "num_hidden_layers": 6, "classifier_dropout": 0.2},
        own=_DISTILBERT,
    ),
    "albert": Kind(
        name="Albert",
        tensors=ALBERT,
        parts=(*_PAIRED, *TASKS),
        usual=_ALBERT,
        own={"classifier_dropout": "classifier_dropout_prob"},
    ),
}

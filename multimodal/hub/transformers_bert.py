"""BERT, RoBERTa, DistilBERT and ALBERT of transformers: their config.json as ours, and back.

Each is a `TextEncoder`, alone or with the layers of its pretraining, or the model of a task (`models/text_heads.py`).
They differ in the names of their fields and in what they lack: RoBERTa counts positions from behind the padding's id,
DistilBERT has neither segments nor a pooler, ALBERT narrow word vectors and one set of weights for all layers.

Refs: BERT arXiv:1810.04805 · RoBERTa arXiv:1907.11692 · DistilBERT arXiv:1910.01108 · ALBERT arXiv:1909.11942
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from multimodal.backbone.attention import AttentionConfig
from multimodal.backbone.backbone import BackboneConfig
from multimodal.backbone.block import BlockConfig
from multimodal.backbone.mlp import MlpConfig
from multimodal.backbone.norm import LayerNormConfig
from multimodal.hub.transformers_bert_kinds import KINDS, PARTS, TASKS
from multimodal.hub.transformers_family import Fields, Published, activation_name
from multimodal.models.text_encoder import MaskedHeadConfig, PoolerConfig, TextEncoderConfig
from multimodal.models.text_heads import (
    FirstTokenHeadConfig,
    MultipleChoiceConfig,
    QuestionAnswererConfig,
    TextClassifierConfig,
    TokenTaggerConfig,
)
from multimodal.tokenizers.text_embedding import TextEmbeddingConfig
from multimodal.weights.bert import Part, bert

MODEL_TYPES = tuple(KINDS)
_OLDER = ((r"LayerNorm\.gamma$", "LayerNorm.weight"), (r"LayerNorm\.beta$", "LayerNorm.bias"))


def read(config: Mapping[str, Any], generation: Mapping[str, Any]) -> Published:
    """A `TextEncoder`, or the model of a task; see `Family.read`."""
    name, fields = config["model_type"], Fields(config)
    kind = KINDS[name]
    classes: dict[str, Part] = {f"{kind.name}{PARTS[part]}": part for part in kind.parts}
    part = classes[fields.architecture(tuple(classes))]
    fields.only(position_embedding_type="absolute", is_decoder=False, add_cross_attention=False)
    fields.only(tie_word_embeddings=True, num_hidden_groups=1, inner_group_num=1)
    body = _body(fields, name)
    prefix = (rf"^{name}\.", "") if part == "base" else (r"^(?=(embeddings|encoder|transformer|pooler)\.)", f"{name}.")
    found = Published(config=body, table=bert(kind.tensors, part), older=(*_OLDER, prefix))
    if part in TASKS:
        return _task(fields, part, found, body)
    if part == "base":
        if kind.tensors.pooler is None:
            return found
        bare = replace(found, table=bert(kind.tensors, part, pooler=False))
        without = ((f"{kind.tensors.pooler}.weight", bare),)
        return replace(found, config=replace(body, pooler=PoolerConfig()), without=without)
    block = body.backbone.block
    head = MaskedHeadConfig(activation="gelu" if name == "roberta" else block.mlp.activation, norm=block.norm)
    return replace(
        found,
        config=replace(
            body,
            pooler=PoolerConfig(next_sentence=True) if part != "masked" else None,
            head=head if part != "next" else None,
        ),
    )


def _body(fields: Fields, name: str) -> TextEncoderConfig:
    """What all models of a kind have."""
    usual, own = KINDS[name].usual, KINDS[name].own

    def whole(field: str) -> int:
        return fields.whole(own.get(field, field), usual[field])

    def rate(field: str) -> float:
        return fields.rate(own.get(field, field), usual[field])

    dim, rows, dropout = whole("hidden_size"), whole("max_position_embeddings"), rate("hidden_dropout_prob")
    first = fields.whole("pad_token_id", 1, least=0) + 1 if name == "roberta" else 0
    if rows <= first:
        raise fields.wrong("max_position_embeddings", f"positions are counted from {first}, which leaves none")
    norm = LayerNormConfig(eps=1e-12 if name == "distilbert" else fields.number("layer_norm_eps", 1e-12, least=0.0))
    block = BlockConfig(
        attention=AttentionConfig(heads=whole("num_attention_heads"), dropout=rate("attention_probs_dropout_prob")),
        mlp=MlpConfig(
            hidden=whole("intermediate_size"),
            activation=fields.activation(own.get("hidden_act", "hidden_act"), usual["hidden_act"]),
        ),
        norm=norm,
        placement="post",
        dropout=dropout,
    )
    return TextEncoderConfig(
        embedding=TextEmbeddingConfig(
            vocabulary=whole("vocab_size"),
            max_length=rows - first,
            first_position=first,
            types=0 if name == "distilbert" else fields.whole("type_vocab_size", 2),
            norm=norm,
            width=fields.whole("embedding_size", 128) if name == "albert" else None,
            dropout=dropout,
        ),
        backbone=BackboneConfig(
            dim=dim, depth=whole("num_hidden_layers"), block=block, shared=name == "albert", final_norm=False
        ),
    )


def _task(fields: Fields, part: Part, found: Published, body: TextEncoderConfig) -> Published:
    """`found` with a task's head around the `body`."""
    name = fields.config["model_type"]
    kind, hidden = KINDS[name], body.backbone.block.dropout
    usual = hidden if kind.usual["classifier_dropout"] is None else kind.usual["classifier_dropout"]
    dropout = fields.rate(kind.own.get("classifier_dropout", "classifier_dropout"), usual)
    labels = fields.labels()
    head = FirstTokenHeadConfig(activation="relu" if name == "distilbert" else "tanh", dropout=dropout)
    if part == "choose":
        return replace(found, config=MultipleChoiceConfig(encoder=body, head=head))
    if part == "answer":
        if len(labels) != 2:
            raise fields.wrong("id2label", "answers have two labels, where they begin and where they end")
        dropout = fields.rate("qa_dropout", 0.1) if name == "distilbert" else 0.0
        return replace(found, config=QuestionAnswererConfig(encoder=body, dropout=dropout))
    if part == "tag":
        dropout = hidden if name == "distilbert" else dropout
        config = TokenTaggerConfig(encoder=body, classes=len(labels), dropout=dropout)
        return replace(found, config=config, labels=labels)
    several = fields.several_labels() or len(labels) == 1
    config = TextClassifierConfig(
        encoder=body, classes=len(labels), head=head, output="sigmoid" if several else "softmax"
    )
    return replace(found, config=config, labels=labels)


def write(model_config: Any) -> dict[str, Any] | None:
    """The config.json of a `TextEncoder` or the model of a task; see `Family.write`."""
    body, part, dropout = _part_of(model_config)
    if body is None or part is None or not isinstance(body.backbone.block.mlp, MlpConfig):
        return None
    embedding, backbone, block = body.embedding, body.backbone, body.backbone.block
    first = embedding.first_position
    name = "albert" if backbone.shared else "roberta" if first else "bert" if embedding.types else "distilbert"
    kind = KINDS[name]
    if part not in kind.parts or not isinstance(block.norm, LayerNormConfig):
        return None
    values = {
        "vocab_size": embedding.vocabulary,
        "hidden_size": backbone.dim,
        "num_hidden_layers": backbone.depth,
        "num_attention_heads": block.attention.heads,
        "intermediate_size": block.mlp.hidden,
        "hidden_act": activation_name(block.mlp.activation),
        "max_position_embeddings": embedding.max_length + first,
        "hidden_dropout_prob": block.dropout,
        "attention_probs_dropout_prob": block.attention.dropout,
    }
    if part in ("classify", "choose", "tag"):
        values["classifier_dropout"] = dropout
    found: dict[str, Any] = {kind.own.get(field, field): value for field, value in values.items()}
    if name == "distilbert":
        found |= {"qa_dropout": dropout} if part == "answer" else {}
    else:
        found |= {"type_vocab_size": embedding.types, "layer_norm_eps": block.norm.eps}
    found |= {"embedding_size": embedding.width} if name == "albert" else {}
    found |= {"pad_token_id": first - 1} if name == "roberta" else {}
    if isinstance(model_config, TextClassifierConfig | TokenTaggerConfig):
        labels = [f"LABEL_{i}" for i in range(model_config.classes)]
        found |= {"id2label": {str(i): label for i, label in enumerate(labels)}}
        found |= {"label2id": {label: i for i, label in enumerate(labels)}}
    if isinstance(model_config, TextClassifierConfig) and model_config.output == "sigmoid" and model_config.classes > 1:
        found["problem_type"] = "multi_label_classification"
    return {"model_type": name, "architectures": [f"{kind.name}{PARTS[part]}"], **found}


def _part_of(config: Any) -> tuple[TextEncoderConfig | None, Part | None, float | None]:
    """The body, which part this is, and the dropout in front of a task's last layer."""
    if isinstance(config, TextEncoderConfig):
        following = config.pooler is not None and config.pooler.next_sentence
        if config.head is not None:
            part = "pretraining" if following else "masked"
        else:
            part = "next" if following else "base"
        return config, part, None
    body = getattr(config, "encoder", None)
    if not isinstance(body, TextEncoderConfig):
        return None, None, None
    if isinstance(config, QuestionAnswererConfig | TokenTaggerConfig):
        return body, "answer" if isinstance(config, QuestionAnswererConfig) else "tag", config.dropout
    if not isinstance(config.head, FirstTokenHeadConfig):
        return None, None, None
    return body, "choose" if isinstance(config, MultipleChoiceConfig) else "classify", config.head.dropout

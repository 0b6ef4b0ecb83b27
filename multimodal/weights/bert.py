"""BERT, RoBERTa, DistilBERT and ALBERT of transformers: a `TextEncoder`, or the model of a task around one.

The body's names are bare in a file without a head, and under a prefix (`bert.`) otherwise. What pretraining left behind
in a file, and the model at hand does not compute with, is ignored, as transformers does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from multimodal.weights.keymap import Ignore, Row, Table, layer

# The body alone; with the layers of pretraining: for masked words, for the next sentence, both; with a head for texts,
# for tokens, for answers in a context, for the right one of several texts.
Part: TypeAlias = Literal["base", "masked", "next", "pretraining", "classify", "tag", "answer", "choose"]
_TABLES, _BLOCK = "embedding.placement", "backbone.blocks.{i}"


@dataclass(frozen=True, kw_only=True)
class Names:
    """What one of the four calls its layers.

    Attributes:
        prefix: of the body's names, without the dot.
        body: all of the body but the word table and the pooler.
        pooler: the body's; None: it has none.
        masked: the head for masked words: its dense layer, its norm, its output layer and the bias of that.
        following: the layer on the pooler that says whether a sentence follows another.
        classify: the two layers that class texts; the first may be the pooler, with its prefix.
        choose: the same, where one of several texts is chosen.
    """

    prefix: str
    body: tuple[Row | Ignore, ...]
    pooler: str | None
    masked: tuple[str, str, str, str]
    following: str | None
    classify: tuple[str, str]
    choose: tuple[str, str]


def bert(names: Names, part: Part, *, pooler: bool = True) -> Table:
    """The table of one of the models with these `names`; `pooler`: whether the body alone has one."""
    theirs = "" if part == "base" else f"{names.prefix}."
    words, own = f"{theirs}embeddings.word_embeddings", theirs + (names.pooler or "")
    dense, norm, output, bias = names.masked
    rows: list[Row | Ignore] = []
    if part in ("masked", "pretraining"):  # the output layer is the word table, and files may hold it twice
        rows += [Row(f"{{{words},{output}}}.weight", "embedding.words.weight"), Row(bias, "head.bias")]
        rows += [*layer(dense, "head.dense"), *layer(norm, "head.norm")]
    else:
        rows += [Row(f"{words}.weight", "embedding.words.weight")]
    if names.pooler and (part in ("next", "pretraining") or (part == "base" and pooler)):
        rows += layer(own, "pooler.dense")
    if names.following and part in ("next", "pretraining"):
        rows += layer(names.following, "pooler.next_sentence")
    body = Table(*rows, *Table(*names.body).under(theirs=theirs).rows)
    left = (dense, norm, output, names.following, own if names.pooler else None)
    spare = [Ignore(f"{name}.{{weight,bias}}", "left behind by pretraining") for name in left if name]
    spare.append(Ignore(bias, "left behind by pretraining"))
    if part in ("tag", "answer"):
        head = layer("classifier" if part == "tag" else "qa_outputs", "head")
    elif part in ("classify", "choose"):
        first, last = names.classify if part == "classify" else names.choose
        head = [*layer(first, "head.dense"), *layer(last, "head.linear")]
    else:
        return Table(*body.rows, *spare)
    return Table(*body.under(ours="encoder.").rows, *head, *spare)


def _post_norm(block: str, *, q: str, k: str, v: str, out: str, norm: str, up: str, down: str, last: str) -> list[Row]:
    """The rows of blocks, of which `block` is the prefix."""
    names = {
        q: "attention.q",
        k: "attention.k",
        v: "attention.v",
        out: "attention.out",
        norm: "attention_branch.norm",
        up: "mlp.up",
        down: "mlp.down",
        last: "mlp_branch.norm",
    }
    ours = _BLOCK if "{i}" in block else _BLOCK.format(i=0)
    return [row for theirs, our in names.items() for row in layer(f"{block}.{theirs}", f"{ours}.{our}")]


_EMBEDDINGS = (
    Row("embeddings.position_embeddings.weight", f"{_TABLES}.position.weight"),
    Row("embeddings.token_type_embeddings.weight", f"{_TABLES}.types.weight"),
    *layer("embeddings.LayerNorm", f"{_TABLES}.norm"),
    Ignore("embeddings.{position_ids,token_type_ids}", "whole numbers in order, and zeros, that older versions stored"),
)
_BERT_BODY = (
    *_EMBEDDINGS,
    *_post_norm(
        "encoder.layer.{i}",
        q="attention.self.query",
        k="attention.self.key",
        v="attention.self.value",
        out="attention.output.dense",
        norm="attention.output.LayerNorm",
        up="intermediate.dense",
        down="output.dense",
        last="output.LayerNorm",
    ),
)
BERT = Names(
    prefix="bert",
    body=_BERT_BODY,
    pooler="pooler.dense",
    masked=(
        *("cls.predictions.transform.dense", "cls.predictions.transform.LayerNorm", "cls.predictions.decoder"),
        "cls.predictions.{bias,decoder.bias}",
    ),
    following="cls.seq_relationship",
    classify=("bert.pooler.dense", "classifier"),
    choose=("bert.pooler.dense", "classifier"),
)
ROBERTA = Names(
    prefix="roberta",
    body=_BERT_BODY,
    pooler="pooler.dense",
    masked=("lm_head.dense", "lm_head.layer_norm", "lm_head.decoder", "lm_head.{bias,decoder.bias}"),
    following=None,
    classify=("classifier.dense", "classifier.out_proj"),
    choose=("roberta.pooler.dense", "classifier"),
)
DISTILBERT = Names(
    prefix="distilbert",
    body=(
        *_EMBEDDINGS,
        *_post_norm(
            "transformer.layer.{i}",
            q="attention.q_lin",
            k="attention.k_lin",
            v="attention.v_lin",
            out="attention.out_lin",
            norm="sa_layer_norm",
            up="ffn.lin1",
            down="ffn.lin2",
            last="output_layer_norm",
        ),
    ),
    pooler=None,
    masked=("vocab_transform", "vocab_layer_norm", "vocab_projector", "vocab_projector.bias"),
    following=None,
    classify=("pre_classifier", "classifier"),
    choose=("pre_classifier", "classifier"),
)
ALBERT = Names(
    prefix="albert",
    body=(
        *_EMBEDDINGS,
        *layer("encoder.embedding_hidden_mapping_in", f"{_TABLES}.project"),
        *_post_norm(
            "encoder.albert_layer_groups.0.albert_layers.0",
            q="attention.query",
            k="attention.key",
            v="attention.value",
            out="attention.dense",
            norm="attention.LayerNorm",
            up="ffn",
            down="ffn_output",
            last="full_layer_layer_norm",
        ),
    ),
    pooler="pooler",
    masked=("predictions.dense", "predictions.LayerNorm", "predictions.decoder", "predictions.{bias,decoder.bias}"),
    following="sop_classifier.classifier",
    classify=("albert.pooler", "classifier"),
    choose=("albert.pooler", "classifier"),
)

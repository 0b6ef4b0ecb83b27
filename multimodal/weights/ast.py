"""AST of transformers: where each tensor of an audio spectrogram transformer lives in a `Classifier`.

Refs: https://github.com/huggingface/transformers, `models/audio_spectrogram_transformer/modeling_*.py`
"""

from __future__ import annotations

from multimodal.weights.keymap import Row, Table, layer

_BLOCK = Table(
    *layer("layernorm_before", "attention_branch.norm"),
    *(
        row
        for name in ("query", "key", "value")
        for row in layer(f"attention.attention.{name}", f"attention.{name[0]}")
    ),
    *layer("attention.output.dense", "attention.out"),
    *layer("layernorm_after", "mlp_branch.norm"),
    *layer("intermediate.dense", "mlp.up"),
    *layer("output.dense", "mlp.down"),
).under(theirs="encoder.layer.{i}.", ours="backbone.blocks.{i}.")


def ast(dim: int, *, head: bool) -> Table:
    """The table of a model of width `dim`, with a `head` for classes or without."""
    flat = (1, -1, dim)  # vectors stand in rows here, in one batch of rows there
    tokens = "embeddings.{cls_token,distillation_token}"
    body = Table(
        Row(tokens, "tokenizer.prefix", axis=1, shape=flat, pieces=(1, 1)),
        Row("embeddings.position_embeddings", "tokenizer.{prefix_position,position.weight}", shape=flat),
        *layer("embeddings.patch_embeddings.projection", "tokenizer.patches"),
        *_BLOCK.rows,
        *layer("layernorm", "backbone.norm"),
    )
    if not head:
        return body.under(ours="encoder.")
    whole = body.under(theirs="audio_spectrogram_transformer.", ours="encoder.")
    return Table(*whole.rows, *layer("classifier.layernorm", "encoder.norm"), *layer("classifier.dense", "head.1"))

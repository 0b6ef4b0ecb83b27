"""CLIP and SigLIP of transformers: where each of their tensors lives in a `DualEncoder`.

`CLIP_IMAGE` and `SIGLIP_IMAGE` are their image towers alone, in an `ImageEncoder`.

Refs: https://github.com/huggingface/transformers, `models/{clip,siglip}/modeling_*.py`
"""

from __future__ import annotations

from multimodal.weights.keymap import Ignore, Row, Table, layer

_BLOCK = (
    *layer("layer_norm1", "attention_branch.norm"),
    *(row for name in "qkv" for row in layer(f"self_attn.{name}_proj", f"attention.{name}")),
    *layer("self_attn.out_proj", "attention.out"),
    *layer("layer_norm2", "mlp_branch.norm"),
    *layer("mlp.fc1", "mlp.up"),
    *layer("mlp.fc2", "mlp.down"),
)
_BLOCKS = Table(*_BLOCK).under(theirs="encoder.layers.{i}.", ours="backbone.blocks.{i}.").rows
_POSITIONS = Ignore("embeddings.position_ids", "whole numbers in order, that older versions stored")

_TEXT = Table(
    Row("embeddings.token_embedding.weight", "embedding.words.weight"),
    Row("embeddings.position_embedding.weight", "embedding.placement.position.weight"),
    *_BLOCKS,
    *layer("final_layer_norm", "backbone.norm"),
    _POSITIONS,
).under(theirs="text_model.", ours="text.")
_IMAGE = (
    *layer("embeddings.patch_embedding", "tokenizer.patches"),
    *_BLOCKS,
    *layer("post_layernorm", "backbone.norm"),
    _POSITIONS,
)
CLIP_IMAGE = Table(
    Row("embeddings.class_embedding", "tokenizer.prefix", shape=(-1,)),
    Row("embeddings.position_embedding.weight", "tokenizer.{prefix_position,position.weight}"),
    *layer("pre_layrnorm", "tokenizer.norm"),  # the missing letter is theirs
    *_IMAGE,
)
SIGLIP_IMAGE = Table(
    Row("embeddings.position_embedding.weight", "tokenizer.position.weight"),
    *_IMAGE,
    Row("head.probe", "pool.query", shape=(1, 1, -1)),
    *(Row(f"head.attention.in_proj_{part}", f"pool.attention.{{q,k,v}}.{part}") for part in ("weight", "bias")),
    *layer("head.attention.out_proj", "pool.attention.out"),
    *layer("head.layernorm", "pool.norm"),
    *layer("head.mlp.fc1", "pool.mlp.up"),
    *layer("head.mlp.fc2", "pool.mlp.down"),
)

_PLACE = {"theirs": "vision_model.", "ours": "image.encoder."}
CLIP = Table(
    *CLIP_IMAGE.under(**_PLACE).rows,
    Row("visual_projection.weight", "image.projection.weight"),
    *_TEXT.rows,
    Row("text_projection.weight", "text.projection.weight"),
    Row("logit_scale", "similarity.log_scale"),
)
SIGLIP = Table(
    *SIGLIP_IMAGE.under(**_PLACE).rows,
    *_TEXT.rows,
    *layer("text_model.head", "text.projection"),
    Row("logit_scale", "similarity.log_scale", shape=(1,)),
    Row("logit_bias", "similarity.bias", shape=(1,)),
)

"""open_clip's models: where each of their tensors lives in a `DualEncoder`.

The image tower is open_clip's own vision transformer, or a timm model before a projection; the text tower is
open_clip's own, either beside the other tensors (class `CLIP`) or under "text." (`CustomTextCLIP`, `CoCa`). A wrapped
tower keeps its names. What a model is, its config says; it is read in `hub/open_clip_config.py`.

Refs: https://github.com/mlfoundations/open_clip, `model.py`, `transformer.py`, `timm_model.py`
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from multimodal.weights.keymap import Ignore, Row, Table, layer
from multimodal.weights.timm_any import counted
from multimodal.weights.timm_vit import Layout, timm_vit

_BLOCK = Table(
    *layer("ln_1", "attention_branch.norm"),
    *(Row(f"attn.in_proj_{part}", f"attention.{{q,k,v}}.{part}") for part in ("weight", "bias")),
    *layer("attn.ln_q", "attention.q_norm"),
    *layer("attn.ln_k", "attention.k_norm"),
    *layer("attn.ln_inner", "attention.out_norm"),
    *layer("attn.out_proj", "attention.out"),
    Row("ls_1.gamma", "attention_branch.scale"),
    *layer("ln_2", "mlp_branch.norm"),
    *layer("mlp.c_fc", "mlp.up"),
    *layer("mlp.ln", "mlp.norm"),
    *layer("mlp.c_proj", "mlp.down"),
    Row("ls_2.gamma", "mlp_branch.scale"),
)


def open_clip(image: Table, text: Table, *, custom: bool) -> Table:
    """The table of a whole model.

    Args:
        image: of its image tower, from `vision_transformer`, `timm_tower` or `wrapped_tower`.
        text: of its text tower, from `text_transformer` or `wrapped_tower`.
        custom: the text tower's names begin with "text."; otherwise they stand beside the other names.
    """
    return Table(
        *image.under(theirs="visual.", ours="image.").rows,
        Row("logit_scale", "similarity.log_scale"),
        Row("logit_bias", "similarity.bias"),
        *text.under(theirs="text." if custom else "", ours="text.").rows,
    )


def vision_transformer(*, norm_after_pool: bool) -> Table:
    """open_clip's own image tower; `norm_after_pool`: its last norm sees the pooled vector alone."""
    return Table(
        Row("conv1.weight", "encoder.tokenizer.patches.weight"),
        Row("class_embedding", "encoder.tokenizer.prefix", shape=(-1,)),
        Row("positional_embedding", "encoder.tokenizer.{prefix_position,position.weight}"),
        *layer("ln_pre", "encoder.tokenizer.norm"),
        *_BLOCK.under(theirs="transformer.resblocks.{i}.", ours="encoder.backbone.blocks.{i}.").rows,
        *layer("ln_post", "encoder.norm" if norm_after_pool else "encoder.backbone.norm"),
        Row("proj", "projection.weight", transpose=True),
    )


def timm_tower(layout: Layout, *, projection: Literal["trunk.head", "head.proj"]) -> Table:
    """A vision transformer of timm; `projection`: timm's own classifier, or a layer of open_clip's behind it."""
    trunk = timm_vit(layout).under(theirs="trunk.")
    body = [row for row in trunk.rows if isinstance(row, Ignore) or not row.ours.startswith("head.")]
    return Table(*layer(projection, "projection"), *body)


def text_transformer(*, linear: bool) -> Table:
    """open_clip's own text tower; `linear`: its projection is a layer with a bias, and not a matrix."""
    matrix = [Row("text_projection", "projection.weight", transpose=True)]
    return Table(
        Row("token_embedding.weight", "embedding.words.weight"),
        Row("positional_embedding", "embedding.placement.position.weight"),
        *_BLOCK.under(theirs="transformer.resblocks.{i}.", ours="backbone.blocks.{i}.").rows,
        *layer("ln_final", "backbone.norm"),
        *(layer("text_projection", "projection") if linear else matrix),
        Ignore("attn_mask", "made anew from the config"),
    )


def wrapped_tower(names: Iterable[str]) -> Table:
    """A tower that is open_clip's own code; `names` of its tensors."""
    return Table(*(Row(name, f"model.{name}") for name in dict.fromkeys(map(counted, names))))

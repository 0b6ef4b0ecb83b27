"""timm's vision transformers: where each of their tensors lives in a `Classifier` on the shared backbone.

Covers what timm builds from `VisionTransformer` (ViT, DeiT, DeiT III, CLIP, SigLIP, DINOv2),
`VisionTransformerDistilled` (DeiT with a distillation token) and `Eva` (EVA, EVA-02). They store the same mathematics
under a few different names; a `Layout` says which. It is read off the timm model's modules in `models/timm_vit.py`.

Refs: https://github.com/huggingface/pytorch-image-models, `models/{vision_transformer,deit,eva}.py`
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from multimodal.weights.keymap import Row, Table, layer


@dataclass(frozen=True, kw_only=True)
class Layout:
    """How one timm model stores what all of them have.

    Attributes:
        dim: width d of the tokens.
        prefix: names and lengths of the token parameters that stand in front of the patches, in their order.
        prefix_positions: whether `pos_embed` begins with the positions of those.
        qkv: projections fused with their bias, fused with separate query and value biases (EVA), or separate (EVA-02).
        mlp: plain; or gated, with gate and value packed into one layer in one order or the other, or in two layers.
        layer_scale: the name of layer scale: `ls1.gamma` (ViT) or `gamma_1` (EVA).
    """

    dim: int
    prefix: tuple[tuple[str, int], ...]
    prefix_positions: bool
    qkv: Literal["fused", "bias apart", "separate"]
    mlp: Literal["plain", "gate first", "gate last", "gate apart"]
    layer_scale: Literal["ls", "gamma"]

    @property
    def distilled(self) -> bool:
        """Whether there is a distillation token, and with it a second head."""
        return "dist_token" in dict(self.prefix)


def timm_vit(layout: Layout) -> Table:
    """The table between timm's names and those of a `Classifier`."""
    block = Table(*_attention(layout), *_mlp(layout), *_branches(layout))
    return Table(
        *_stem(layout),
        *block.under(theirs="blocks.{i}.", ours="encoder.backbone.blocks.{i}.").rows,
        *layer("norm", "encoder.backbone.norm"),
        *layer("fc_norm", "encoder.norm"),
        *Table(*_pool(layout)).under(theirs="attn_pool.", ours="encoder.pool.").rows,
        *layer("head", "head.token" if layout.distilled else "head.1"),
        *layer("head_dist", "head.distillation"),
    )


def _stem(layout: Layout) -> list[Row]:
    flat = (1, -1, layout.dim)  # vectors stand in rows here, in one batch of rows there
    rows = [*layer("patch_embed.proj", "encoder.tokenizer.patches"), *layer("norm_pre", "encoder.tokenizer.norm")]
    names, lengths = [name for name, _ in layout.prefix], tuple(length for _, length in layout.prefix)
    if len(names) == 1:
        rows.append(Row(names[0], "encoder.tokenizer.prefix", shape=flat))
    elif names:
        rows.append(Row(f"{{{','.join(names)}}}", "encoder.tokenizer.prefix", axis=1, shape=flat, pieces=lengths))
    places = "{prefix_position,position.weight}" if layout.prefix_positions else "position.weight"
    return [*rows, Row("pos_embed", f"encoder.tokenizer.{places}", shape=flat)]


def _attention(layout: Layout) -> list[Row]:
    names = [("q_norm", "q_norm"), ("k_norm", "k_norm"), ("norm", "out_norm"), ("proj", "out")]
    if layout.qkv == "separate":
        names += [("q_proj", "q"), ("k_proj", "k"), ("v_proj", "v")]
    rows = [row for theirs, ours in names for row in layer(f"attn.{theirs}", f"attention.{ours}")]
    if layout.qkv != "separate":
        rows.append(Row("attn.qkv.weight", "attention.{q,k,v}.weight"))
    if layout.qkv == "fused":
        rows.append(Row("attn.qkv.bias", "attention.{q,k,v}.bias"))
    if layout.qkv == "bias apart":
        rows += [Row("attn.q_bias", "attention.q.bias"), Row("attn.v_bias", "attention.v.bias")]
    return rows


def _mlp(layout: Layout) -> list[Row]:
    names = {
        "plain": [("fc1", "up")],
        "gate first": [("fc1", "{gate,up}")],
        "gate last": [("fc1", "{up,gate}")],
        "gate apart": [("fc1_g", "gate"), ("fc1_x", "up")],
    }[layout.mlp]
    names += [("norm", "norm"), ("fc2", "down")]
    return [row for theirs, ours in names for row in layer(f"mlp.{theirs}", f"mlp.{ours}")]


def _branches(layout: Layout) -> list[Row]:
    first, second = ("ls1.gamma", "ls2.gamma") if layout.layer_scale == "ls" else ("gamma_1", "gamma_2")
    scales = [Row(first, "attention_branch.scale"), Row(second, "mlp_branch.scale")]
    return [*layer("norm1", "attention_branch.norm"), *layer("norm2", "mlp_branch.norm"), *scales]


def _pool(layout: Layout) -> list[Row]:
    """SigLIP's attention pooling; its MLP is plain whatever the blocks have."""
    names = [
        ("q", "attention.q"),
        ("kv", "attention.{k,v}"),
        ("q_norm", "attention.q_norm"),
        ("k_norm", "attention.k_norm"),
        ("proj", "attention.out"),
        ("norm", "norm"),
        ("mlp.fc1", "mlp.up"),
        ("mlp.norm", "mlp.norm"),
        ("mlp.fc2", "mlp.down"),
    ]
    latent = Row("latent", "query", shape=(1, -1, layout.dim))
    return [latent, *(row for theirs, ours in names for row in layer(theirs, ours))]

"""Reads a timm vision transformer: what it computes, as our config, and how it stores it, as a `Layout`.

Everything is read off the modules (their classes and attributes), never guessed from names of weights. What the shared
backbone does not have is refused with `NotExpressible`, which says what it is; `timm_classifier.py` then wraps the
model as it is. Their parts are read in `timm_parts.py`. A model on the meta device can be read as well.

Refs: timm's `VisionTransformer`, `VisionTransformerDistilled` and `Eva`; the papers stand in the parts' own files.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from timm import layers
from timm.models.deit import VisionTransformerDistilled
from timm.models.eva import Eva, EvaAttention, EvaBlock
from timm.models.vision_transformer import VisionTransformer
from torch import nn

from multimodal.backbone.attention import AttentionConfig
from multimodal.backbone.backbone import BackboneConfig
from multimodal.backbone.mlp import MlpConfig
from multimodal.backbone.pool import AttentionPoolConfig, ClassPoolConfig, MeanPoolConfig, PoolConfig
from multimodal.backbone.position import LearnedPositionConfig
from multimodal.backbone.rotary import RotaryConfig
from multimodal.models.image_encoder import ImageEncoderConfig
from multimodal.models.timm_parts import NotExpressible, name_biases, need, read_block, read_mlp, read_norm, same
from multimodal.tokenizers.image import ImageTokenizerConfig
from multimodal.weights.timm_vit import Layout


def read_vit(model: nn.Module) -> tuple[ImageEncoderConfig, Layout]:
    """The encoder that computes what `model` does before its last linear layer, and the layout of its weights.

    Raises:
        NotExpressible: it does something that the shared backbone does not have.
    """
    need(type(model) in (VisionTransformer, VisionTransformerDistilled, Eva), f"the class {type(model).__name__}")
    m: Any = model  # attributes of timm's classes, which its annotations do not declare
    need(m.pos_drop.p == 0 and isinstance(m.patch_drop, nn.Identity | None), "dropping of patches in training")
    need(len(m.blocks) > 0, "no block")
    read = [read_block(block) for block in m.blocks]
    block, mlp = read[0]
    need(all(other == read[0] for other in read), "blocks that differ from each other")
    norm, last = block.norm, read_norm(m.norm)
    need(last in (None, norm), "a last norm unlike the blocks'")
    dim: int = m.embed_dim
    prefix = _prefix(m)
    reference, rotary = _rotary(m, block.attention.width(dim))
    encoder = ImageEncoderConfig(
        tokenizer=replace(_tokenizer(m, sum(length for _, length in prefix)), reference_grid=reference),
        backbone=BackboneConfig(
            dim=dim,
            depth=len(m.blocks),
            block=block,
            position=rotary,
            drop_path=getattr(m.blocks[-1].drop_path1, "drop_prob", 0.0),
            final_norm=last is not None,
        ),
        pool=_pool(m),
        norm=read_norm(m.fc_norm),
    )
    attention = m.blocks[0].attn
    apart = "bias apart" if isinstance(attention, EvaAttention) else "fused"
    layout = Layout(
        dim=dim,
        prefix=prefix,
        prefix_positions=bool(prefix) and not m.no_embed_class,
        qkv="separate" if getattr(attention, "qkv", None) is None else apart,
        mlp=mlp,
        layer_scale="gamma" if isinstance(m.blocks[0], EvaBlock) else "ls",
    )
    return encoder, layout


def _prefix(m: Any) -> tuple[tuple[str, int], ...]:
    found = []
    for name in ("cls_token", "reg_token", "dist_token"):
        token = getattr(m, name, None)
        if token is not None:
            found.append((name, int(token.shape[1])))
    need(sum(length for _, length in found) == m.num_prefix_tokens, "prefix tokens of another kind")
    return tuple(found)


def _tokenizer(m: Any, prefix: int) -> ImageTokenizerConfig:
    patches = m.patch_embed
    need(type(patches) is layers.PatchEmbed, f"the patch embedding {type(patches).__name__}")
    need(isinstance(patches.norm, nn.Identity), "a norm in the patch embedding")
    size, patch = patches.img_size, patches.patch_size
    need(size is not None, "no image size")
    return ImageTokenizerConfig(
        size=tuple(size),
        patch=tuple(patch),
        channels=patches.proj.in_channels,
        bias=patches.proj.bias is not None,
        remainder="pad" if patches.dynamic_img_pad or not (size[0] % patch[0] or size[1] % patch[1]) else "cut",
        prefix=prefix,
        prefix_positions=not m.no_embed_class,
        position=LearnedPositionConfig() if m.pos_embed is not None else None,
        norm=read_norm(m.norm_pre),
    )


def _rotary(m: Any, head_dim: int) -> tuple[tuple[int, int] | None, RotaryConfig | None]:
    """The grid that rotary positions are counted on, where it is not the image's own, and their config."""
    rope = getattr(m, "rope", None)
    if rope is None:
        return None, None
    need(type(rope) is layers.RotaryEmbeddingCat, f"the rotary embedding {type(rope).__name__}")
    need(not rope.in_pixels and getattr(rope, "grid_type", "index") == "index", "rotary positions in pixels")
    need(rope.grid_offset == 0 and rope.grid_indexing == "ij", "rotary positions that start at 1, or column first")
    need(not getattr(rope, "aug_active", False), "rotary positions that change in training")
    need(rope.dim == head_dim, "rotary positions on a part of each head")
    attention = m.blocks[0].attn
    need(attention.num_prefix_tokens == m.num_prefix_tokens, "prefix tokens that are turned")
    half = same([bool(rope.rotate_half), bool(attention.rotate_half)], "rotary layouts that differ")
    reference = tuple(rope.ref_feat_shape) if rope.ref_feat_shape is not None else None
    config = RotaryConfig(axes=2, base=float(rope.temperature), layout="half" if half else "interleaved")
    return reference, config


def _pool(m: Any) -> PoolConfig:
    if isinstance(m, VisionTransformerDistilled):
        need(isinstance(m.fc_norm, nn.Identity), "a norm that the distilled model does not use")
        return ClassPoolConfig(tokens=2)
    include = getattr(m, "pool_include_prefix", False)
    if m.attn_pool is not None:
        return _attention_pool(m.attn_pool, include or isinstance(m, Eva))
    need(m.global_pool in ("token", "avg"), f"the pooling {m.global_pool!r}")
    return ClassPoolConfig() if m.global_pool == "token" else MeanPoolConfig(include_prefix=include)


def _attention_pool(module: nn.Module, include_prefix: bool) -> AttentionPoolConfig:
    need(type(module) is layers.AttentionPoolLatent, f"the pooling {type(module).__name__}")
    a: Any = module
    need(a.pos_embed is None and a.latent_len == 1 and a.pool == "token", "attention pooling with several queries")
    need(isinstance(a.q, nn.Linear) and isinstance(a.mlp, nn.Module), "attention pooling without projections")
    mlp, _ = read_mlp(a.mlp)
    norm = read_norm(a.norm)
    if norm is None or not isinstance(mlp, MlpConfig):
        raise NotExpressible("attention pooling without a norm")
    biased = {"q": a.q.bias is not None, "k": a.kv.bias is not None, "v": a.kv.bias is not None, "o": True}
    qk_norm = same([read_norm(a.q_norm), read_norm(a.k_norm)], "norms of queries and keys that differ")
    attention = AttentionConfig(heads=a.num_heads, bias=name_biases(biased), qk_norm=qk_norm)
    return AttentionPoolConfig(attention=attention, mlp=mlp, norm=norm, include_prefix=include_prefix)

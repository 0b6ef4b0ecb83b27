"""The image towers of CLIP and SigLIP in transformers: their part of a config.json as an image encoder, and back.

They stand alone ("clip_vision_model") inside LLaVA, and beside a text tower in `transformers_clip.py`.

Refs: CLIP arXiv:2103.00020 · SigLIP arXiv:2303.15343
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal, TypeAlias

from multimodal.backbone.attention import AttentionConfig
from multimodal.backbone.backbone import BackboneConfig
from multimodal.backbone.block import BlockConfig
from multimodal.backbone.mlp import MlpConfig
from multimodal.backbone.norm import LayerNormConfig
from multimodal.backbone.pool import AttentionPoolConfig, ClassPoolConfig, MeanPoolConfig
from multimodal.hub.transformers_family import Fields, activation_name
from multimodal.models.image_encoder import ImageEncoderConfig
from multimodal.tokenizers.image import ImageTokenizerConfig

Tower: TypeAlias = Literal["clip", "siglip"]
# What an absent field of a tower, of images or of texts, means.
USUAL: dict[Tower, dict[str, Any]] = {
    "clip": {"hidden_act": "quick_gelu", "layer_norm_eps": 1e-5, "patch_size": 32, "pad_token_id": 1},
    "siglip": {"hidden_act": "gelu_pytorch_tanh", "layer_norm_eps": 1e-6, "patch_size": 16, "pad_token_id": 1},
}


def read_vision(fields: Fields, kind: Tower) -> ImageEncoderConfig:
    """The image encoder that the `vision_config` of a model describes.

    Raises:
        DataError: a field that is damaged or asks for what cannot be done here.
    """
    fields.only(num_channels=3)
    size, patch = fields.whole("image_size", 224), fields.whole("patch_size", USUAL[kind]["patch_size"])
    tokens = ImageTokenizerConfig(size=(size, size), patch=(patch, patch), remainder="cut")
    stack = read_stack(fields, kind, 768, 12)
    if kind == "clip":
        tokens = replace(tokens, bias=False, norm=stack.block.norm)
        return ImageEncoderConfig(tokenizer=tokens, backbone=stack, pool=ClassPoolConfig())
    tokens = replace(tokens, prefix=0)
    if not fields.flag("vision_use_head", True):  # inside another model, which reads the patches
        return ImageEncoderConfig(tokenizer=tokens, backbone=stack, pool=MeanPoolConfig())
    block = stack.block
    assert isinstance(block.mlp, MlpConfig)
    pool = AttentionPoolConfig(attention=replace(block.attention, dropout=0.0), mlp=block.mlp, norm=block.norm)
    return ImageEncoderConfig(tokenizer=tokens, backbone=stack, pool=pool)


def read_stack(fields: Fields, kind: Tower, dim: int, heads: int) -> BackboneConfig:
    """The blocks of a tower; `dim` and `heads` are what it has where the fields are silent."""
    width = fields.whole("hidden_size", dim)
    block = BlockConfig(
        attention=AttentionConfig(
            heads=fields.whole("num_attention_heads", heads), dropout=fields.rate("attention_dropout", 0.0)
        ),
        mlp=MlpConfig(
            hidden=fields.whole("intermediate_size", 4 * dim),
            activation=fields.activation("hidden_act", USUAL[kind]["hidden_act"]),
        ),
        norm=LayerNormConfig(eps=fields.number("layer_norm_eps", USUAL[kind]["layer_norm_eps"], least=0.0)),
    )
    return BackboneConfig(dim=width, depth=fields.whole("num_hidden_layers", 12), block=block)


def write_vision(encoder: ImageEncoderConfig) -> dict[str, Any]:
    """The `vision_config` of an image encoder, as far as it is like one of the two."""
    tokens = encoder.tokenizer
    head = {} if tokens.prefix else {"vision_use_head": isinstance(encoder.pool, AttentionPoolConfig)}
    return {"image_size": tokens.size[0], "patch_size": tokens.patch[0], **head, **write_stack(encoder.backbone)}


def write_stack(stack: BackboneConfig) -> dict[str, Any]:
    """The fields of a tower's blocks."""
    block: Any = stack.block
    return {
        "hidden_size": stack.dim,
        "intermediate_size": block.mlp.hidden,
        "num_hidden_layers": stack.depth,
        "num_attention_heads": block.attention.heads,
        "attention_dropout": block.attention.dropout,
        "hidden_act": activation_name(block.mlp.activation),
        "layer_norm_eps": block.norm.eps,
    }


def essential_vision(encoder: ImageEncoderConfig) -> ImageEncoderConfig:
    """`encoder` without what its output does not depend on, for comparing two."""
    tokens, pool = encoder.tokenizer, encoder.pool
    if not any(side % patch for side, patch in zip(tokens.size, tokens.patch, strict=True)):
        tokens = replace(tokens, remainder="cut")
    if not tokens.prefix:
        tokens = replace(tokens, prefix_positions=True)
        pool = replace(pool, include_prefix=True) if isinstance(pool, AttentionPoolConfig) else pool
    return replace(encoder, tokenizer=tokens, pool=pool, backbone=replace(encoder.backbone, drop_path=0.0))

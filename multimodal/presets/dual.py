"""The designs of published dual encoders; the defaults are the smallest published one.

Weights come from `hub/`, which reads a checkpoint's own config.

Refs: CLIP arXiv:2103.00020 Table 20 · SigLIP arXiv:2303.15343 §3.3
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from multimodal.backbone.attention import AttentionConfig
from multimodal.backbone.backbone import BackboneConfig
from multimodal.backbone.block import BlockConfig
from multimodal.backbone.mlp import Activation, MlpConfig
from multimodal.backbone.norm import LayerNormConfig
from multimodal.backbone.pool import AttentionPoolConfig, ClassPoolConfig
from multimodal.models.dual_encoder import DualEncoderConfig
from multimodal.models.image_encoder import ImageEncoderConfig
from multimodal.models.similarity import SigmoidSimilarityConfig
from multimodal.models.towers import (
    EndPoolConfig,
    ImageTowerConfig,
    PaddedPoolConfig,
    ProjectionConfig,
    TextTowerConfig,
)
from multimodal.tokenizers.image import ImageTokenizerConfig
from multimodal.tokenizers.image_transform import ImageTransformConfig
from multimodal.tokenizers.text_embedding import TextEmbeddingConfig

CLIP_TRANSFORM = ImageTransformConfig(
    crop_fraction=1.0, mean=(0.48145466, 0.4578275, 0.40821073), std=(0.26862954, 0.26130258, 0.27577711)
)
SIGLIP_TRANSFORM = ImageTransformConfig(resize="squash", crop_fraction=1.0, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))


@dataclass(frozen=True, kw_only=True)
class Stack:
    """The size of a tower: width, number of layers and of heads; MLPs are four times as wide."""

    dim: int
    depth: int
    heads: int


@dataclass(frozen=True, kw_only=True)
class ViT(Stack):
    """The size of an image tower: as `Stack`, and the side of a patch in pixels."""

    patch: int


def clip(
    vocabulary: int,
    *,
    end: int,
    dim: int = 512,
    image: ViT = ViT(dim=768, depth=12, heads=12, patch=32),
    text: Stack = Stack(dim=512, depth=12, heads=8),
    length: int = 77,
    size: int = 224,
    quick_gelu: bool = False,
) -> DualEncoderConfig:
    """CLIP, its ViT-B/32 by default: a class token, a causal text tower read at the `end` token, a softmax.

    OpenAI's own weights compute QuickGELU, an approximation; later ones GELU.
    """
    activation = "quick_gelu" if quick_gelu else "gelu"
    norm = LayerNormConfig(eps=1e-5)
    tokenizer = ImageTokenizerConfig(
        size=(size, size), patch=(image.patch, image.patch), bias=False, remainder="cut", norm=norm
    )
    encoder = ImageEncoderConfig(tokenizer=tokenizer, backbone=_stack(image, activation, norm), pool=ClassPoolConfig())
    return DualEncoderConfig(
        image=ImageTowerConfig(encoder=encoder),
        text=TextTowerConfig(
            embedding=TextEmbeddingConfig(vocabulary=vocabulary, max_length=length),
            backbone=_stack(text, activation, norm),
            pool=EndPoolConfig(end=end),
        ),
        dim=dim,
        transform=replace(CLIP_TRANSFORM, size=(size, size)),
    )


def siglip(
    vocabulary: int,
    *,
    pad: int,
    image: ViT = ViT(dim=768, depth=12, heads=12, patch=16),
    text: Stack = Stack(dim=768, depth=12, heads=12),
    length: int = 64,
    size: int = 224,
) -> DualEncoderConfig:
    """SigLIP, its ViT-B/16 by default: attention pooling, a bidirectional text tower over padded texts, a sigmoid."""
    norm = LayerNormConfig(eps=1e-6)
    attention, mlp = AttentionConfig(heads=image.heads), MlpConfig(hidden=4 * image.dim, activation="gelu_tanh")
    encoder = ImageEncoderConfig(
        tokenizer=ImageTokenizerConfig(size=(size, size), patch=(image.patch, image.patch), remainder="cut", prefix=0),
        backbone=_stack(image, "gelu_tanh", norm),
        pool=AttentionPoolConfig(attention=attention, mlp=mlp, norm=norm),
    )
    return DualEncoderConfig(
        image=ImageTowerConfig(encoder=encoder, projection=None),
        text=TextTowerConfig(
            embedding=TextEmbeddingConfig(vocabulary=vocabulary, max_length=length),
            backbone=_stack(text, "gelu_tanh", norm),
            pool=PaddedPoolConfig(pad=pad),
            causal=False,
            projection=ProjectionConfig(bias=True),
        ),
        dim=image.dim,
        similarity=SigmoidSimilarityConfig(),
        transform=replace(SIGLIP_TRANSFORM, size=(size, size)),
    )


def _stack(size: Stack, activation: Activation, norm: LayerNormConfig) -> BackboneConfig:
    mlp = MlpConfig(hidden=4 * size.dim, activation=activation)
    block = BlockConfig(attention=AttentionConfig(heads=size.heads), mlp=mlp, norm=norm)
    return BackboneConfig(dim=size.dim, depth=size.depth, block=block)

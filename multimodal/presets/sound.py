"""AST, the audio spectrogram transformer: a vision transformer over overlapping patches of a spectrogram.

Weights come from `hub/`, which reads a checkpoint's own config.

Refs: AST arXiv:2104.01778 §2.1 · the class and distillation token of DeiT arXiv:2012.12877
"""

from __future__ import annotations

from dataclasses import dataclass

from multimodal.backbone.attention import AttentionConfig
from multimodal.backbone.backbone import BackboneConfig
from multimodal.backbone.block import BlockConfig
from multimodal.backbone.mlp import MlpConfig
from multimodal.backbone.norm import LayerNormConfig
from multimodal.backbone.pool import ClassMeanPoolConfig
from multimodal.models.image_encoder import ImageEncoderConfig
from multimodal.presets.dual import Stack
from multimodal.tokenizers.audio_transform import AudioTransformConfig
from multimodal.tokenizers.image import ImageTokenizerConfig


@dataclass(frozen=True, kw_only=True)
class Spectrograms(Stack):
    """The size of a tower that reads spectrograms: as `Stack`, and its patches, in mel channels and frames."""

    patch: tuple[int, int] = (16, 16)
    stride: tuple[int, int] = (10, 10)  # from one patch to the next; patches overlap where it is smaller


def ast(
    transform: AudioTransformConfig,
    size: Spectrograms = Spectrograms(dim=768, depth=12, heads=12),
    *,
    drop_path: float = 0.0,
) -> ImageEncoderConfig:
    """An encoder of what `transform` gives; the default is the published size, with 1,212 patches of 10.24 seconds.

    The class and the distillation token are averaged; patches that would reach beyond the last frame are left out.
    """
    norm = LayerNormConfig(eps=1e-6)
    block = BlockConfig(attention=AttentionConfig(heads=size.heads), mlp=MlpConfig(hidden=4 * size.dim), norm=norm)
    return ImageEncoderConfig(
        tokenizer=ImageTokenizerConfig(
            size=transform.size, patch=size.patch, stride=size.stride, channels=1, remainder="cut", prefix=2
        ),
        backbone=BackboneConfig(dim=size.dim, depth=size.depth, block=block, drop_path=drop_path),
        pool=ClassMeanPoolConfig(),
        norm=norm,
    )

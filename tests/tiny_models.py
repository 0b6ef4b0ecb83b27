"""Small image classifiers of every kind, for tests that need a whole model."""

from __future__ import annotations

import torch

from multimodal.backbone.attention import AttentionConfig
from multimodal.backbone.backbone import BackboneConfig
from multimodal.backbone.block import BlockConfig
from multimodal.backbone.mlp import GatedMlpConfig, MlpConfig
from multimodal.backbone.pool import AttentionPoolConfig, ClassPoolConfig, MeanPoolConfig, PoolConfig
from multimodal.backbone.position import SinusoidalPositionConfig
from multimodal.backbone.rotary import RotaryConfig
from multimodal.models.classifier import Classifier, ClassifierConfig, DistilledHeadConfig
from multimodal.models.image_encoder import ImageEncoderConfig, TimmEncoderConfig
from multimodal.tokenizers.image import ImageTokenizerConfig
from multimodal.tokenizers.image_transform import ImageTransformConfig

LABELS = ("ant", "bee", "cat")
ATTENTION_POOL = AttentionPoolConfig(attention=AttentionConfig(heads=2), mlp=MlpConfig(hidden=16))


def vit(
    pool: PoolConfig = ClassPoolConfig(), *, size: int = 32, prefix: int = 1, depth: int = 2, **parts
) -> Classifier:
    """A transformer of width 16 on patches of 8 pixels, every parameter random so that none can be mistaken."""
    attention = parts.pop("attention", AttentionConfig(heads=2))
    position = parts.pop("position", ImageTokenizerConfig().position)
    backbone = BackboneConfig(
        dim=16,
        depth=depth,
        block=BlockConfig(
            attention=attention, mlp=parts.pop("mlp", MlpConfig(hidden=32)), layer_scale=parts.pop("layer_scale", None)
        ),
        position=parts.pop("rotary", None),
        shared=parts.pop("shared", False),
    )
    tokenizer = ImageTokenizerConfig(size=(size, size), patch=(8, 8), prefix=prefix, position=position)
    encoder = ImageEncoderConfig(tokenizer=tokenizer, backbone=backbone, pool=pool)
    transform = parts.pop("transform", ImageTransformConfig(size=(size, size), crop_fraction=1.0))
    config = ClassifierConfig(encoder=encoder, classes=len(LABELS), transform=transform, **parts)
    return randomized(config.build(LABELS))


def wrapped(name: str = "test_resnet", *, size: int = 64, **parts) -> Classifier:
    """A small model of timm's own tests, wrapped."""
    transform = parts.pop("transform", ImageTransformConfig(size=(size, size), crop_fraction=1.0))
    encoder = TimmEncoderConfig(name=name)
    return randomized(ClassifierConfig(encoder=encoder, classes=len(LABELS), transform=transform).build(LABELS))


def randomized(model: Classifier) -> Classifier:
    """`model` in eval mode with its vectors (biases, norms, running statistics) moved off zero and one."""
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for tensor in [*model.parameters(), *model.buffers()]:
            if tensor.is_floating_point() and tensor.ndim <= 1:
                tensor.add_(0.1 * torch.rand(tensor.shape, generator=generator))
    return model.eval()


GATED = GatedMlpConfig(hidden=24)
KINDS = {  # pools, positions, heads; wrapped models with and without tables of their own
    "class token": vit,
    "mean, rotary": lambda: vit(MeanPoolConfig(), rotary=RotaryConfig(axes=2), position=None, mlp=GATED),
    "mean, sinusoidal": lambda: vit(MeanPoolConfig(), prefix=0, position=SinusoidalPositionConfig(), output="sigmoid"),
    "attention pool, grouped": lambda: vit(ATTENTION_POOL, attention=AttentionConfig(heads=4, kv_heads=2)),
    "distilled": lambda: vit(ClassPoolConfig(tokens=2), prefix=2, head=DistilledHeadConfig(), layer_scale=0.5),
    "shared layers": lambda: vit(shared=True, depth=3),
    "batch norm": wrapped,
    "tables": lambda: wrapped("test_vit_relpos", size=160),
}

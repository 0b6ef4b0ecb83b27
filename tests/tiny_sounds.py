"""Small models of sound and clips that they can tell apart, for tests that need whole ones."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from tiny_dual_encoders import clip_config
from tiny_text_models import wordpiece

from multimodal.backbone.attention import AttentionConfig
from multimodal.backbone.backbone import BackboneConfig
from multimodal.backbone.block import BlockConfig
from multimodal.backbone.mlp import MlpConfig
from multimodal.backbone.pool import ClassMeanPoolConfig, PoolConfig
from multimodal.models.classifier import Classifier, ClassifierConfig
from multimodal.models.dual_encoder import DualEncoder
from multimodal.models.image_encoder import ImageEncoderConfig
from multimodal.models.towers import ImageTowerConfig
from multimodal.tokenizers.audio_features import FbankConfig
from multimodal.tokenizers.audio_transform import AudioTransformConfig
from multimodal.tokenizers.image import ImageTokenizerConfig

LABELS = ("bark", "hiss", "rain")
TRANSFORM = AudioTransformConfig(features=FbankConfig(mels=24), seconds=0.5)
RATE = 16_000


def encoder(pool: PoolConfig = ClassMeanPoolConfig(), stride: tuple[int, int] | None = (5, 6)) -> ImageEncoderConfig:
    """Of spectrograms of 24 channels, on overlapping patches."""
    block = BlockConfig(attention=AttentionConfig(heads=2), mlp=MlpConfig(hidden=32))
    tokenizer = ImageTokenizerConfig(size=TRANSFORM.size, patch=(8, 10), stride=stride, channels=1, prefix=2)
    return ImageEncoderConfig(tokenizer=tokenizer, backbone=BackboneConfig(dim=16, depth=2, block=block), pool=pool)


def classifier(**parts) -> Classifier:
    torch.manual_seed(3)
    config = ClassifierConfig(encoder=encoder(**parts), classes=3, transform=TRANSFORM)
    model = config.build(LABELS)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model.eval()


def dual_encoder(seed: int = 0) -> DualEncoder:
    torch.manual_seed(seed)
    tower = ImageTowerConfig(encoder=encoder())
    return replace(clip_config(), image=tower, transform=TRANSFORM).build(wordpiece()).eval()


def tone(frequency: float, seconds: float = 0.4, rate: int = RATE) -> np.ndarray:
    """A sine of half the full scale."""
    return (0.5 * np.sin(2 * np.pi * frequency * np.arange(round(seconds * rate)) / rate)).astype(np.float32)

"""A folder of a few digits and a model that learns them in a second."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

from multimodal.backbone.attention import AttentionConfig
from multimodal.backbone.backbone import BackboneConfig
from multimodal.backbone.block import BlockConfig
from multimodal.backbone.mlp import MlpConfig
from multimodal.backbone.pool import ClassPoolConfig
from multimodal.models.classifier import ClassifierConfig
from multimodal.models.image_encoder import ImageEncoderConfig
from multimodal.tokenizers.image import ImageTokenizerConfig
from multimodal.tokenizers.image_transform import ImageTransformConfig

MODEL = ClassifierConfig(
    encoder=ImageEncoderConfig(
        tokenizer=ImageTokenizerConfig(size=(8, 8), patch=(2, 2)),
        backbone=BackboneConfig(
            dim=16, depth=2, block=BlockConfig(attention=AttentionConfig(heads=2), mlp=MlpConfig(hidden=32))
        ),
        pool=ClassPoolConfig(),
    ),
    classes=10,
    transform=ImageTransformConfig(size=(8, 8), resize="squash", mean=(0.5,) * 3, std=(0.5,) * 3),
)
SETTINGS = {"epochs": 2, "batch_size": 16, "save_every": 0.0, "precision": "fp32"}


def small_digits(folder: Path, per_class: int = 10) -> Path:
    """`per_class` training images and four test images of the digits 0 to 3."""
    images, digits = load_digits(return_X_y=True)
    for digit in range(4):
        members = images[digits == digit][: per_class + 4].reshape(-1, 8, 8)
        for i, pixels in enumerate(members):
            target = folder / "digits" / ("train" if i < per_class else "test") / str(digit)
            target.mkdir(parents=True, exist_ok=True)
            Image.fromarray((pixels * 15.9375).astype(np.uint8)).save(target / f"{i:02}.png")
    return folder / "digits"

"""Settings from the data: how many images there are, how large they are, and whether the weights are pretrained.

The rules, in words: a step budget rather than a number of epochs, so that small sets are seen often and large ones not
too often; small learning rates that fall towards the input for pretrained weights; a long warm start, more steps and
stronger augmentation for fresh ones, which otherwise collapse on small data; no mirroring of pictures as small as
digits and letters.
"""

from __future__ import annotations

from dataclasses import replace

from multimodal.data.images.augment import AugmentConfig
from multimodal.finetuning.settings import AdaptConfig, FinetuneConfig, LoopConfig, LossConfig
from multimodal.tasks.optimizer import OptimizerConfig
from multimodal.tokenizers.image_transform import ImageTransformConfig

SMALL_PICTURE = 48  # px; the median shorter side below which pictures are taken for symbols


def defaults(
    *, images: int, pretrained: bool, method: str, transform: ImageTransformConfig, median_side: int
) -> FinetuneConfig:
    """Settings for `images` training images whose median shorter side is `median_side` px."""
    symbols = median_side < SMALL_PICTURE
    adapt = AdaptConfig(image_size=min(transform.size), resize="squash" if symbols else transform.resize)
    batch = 64 if images >= 1000 else 32 if images >= 200 else 16
    if pretrained:
        config = _pretrained(images, batch, method, adapt)
    else:
        config = _scratch(images, batch, adapt, transform)
    if symbols:
        config = replace(config, augment=replace(config.augment, flip=0.0, scale=max(config.augment.scale, 0.7)))
    return config


def _pretrained(images: int, batch: int, method: str, adapt: AdaptConfig) -> FinetuneConfig:
    epochs = _epochs(images, batch, steps=1500, least=5, most=40)
    loop = LoopConfig(epochs=epochs, batch_size=batch, patience=max(5, epochs // 3))
    if method == "linear":
        optimizer = OptimizerConfig(lr=1e-3, weight_decay=0.0, warmup=0.05)
        return FinetuneConfig(adapt=adapt, optimizer=optimizer, augment=AugmentConfig(scale=0.7), loop=loop)
    if method == "lora":
        optimizer = OptimizerConfig(lr=5e-4, weight_decay=0.0)
    else:
        optimizer = OptimizerConfig(lr=2e-4, layer_decay=0.75, weight_decay=0.05)
    large = images >= 5000
    return FinetuneConfig(
        adapt=replace(adapt, drop_path=0.1 if method == "full" else 0.0),
        augment=AugmentConfig(scale=0.35 if large else 0.5, randaugment=7 if large else 0),
        loss=LossConfig(smoothing=0.1, mixup=0.2 if large else 0.0),
        optimizer=optimizer,
        loop=loop,
    )


def _scratch(images: int, batch: int, adapt: AdaptConfig, transform: ImageTransformConfig) -> FinetuneConfig:
    large = images >= 50_000 and min(transform.size) >= 96
    return FinetuneConfig(
        adapt=replace(adapt, drop_path=0.1),
        augment=AugmentConfig(
            scale=0.35 if large else 0.5, randaugment=9 if large else 0, erase=0.25 if large else 0.0
        ),
        loss=LossConfig(smoothing=0.1, mixup=0.8 if large else 0.0, cutmix=1.0 if large else 0.0),
        optimizer=OptimizerConfig(lr=1e-3, weight_decay=0.05, warmup=0.1),
        loop=LoopConfig(epochs=_epochs(images, batch, steps=2000, least=20, most=100), batch_size=batch),
    )


def _epochs(images: int, batch: int, *, steps: int, least: int, most: int) -> int:
    """Epochs that make about `steps` optimizer steps."""
    return max(least, min(most, round(steps / max(1, images // batch))))

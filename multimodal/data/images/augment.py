"""Random changes to training images; on batches, mixtures of two images are in `multimodal/tasks/mixing.py`.

Every image's changes follow from a seed that the loader derives from (run seed, epoch, image), so that a resumed run
sees exactly what an uninterrupted one would have seen, with any number of worker processes.

Refs: RandAugment arXiv:1909.13719 · random resized crop arXiv:1409.4842 · random erasing arXiv:1708.04896
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from multimodal.media import read_image
from multimodal.tokenizers.image_transform import ImageTransformConfig
from multimodal.tokenizers.transforms import AnyTransformConfig, of_images


@dataclass(frozen=True, kw_only=True)
class AugmentConfig:
    """How much training images may change. All zeros (and scale 1) leaves the evaluation transform."""

    scale: float = 0.5  # the smallest part of the picture's area that a random crop may show; 1: no random crop
    flip: float = 0.5  # probability of mirroring left and right
    randaugment: int = 0  # magnitude of two random operations an image, 0 (off) to 30; DeiT uses 9
    jitter: float = 0.0  # strength of random brightness, contrast and saturation
    erase: float = 0.0  # probability of a random rectangle of noise

    def build(self, transform: AnyTransformConfig) -> Augment:
        """An `Augment` that gives the sizes that `transform` gives.

        Raises:
            ArgumentError: `transform` is of sound.
        """
        return Augment(self, of_images(transform, "AugmentConfig"))


class Augment:
    """A PIL image and a seed to the pixels that a model is trained on."""

    def __init__(self, config: AugmentConfig, transform: ImageTransformConfig) -> None:
        from torchvision.transforms import v2

        self.plain = transform.build()
        interpolation = v2.InterpolationMode(transform.interpolation)
        fill = [round(255 * channel) for channel in transform.mean]
        steps: list[torch.nn.Module] = []
        if config.scale < 1:
            if transform.resize == "pad":
                steps.append(_Square(transform.size, tuple(fill)))
            crop = v2.RandomResizedCrop(transform.size, scale=(config.scale, 1.0), interpolation=interpolation)
            steps.append(crop)
        else:
            steps.append(_Plain(self.plain))
        if config.flip:
            steps.append(v2.RandomHorizontalFlip(config.flip))
        if config.randaugment:
            steps.append(v2.RandAugment(magnitude=config.randaugment, interpolation=interpolation, fill=fill))
        if config.jitter:
            steps.append(v2.ColorJitter(config.jitter, config.jitter, config.jitter))
        steps.append(v2.PILToTensor())
        if config.erase:
            noise: Any = "random"  # torchvision declares numbers only
            steps.append(v2.RandomErasing(config.erase, value=noise))
        self.steps = v2.Compose(steps)
        # The crop may show a part of the picture only: decode so that even the smallest part has enough pixels.
        self.min_side = math.ceil(max(transform.size) / math.sqrt(config.scale))

    def read(self, data: bytes, *, seed: int) -> UInt8[Tensor, "3 h w"]:
        """The changed image of a file's bytes.

        Raises:
            MediaError: it is no readable image.
        """
        return self(read_image(data, min_side=self.min_side), seed)

    def __call__(self, image: Image.Image, seed: int) -> UInt8[Tensor, "3 h w"]:
        """The changed image; equal for an equal `seed`. The global random state stays as it was."""
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)  # torch.manual_seed also seeds devices, for 0.5 ms a call
            return self.steps(image)


class _Plain(torch.nn.Module):
    """The evaluation transform, as an image again for the operations that follow."""

    def __init__(self, transform: object) -> None:
        super().__init__()
        self.transform = transform

    def forward(self, image: Image.Image) -> Image.Image:
        return Image.fromarray(self.transform(image).permute(1, 2, 0).numpy())  # pyright: ignore


class _Square(torch.nn.Module):
    """The image in the middle of a canvas with the proportions of `size`, the rest filled."""

    def __init__(self, size: tuple[int, int], fill: tuple[int, ...]) -> None:
        super().__init__()
        self.size, self.fill = size, fill

    def forward(self, image: Image.Image) -> Image.Image:
        height = max(image.height, math.ceil(image.width * self.size[0] / self.size[1]))
        width = max(image.width, math.ceil(image.height * self.size[1] / self.size[0]))
        canvas = Image.new("RGB", (width, height), self.fill)
        canvas.paste(image, ((width - image.width) // 2, (height - image.height) // 2))
        return canvas

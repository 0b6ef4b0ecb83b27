"""From a picture to the pixels that a model was trained on: resize, crop or pad, normalise.

One `ImageTransformConfig` lives in the model folder, so that validation, `predict` and any other process see the same
pixels. Pictures stay uint8 until they are on the device; `normalize` is done there. Decoding is in `media`, random
augmentation in `finetune`, patches in `image.py`. "crop", "squash" and "pad" equal timm's evaluation transforms
(`crop_mode` "center", "squash" and "border", the last two at `crop_pct` 1) pixel for pixel, but for strips longer than
8:1, of which only the part that is kept is resized.

Axes: c colour channel (3) · h height · w width
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
from jaxtyping import Float, Num, UInt8
from PIL import Image
from torch import Tensor

from multimodal.errors import ArgumentError, nearest
from multimodal.media import ImageSource, read_image, read_reduced

Resize = Literal["crop", "pad", "squash"]
Interpolation = Literal["nearest", "bilinear", "bicubic"]

_LONGEST = 8  # aspect ratio from which only the kept part is resized


@dataclass(frozen=True, kw_only=True)
class ImageTransformConfig:
    """What `ImageTransform` does to a picture; a plain part of a model's config."""

    size: tuple[int, int] = (224, 224)  # height, width in pixels
    resize: Resize = "crop"  # crop: fill, cut the ends off; pad: fit, mean colour around; squash: ignore proportions
    crop_fraction: float = 0.9  # crop: the part of the shorter side that is kept (timm: crop_pct)
    interpolation: Interpolation = "bicubic"
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)  # of red, green, blue on the scale 0-1
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)

    def __post_init__(self):
        if len(self.size) != 2 or min(self.size) < 1:
            raise ArgumentError(f"size is {self.size}; it must be (height, width), each at least 1 pixel.")
        for field, choices in (("resize", get_args(Resize)), ("interpolation", get_args(Interpolation))):
            value = getattr(self, field)
            if value not in choices:
                known = ", ".join(map(repr, choices))
                raise ArgumentError(f"{field} is {value!r}; it must be one of {known}.{nearest(str(value), choices)}")
        if not 0 < self.crop_fraction <= 1:
            raise ArgumentError(f"crop_fraction is {self.crop_fraction}; it must be above 0 and at most 1.")
        if len(self.mean) != 3 or not all(0 <= value <= 1 for value in self.mean):
            raise ArgumentError(f"mean is {self.mean}; it must be three numbers from 0 to 1.")
        if len(self.std) != 3 or not all(value > 0 for value in self.std):
            raise ArgumentError(f"std is {self.std}; it must be three numbers above 0.")

    def build(self) -> ImageTransform:
        """The transform; it holds no tensors and can be sent to other processes."""
        return ImageTransform(self)


class ImageTransform:
    """Pictures to uint8 pixels (`__call__`, `read`) and those to a model's input (`normalize`)."""

    def __init__(self, config: ImageTransformConfig):
        self.config = config

    def __repr__(self) -> str:
        return f"ImageTransform({self.config})"

    def __call__(self, image: Image.Image) -> UInt8[Tensor, "3 h w"]:
        """The pixels of a PIL image of any mode, which is first made upright and RGB."""
        image = read_image(image)
        return self.render(image, (0.0, 0.0, float(image.width), float(image.height)))

    def read(self, source: ImageSource) -> UInt8[Tensor, "3 h w"]:
        """The pixels of a path, the bytes of a file, a file object, a PIL image or an array.

        Equal to `self(read_image(source))`, except for JPEGs of at least twice the needed sides: those are decoded at
        1/2, 1/4 or 1/8, which halves the time or better. There a pixel differs by less than one level of 255 on
        average, and embeddings have a cosine above 0.999. "nearest", which takes single pixels, is never reduced.

        Raises:
            MediaError: not a readable image.
        """
        reducible = self.config.interpolation != "nearest"
        return self.render(*read_reduced(source, min_side=self.needed if reducible else None))

    def normalize(
        self, pixels: Num[Tensor, "*b 3 h w"], dtype: torch.dtype = torch.float32
    ) -> Float[Tensor, "*b 3 h w"]:
        """(pixels / 255 - mean) / std, computed in float32 where `pixels` are, then cast to `dtype`.

        `pixels` are on the scale 0-255: uint8, or floats after mixing pictures. They are left as they are.
        """
        x = pixels.to(torch.float32) / 255
        for channel, (mean, std) in enumerate(zip(self.config.mean, self.config.std, strict=True)):
            x.select(-3, channel).sub_(mean).div_(std)  # numbers, not tensors: no copy to the device, no waiting
        return x.to(dtype)

    def box(self, width: int, height: int) -> tuple[float, float, float, float]:
        """What the result shows of an upright picture: left, top, right, bottom in the picture's pixels.

        Where it is padded, the box reaches beyond the picture.
        """
        h, w = self.config.size
        new_width, new_height, left, top = self._placed(float(width), float(height))
        x, y = width / new_width, height / new_height  # pixels of the picture for one of the result
        return left * x, top * y, (left + w) * x, (top + h) * y

    def needed(self, width: int, height: int) -> int:
        """The shorter side that a picture must keep, so that in neither direction it has to be enlarged again."""
        new_width, new_height = self._resized(float(width), float(height))
        return math.ceil(min(width, height) * max(new_width / width, new_height / height))

    def _resized(self, width: float, height: float) -> tuple[int, int]:
        """(width, height) after resizing, before crop or pad, from the proportions alone; rounded as in timm."""
        h, w = self.config.size
        if self.config.resize == "squash":
            return w, h
        if self.config.resize == "pad":
            ratio = max(height / h, width / w)
            return max(1, round(width / ratio)), max(1, round(height / ratio))
        h, w = math.floor(h / self.config.crop_fraction), math.floor(w / self.config.crop_fraction)
        if h != w:
            ratio = min(height / h, width / w)
            return round(width / ratio), round(height / ratio)
        return (w, int(w * height / width)) if width <= height else (int(h * width / height), h)

    def _placed(self, width: float, height: float) -> tuple[int, int, int, int]:
        """(width, height) after resizing, and the result's (left, top) in that: negative where padded."""
        h, w = self.config.size
        new_width, new_height = self._resized(width, height)
        if self.config.resize == "pad":
            return new_width, new_height, -((w - new_width) // 2), -((h - new_height) // 2)
        return new_width, new_height, round((new_width - w) / 2), round((new_height - h) / 2)

    def render(self, image: Image.Image, box: tuple[float, float, float, float]) -> UInt8[Tensor, "3 h w"]:
        """Resize what `box` holds of an RGB image, then crop or pad."""
        h, w = self.config.size
        width, height = box[2] - box[0], box[3] - box[1]
        new_width, new_height, left, top = self._placed(width, height)
        resample = Image.Resampling[self.config.interpolation.upper()]
        if self.config.resize == "crop" and max(new_width, new_height) > _LONGEST * min(new_width, new_height):
            x, y = width / new_width, height / new_height  # resized as a whole, a strip of 1 x 10,000 fills the memory
            right, bottom = min(box[0] + (left + w) * x, box[2]), min(box[1] + (top + h) * y, box[3])  # rounding
            part = (box[0] + left * x, box[1] + top * y, right, bottom)
            image = image.resize((w, h), resample, box=part)
        else:
            image = image.resize((new_width, new_height), resample, box=box)
        if self.config.resize == "crop" and image.size != (w, h):
            image = image.crop((left, top, left + w, top + h))
        elif self.config.resize == "pad" and image.size != (w, h):
            canvas = Image.new("RGB", (w, h), self._fill())
            canvas.paste(image, (-left, -top))
            image = canvas
        return torch.from_numpy(np.ascontiguousarray(np.asarray(image).transpose(2, 0, 1)))  # c h w

    def _fill(self) -> tuple[int, int, int]:
        red, green, blue = (round(255 * value) for value in self.config.mean)
        return red, green, blue

"""What stands between files and a model that looks at pictures: a transform of images, or of sound to a spectrogram.

Both have `config`, `read(source)` and `normalize(x, dtype)`; what they give, a picture of three channels or of one,
goes through the same batches, patches and towers. Which of them a model has says what it takes.

Axes: k channels · H, W pixels, or mel channels and frames
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeAlias

from jaxtyping import Float, UInt8
from torch import Tensor

from multimodal.errors import ArgumentError
from multimodal.tokenizers.audio_transform import AudioTransform, AudioTransformConfig, several_clips
from multimodal.tokenizers.image_batches import several_images
from multimodal.tokenizers.image_transform import ImageTransform, ImageTransformConfig

AnyTransformConfig: TypeAlias = ImageTransformConfig | AudioTransformConfig
AnyTransform: TypeAlias = ImageTransform | AudioTransform
Picture: TypeAlias = UInt8[Tensor, "3 H W"] | Float[Tensor, "1 H W"]  # of an image, of a recording
Pictures: TypeAlias = UInt8[Tensor, "b 3 H W"] | Float[Tensor, "b k H W"]  # floats are normalised already


def of_images(config: AnyTransformConfig, what: str) -> ImageTransformConfig:
    """`config`, for `what` can be done with models of images alone; that is the subject of a sentence.

    Raises:
        ArgumentError: a transform of sound.
    """
    if isinstance(config, AudioTransformConfig):
        raise ArgumentError(f"{what} takes models of images, and this one is a model of sound.")
    return config


def several(inputs: Any, transform: AnyTransform) -> Iterable[Any]:
    """One input of `transform` or many, as many.

    Raises:
        MediaError: neither one nor several.
    """
    return several_clips(inputs) if isinstance(transform, AudioTransform) else several_images(inputs)

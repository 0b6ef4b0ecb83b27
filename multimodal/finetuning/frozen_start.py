"""A classifier of images or sound whose blocks are a language model's, frozen as text has made them.

Patches take the place of words: a fresh linear layer and fresh positions in front, the blocks under their causal mask,
a fresh layer on the last token. Of the blocks only the norms learn; attention and MLPs stay as they are, bit by bit.

Axes: none of its own
Refs: the frozen pretrained transformer, Lu et al. 2022, arXiv:2103.05247 §2
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from torch import nn

from multimodal.backbone.block import Branch
from multimodal.backbone.pool import LastPoolConfig
from multimodal.errors import ArgumentError
from multimodal.models.classifier import Classifier, ClassifierConfig
from multimodal.models.image_encoder import ImageEncoderConfig
from multimodal.models.language_model import LanguageModel
from multimodal.tokenizers.audio_transform import AudioTransformConfig
from multimodal.tokenizers.image import ImageTokenizerConfig
from multimodal.tokenizers.transforms import AnyTransformConfig


def on_blocks_of(
    language: LanguageModel, labels: Sequence[str], transform: AnyTransformConfig, patch: tuple[int, int]
) -> Classifier:
    """A classifier of what `transform` gives, on copies of the blocks of `language`; everything else is fresh.

    Args:
        language: whose blocks these are.
        labels: names of the classes.
        transform: of images (three channels) or of sound (one).
        patch: pixels (height, width), or mel channels and frames, of a token.

    Raises:
        ArgumentError: a patch larger than the input.
    """
    height, width = transform.size
    if patch[0] > height or patch[1] > width:
        raise ArgumentError(f"patch is {patch}, larger than the {height} x {width} of the input; choose a smaller one.")
    channels = 1 if isinstance(transform, AudioTransformConfig) else 3
    tokens = ImageTokenizerConfig(size=transform.size, patch=patch, channels=channels, prefix=0, causal=True)
    encoder = ImageEncoderConfig(tokenizer=tokens, backbone=language.config.backbone, pool=LastPoolConfig())
    model = ClassifierConfig(encoder=encoder, classes=len(labels), transform=transform).build(labels)
    blocks: Any = model.encoder
    blocks.backbone.load_state_dict(language.backbone.state_dict())
    return model


def freeze_blocks(model: Classifier) -> None:
    """Let attention and MLPs of the blocks of `model` not learn; what surrounds them does: norms, input and output."""
    encoder: Any = model.encoder
    for block in encoder.backbone.blocks:
        block.requires_grad_(False)
        for parameter in _norms(block):
            parameter.requires_grad_(True)


def _norms(block: nn.Module) -> Iterable[nn.Parameter]:
    """The norms that stand around sublayers, and not those inside them (of queries and keys)."""
    for module in block.modules():
        if isinstance(module, Branch):
            yield from module.norm.parameters()

"""Small models that see or hear and talk, for tests that need a whole one."""

from __future__ import annotations

from typing import Any

import numpy as np
import tiny_models
import tiny_sounds
import tiny_text_models
import torch
from PIL import Image

from multimodal.backbone.mlp import GatedMlpConfig
from multimodal.backbone.norm import RMSNormConfig
from multimodal.backbone.rotary import RotaryConfig
from multimodal.models.joining import join
from multimodal.models.language_model import LanguageModel, LanguageModelConfig
from multimodal.models.projector import MlpProjectorConfig
from multimodal.models.vision_language import VisionLanguageModel
from multimodal.tokenizers.chat import VICUNA
from multimodal.tokenizers.text_embedding import TextEmbeddingConfig


def seeing(*, text: str = "gpt", max_length: int = 256, encoder: Any = None, **parts: Any) -> VisionLanguageModel:
    """A vision transformer of width 16, 16 tokens an image, under a language model of two layers."""
    torch.manual_seed(0)
    language = tiny_text_models.gpt(max_length=max_length) if text == "gpt" else _llama(max_length)
    parts = {"projector": MlpProjectorConfig(), "template": VICUNA, **parts}
    return _woken(join(encoder if encoder is not None else tiny_models.vit(), language, **parts))


def hearing(**parts: Any) -> VisionLanguageModel:
    """The same over spectrograms."""
    torch.manual_seed(0)
    language = tiny_text_models.gpt(max_length=256)
    return _woken(join(tiny_sounds.classifier(), language, template=VICUNA, **parts))


def picture(seed: int = 0, size: tuple[int, int] = (40, 48)) -> Image.Image:
    """Noise, of `size` (height, width)."""
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def _llama(max_length: int) -> LanguageModel:
    stack = tiny_text_models.backbone(position=RotaryConfig(), norm=RMSNormConfig(), mlp=GatedMlpConfig(hidden=24))
    embedding = TextEmbeddingConfig(vocabulary=257, max_length=max_length, position=None)
    config = LanguageModelConfig(embedding=embedding, backbone=stack, tied=False)
    return tiny_text_models.randomized(config.build(tiny_text_models.bytelevel()))


def _woken(model: VisionLanguageModel) -> VisionLanguageModel:
    """With a projector that says enough for an image to change the answer."""
    with torch.no_grad():
        for parameter in model.projector.parameters():
            parameter.mul_(10)
    return model.eval()

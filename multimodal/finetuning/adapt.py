"""A model for other classes: a copy with a fresh head, at another image size, with what training adds to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import torch

from multimodal.backbone.lora import LoraConfig, attach
from multimodal.backbone.position import LearnedPosition, resize_grid
from multimodal.data.images.samples import LabeledImages
from multimodal.errors import ArgumentError
from multimodal.finetuning.settings import AdaptConfig
from multimodal.models.classifier import Classifier, LinearHeadConfig
from multimodal.models.image_encoder import AnyImageEncoderConfig, ImageEncoderConfig, TimmEncoderConfig
from multimodal.models.perceiver_encoder import PerceiverEncoderConfig
from multimodal.tokenizers.fourier import FourierTokenizerConfig
from multimodal.tokenizers.image_transform import ImageTransformConfig
from multimodal.tokenizers.transforms import of_images


def adapt(model: Classifier, images: LabeledImages, config: AdaptConfig, *, fresh: bool = False) -> Classifier:
    """`model` with a fresh head for the classes of `images`, and its encoder's weights.

    `fresh` says that these weights were not trained, see `with_head`.

    Raises:
        ArgumentError: LoRA on an encoder that is not on the shared backbone.
    """
    transform = of_images(model.transform.config, "Fine-tuning")
    size = transform.size if config.image_size == min(transform.size) else (config.image_size, config.image_size)
    adapted = with_head(
        model,
        images.labels,
        transform=replace(transform, size=size, resize=config.resize),
        drop_path=config.drop_path,
        dropout=config.dropout,
        output="sigmoid" if images.multi_label else "softmax",
        fresh=fresh,
    )
    if config.method == "lora":
        if isinstance(adapted.config.encoder, TimmEncoderConfig):
            raise ArgumentError(
                f"method='lora' works on the shared backbone; {adapted.config.encoder.name} is a wrapped timm model. "
                "Use method='full' or 'linear'."
            )
        attach(adapted.encoder, LoraConfig(rank=config.rank, alpha=2.0 * config.rank))
    return adapted


def with_head(
    model: Classifier,
    labels: Sequence[str],
    *,
    transform: ImageTransformConfig | None = None,
    drop_path: float = 0.0,
    dropout: float = 0.0,
    output: Literal["softmax", "sigmoid"] = "softmax",
    fresh: bool = False,
) -> Classifier:
    """A copy of `model` with a fresh head for `labels`, and what training adds to its encoder.

    Where `transform` has another size, the grid of learned positions becomes that size's own: resized from trained
    weights, drawn anew for `fresh` ones. Random positions shrunk to fewer would nearly vanish, and with them all that
    the model knows of places (480 photos at 64 px, 30 epochs: it stayed at chance).
    """
    transform = transform or of_images(model.config.transform, "A fresh head")
    adapted = replace(
        model.config,
        encoder=_with_drop_path(_at_size(model.config.encoder, transform.size), drop_path),
        classes=len(labels),
        transform=transform,
        head=LinearHeadConfig(dropout=dropout),
        output=output,
    ).build(labels)
    state = model.encoder.state_dict()
    old, new = (getattr(getattr(one.encoder, "tokenizer", None), "position", None) for one in (model, adapted))
    if isinstance(old, LearnedPosition) and isinstance(new, LearnedPosition) and old.grid != new.grid:
        weight = new.weight.detach() if fresh else resize_grid(old.weight.detach(), old.grid, new.grid)
        state["tokenizer.position.weight"] = weight
    adapted.encoder.load_state_dict(state)
    return adapted


def _at_size(encoder: AnyImageEncoderConfig, size: tuple[int, int]) -> Any:
    if isinstance(encoder, TimmEncoderConfig) or encoder.tokenizer.size == size:
        return encoder
    if isinstance(encoder.tokenizer, FourierTokenizerConfig):
        return encoder  # which reads any size, and has learned to read these frequencies
    return replace(encoder, tokenizer=replace(encoder.tokenizer, size=size))


def _with_drop_path(encoder: AnyImageEncoderConfig, rate: float) -> Any:
    if isinstance(encoder, PerceiverEncoderConfig):
        return encoder  # its blocks are used again and again: it has no last one that could be skipped most
    if isinstance(encoder, ImageEncoderConfig):
        return replace(encoder, backbone=replace(encoder.backbone, drop_path=rate))
    arguments = dict(encoder.arguments)
    if rate:
        arguments["drop_path_rate"] = rate
    try:
        wanted = replace(encoder, arguments=tuple(arguments.items()))
        with torch.device("meta"):
            wanted.build()
    except TypeError:  # this architecture has no drop path
        return encoder
    return wanted

"""Where training of a model that sees or hears starts: two trained models, or one that was joined before.

What is trained is also left behind as a part, beside the whole model: a projector of some megabytes, or the adapters.

Refs: LLaVA arXiv:2304.08485 §4.2
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from multimodal.backbone.lora import adapters
from multimodal.errors import ArgumentError, DataError
from multimodal.finetuning.published import published
from multimodal.hub import load
from multimodal.hub.part_saving import save_part
from multimodal.models.joining import join
from multimodal.models.language_model import LanguageModel
from multimodal.models.vision_language import VisionLanguageModel
from multimodal.tokenizers.image_transform import Resize
from multimodal.tokenizers.transforms import of_images

PART = "part"  # the folder beside the whole model's


class PartSaver(Callback):
    """At the end of a training, what was trained as a part, where that is less than everything.

    Args:
        encoder: the source of the encoder.
        language: the source of the language model.
    """

    def __init__(self, encoder: str | Path, language: str | Path) -> None:
        self.encoder, self.language = encoder, language

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save it, before adapters become part of the weights."""
        model: Any = pl_module.model
        kind = "lora" if adapters(model) else "projector"
        still = not any(parameter.requires_grad for parameter in model.language.parameters()) or kind == "lora"
        frozen = not any(parameter.requires_grad for parameter in model.features.parameters())
        logs = trainer.log_dir or trainer.default_root_dir  # asks the other processes, so before they leave
        whole = "FSDP" not in type(trainer.strategy).__name__  # which has a share of each weight only
        if trainer.is_global_zero and still and frozen and whole:
            try:
                save_part(model, Path(logs) / PART, kind, encoder=self.encoder, language=self.language)
            except (ArgumentError, DataError) as error:  # the whole model, which is saved next, holds it too
                print(f"What was trained is not saved apart from the whole model: {error}", file=sys.stderr)


def joined(
    vision: str | Path,
    language: str | Path,
    *,
    seed: int,
    image_size: tuple[int, int] | None = None,
    resize: Resize | None = None,
    **options: Any,
) -> tuple[VisionLanguageModel, PartSaver]:
    """The encoder of one model and the language model of another under a fresh projector; and what saves that.

    Args:
        vision: what `mm.load` takes: a model of images or recordings.
        language: what `mm.load` takes: a language model with a tokenizer.
        seed: of the projector's weights.
        image_size: (height, width) in pixels that the encoder reads; None: as it was trained.
        resize: how images of other proportions fit; None: as the encoder was trained.
        options: those of `join`.

    Raises:
        ArgumentError: models of another kind, or that do not fit each other, or a size for a model of sound.
        DataError: one cannot be loaded.
    """
    torch.manual_seed(seed)
    text = published(language, LanguageModel, "'hf:lmsys/vicuna-7b-v1.5'", name="language")
    seen: Any = load(vision, device="cpu", dtype="float32")
    try:
        model = join(seen, text, **options)
    except ArgumentError as error:
        raise ArgumentError(f"{vision} and {language} cannot be joined: {error}") from error
    _read_as(model, image_size, resize)
    return model, PartSaver(vision, language)


def aligned(
    source: str | Path, *, image_size: tuple[int, int] | None = None, resize: Resize | None = None
) -> tuple[VisionLanguageModel, PartSaver]:
    """A joined model to go on from: the model folder or the part that stage 1 wrote, or a published LLaVA.

    Args:
        source: what `mm.load` takes.
        image_size: (height, width) in pixels that the encoder reads; None: as before.
        resize: how images of other proportions fit; None: as before.

    Raises:
        ArgumentError: a model of another kind, or of sound and given a size.
        DataError: it cannot be loaded.
    """
    model = published(source, VisionLanguageModel, "'hf:llava-hf/llava-1.5-7b-hf'", name="source")
    _read_as(model, image_size, resize)
    return model, PartSaver(source, source)


def _read_as(model: VisionLanguageModel, image_size: tuple[int, int] | None, resize: Resize | None) -> None:
    changed = {"size": image_size, "resize": resize}
    changed = {name: value for name, value in changed.items() if value is not None}
    if changed:
        model.read_as(replace(of_images(model.config.transform, "image_size, or resize,"), **changed))

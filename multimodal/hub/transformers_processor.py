"""What stands beside the config.json of a LLaVA in transformers: how pictures are prepared, and the chat template.

The processor's files repeat what the config says (tiles, which tokens of the tower are taken); here the config decides.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from multimodal.errors import DataError
from multimodal.hub.files import read_json
from multimodal.hub.transformers_llava import CLASSES, strategy
from multimodal.hub.transformers_pixels import PIXELS, PROCESSOR, read_pixels, write_pixels
from multimodal.models.chat.messages import IMAGE
from multimodal.models.image_encoder import ImageEncoderConfig
from multimodal.models.vision_language import VisionLanguageConfig, VisionLanguageModel
from multimodal.tokenizers.text import TextTokenizer
from multimodal.tokenizers.transforms import of_images

OLD_TEMPLATE = "chat_template.json"  # of older processors; newer ones write the other, as tokenizers do
TEMPLATE = "chat_template.jinja"


def prepared(config: VisionLanguageConfig, folder: Path) -> VisionLanguageConfig:
    """`config` with the preprocessing that the files of `folder` state.

    Raises:
        DataError: a damaged file, or pictures that would not fit the tower.
    """
    tiled = config.tiles is not None
    usual = of_images(config.transform, "LLaVA")
    transform = read_pixels(folder, usual, tiles=config.tiles)
    if transform.size != usual.size or (tiled and transform.crop_fraction != 1.0):
        raise DataError(
            f"{folder}: its preprocessor gives pictures of {transform.size}, the middle {transform.crop_fraction:.0%} "
            f"of what they show, and the tower takes all of {usual.size}."
        )
    if tiled:  # the whole image is one of its views, and is squashed
        transform = replace(transform, resize="squash")
    return replace(config, transform=transform)


def with_template(tokenizer: TextTokenizer, folder: Path) -> TextTokenizer:
    """`tokenizer` with the chat template of an older processor, where that has one: it outranks the tokenizer's.

    Raises:
        DataError: the file is damaged.
    """
    if not (folder / OLD_TEMPLATE).exists():
        return tokenizer
    template = read_json(folder / OLD_TEMPLATE).get("chat_template")
    if not isinstance(template, str):
        raise DataError(f"{folder / OLD_TEMPLATE}: chat_template is a {type(template).__name__}; it must be text.")
    return TextTokenizer(tokenizer.tokenizer, replace(tokenizer.settings, chat_template=template))


def write_processor(model: VisionLanguageModel) -> dict[str, dict[str, Any]]:
    """The files of the processor, by name: how pictures are prepared, and how many tokens one becomes.

    Raises:
        ArgumentError: a preprocessing that transformers does not have.
    """
    config = model.config
    encoder, transform = config.features.encoder, of_images(config.transform, "LLaVA")
    assert isinstance(encoder, ImageEncoderConfig)
    if config.tiles is not None:
        pixels = write_pixels(replace(transform, resize="crop", crop_fraction=1.0), "clip")
        pinpoints = [list(canvas) for canvas in config.tiles.canvases]
        own = {"image_processor_type": "LlavaNextImageProcessor", "image_grid_pinpoints": pinpoints, "do_pad": True}
        pixels |= own
    else:
        pixels = write_pixels(transform, "clip" if encoder.tokenizer.prefix else "siglip")
    name = f"{CLASSES['llava' if config.tiles is None else 'llava_next']}Processor"
    tokenizer = model.tokenizer
    processor = {
        "processor_class": name,
        "patch_size": encoder.tokenizer.patch[0],
        "vision_feature_select_strategy": strategy(config.features, encoder),
        "num_additional_image_tokens": encoder.tokenizer.prefix,
        "image_token": IMAGE if tokenizer is None else tokenizer.tokenizer.id_to_token(config.placeholder),
    }
    return {PIXELS: {**pixels, "processor_class": name}, PROCESSOR: processor}

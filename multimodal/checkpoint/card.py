"""README.md of a model folder, the model card: what the model is, what it knows and how to use it.

Everything is taken from the model; nobody fills in blanks. Names that come from folders are escaped. What is said of
text models is in `card_text.py`, of speech models in `card_speech.py`, of other models of sound in `card_sound.py`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from multimodal.checkpoint import card_sound
from multimodal.checkpoint.card_chat import chat_body, chat_input, chat_words
from multimodal.checkpoint.card_speech import AnyRecognizer, speech_body, speech_input, speech_words
from multimodal.checkpoint.card_text import Words, text_body, text_calibration, text_input, text_words
from multimodal.checkpoint.kinds import AnyModel, TextModel
from multimodal.models.classifier import Classifier
from multimodal.models.ctc_recognizer import CtcRecognizer
from multimodal.models.dual_encoder import DualEncoder
from multimodal.models.image_encoder import ImageEncoderConfig
from multimodal.models.perceiver_encoder import PerceiverEncoderConfig
from multimodal.models.similarity import SoftmaxSimilarityConfig
from multimodal.models.speech_recognizer import SpeechRecognizer
from multimodal.models.vision_language import VisionLanguageModel
from multimodal.tokenizers.audio_transform import AudioTransformConfig
from multimodal.tokenizers.transforms import AnyTransformConfig

_MOST_LABELS = 200  # more are in config.json
_MOST_ROWS = 40  # of a table of the card

_HEAD = """\
---
library_name: multimodal
pipeline_tag: {tag}
---
# {title}

{summary}

## How to use
{command}
    import multimodal as mm
    model = mm.load("PATH/TO/THIS/FOLDER")
{usage}

The weights are safetensors, everything else is JSON: loading executes no code from this folder.
"""
_RESIZE = {
    "crop": "resized until it just covers {scale}, of which the middle {size} is cut out",
    "pad": "resized to fit into {size}, the rest filled with the mean colour",
    "squash": "resized to {size}, whatever its proportions",
}


def model_card(model: AnyModel, card: Mapping[str, Any], size: int) -> str:
    """The text of README.md, in Markdown; `card` as config.json has it, `size` of the weights in bytes."""
    if isinstance(model, Classifier):
        parts = _image_parts(model, size)
    elif isinstance(model, DualEncoder):
        parts = _dual_parts(model, size)
    elif isinstance(model, SpeechRecognizer | CtcRecognizer):
        parts = _speech_parts(model, size)
    elif isinstance(model, VisionLanguageModel):
        parts = _chat_parts(model, size)
    else:
        parts = _text_parts(model, size)
    return "\n".join([*parts, *(_section(name, value) for name, value in card.items())])


_CLASSIFIER = Words(
    "image-classification",
    "Image classifier",
    "classes of images",
    'print(model.predict(["photo.jpg"])[0].label)',
    "multimodal classify PATH/TO/THIS/FOLDER photo.jpg",
)
_DUAL_ENCODER = Words(
    "zero-shot-image-classification",
    "Image and text encoder",
    "Turns images and texts into vectors",
    'print(model.classify(["photo.jpg"], ["a dog", "a cat"])[0])\n'
    'print(model.embed_images(["photo.jpg"]) @ model.embed_texts(["a dog on a beach"]).T)',
    "multimodal index photos/ --model PATH/TO/THIS/FOLDER",
)


def _image_parts(model: Classifier, size: int) -> list[str]:
    heard = isinstance(model.config.transform, AudioTransformConfig)
    words = card_sound.CLASSIFIER if heard else _CLASSIFIER
    title = f"{words.title}: {_title(model.labels)}"
    head = _head(words.tag, title, _summary(model, words.does, size), words.command, words.usage)
    return [head, _labels(model.labels), _preprocessing(model.config.transform, "`predict`")]


def _dual_parts(model: DualEncoder, size: int) -> list[str]:
    softmax = isinstance(model.config.similarity, SoftmaxSimilarityConfig)
    judged = "competing with each other (softmax)" if softmax else "each pair judged for itself (sigmoid)"
    words = card_sound.DUAL_ENCODER if model.hears else _DUAL_ENCODER
    summary = (
        f"{words.does} of {model.width} numbers whose product says how well they belong together, {judged}: "
        f"{_size(model, size)} Texts are read up to {model.caption_length} tokens."
    )
    head = _head(words.tag, words.title, summary, words.command, words.usage)
    method = "`embed_audio`" if model.hears else "`embed_images`"
    return [head, _preprocessing(model.config.transform, method)]


def _text_parts(model: TextModel, size: int) -> list[str]:
    words, labels = text_words(model), getattr(model, "labels", ())
    title = f"{words.title}: {_title(labels)}" if labels else words.title
    summary = f"{words.does}, by {text_body(model)}: {_size(model, size)} {text_calibration(model)}".rstrip()
    head = _head(words.tag, title, summary, words.command, words.usage)
    return [head, *([_labels(labels)] if labels else []), text_input(model)]


def _speech_parts(model: AnyRecognizer, size: int) -> list[str]:
    words = speech_words(model)
    summary = f"{words.does}, by {speech_body(model)}: {_size(model, size)}"
    return [_head(words.tag, words.title, summary, words.command, words.usage), speech_input(model)]


def _chat_parts(model: VisionLanguageModel, size: int) -> list[str]:
    words = chat_words(model)
    summary = f"{words.does}, by {chat_body(model)}: {_size(model, size)}"
    return [_head(words.tag, words.title, summary, words.command, words.usage), chat_input(model)]


def _head(tag: str, title: str, summary: str, command: str | None, usage: str) -> str:
    code = "\n".join(f"    {line}" for line in usage.split("\n"))
    shell = f"\n    {command}\n\nor, in Python:\n" if command else ""
    return _HEAD.format(tag=tag, title=title, summary=summary, command=shell, usage=code)


def _size(model: AnyModel, size: int) -> str:
    return f"{sum(p.numel() for p in model.parameters()):,} parameters ({size / 1e6:.1f} MB)."


def _summary(model: Classifier, classes: str, size: int) -> str:
    config = model.config
    if isinstance(config.encoder, ImageEncoderConfig):
        backbone, patch = config.encoder.backbone, config.encoder.tokenizer.patch
        body = (
            f"a transformer of {backbone.depth} layers and width {backbone.dim} on patches of "
            f"{patch[0]} x {patch[1]} {'channels and frames' if classes == card_sound.CLASSIFIER.does else 'pixels'}"
        )
    elif isinstance(config.encoder, PerceiverEncoderConfig):
        latents = config.encoder.perceiver
        body = (
            f"a Perceiver of {latents.latents} latents of width {latents.dim}, which go {latents.rounds} times through "
            f"{latents.depth} layers"
        )
    else:
        body = f"timm's `{config.encoder.name}`"
    answer = (
        "Each input gets one of the labels."
        if config.output == "softmax"
        else "Each input may get any number of the labels; each has a probability of its own."
    )
    if model.temperature == 1.0:
        calibration = "Probabilities are not calibrated."
    else:
        calibration = f"Probabilities are calibrated: logits are divided by {model.temperature:.4g} before."
    return f"Tells {len(model.labels)} {classes} apart, by {body}: {_size(model, size)} {answer} {calibration}"


def _labels(labels: tuple[str, ...]) -> str:
    rows = [f"{i}. {_escape(label)}" for i, label in enumerate(labels[:_MOST_LABELS])]
    more = len(labels) - _MOST_LABELS
    rows += [f"\n… and {more:,} more, which config.json lists."] if more > 0 else []
    return "## Labels\n\n" + "\n".join(rows) + "\n"


def _preprocessing(config: AnyTransformConfig, method: str) -> str:
    if isinstance(config, AudioTransformConfig):
        return card_sound.sound_preprocessing(config, method)
    size = " x ".join(map(str, config.size))
    scale = " x ".join(str(int(side / config.crop_fraction)) for side in config.size)
    resized = _RESIZE[config.resize].format(size=size, scale=scale)
    numbers = [", ".join(f"{value:.4g}" for value in values) for values in (config.mean, config.std)]
    return (
        f"## Preprocessing\n\nAn image is turned upright and made RGB, {resized} (height x width in pixels, "
        f"{config.interpolation}), divided by 255, and normalised with mean ({numbers[0]}) and deviation "
        f"({numbers[1]}). {method} does all of it.\n"
    )


def _section(name: str, value: Any) -> str:
    title = f"## {_escape(name[:1].upper() + name[1:].replace('_', ' '))}\n\n"
    if not isinstance(value, dict) or not value:
        return title + _escape(_short(value)) + "\n"
    rows = [f"| {_escape(key)} | {_escape(_short(item))} |" for key, item in _flat(value)]
    more = f"\n… and {len(rows) - _MOST_ROWS} more in config.json.\n" if len(rows) > _MOST_ROWS else ""
    return title + "| | |\n|---|---|\n" + "\n".join(rows[:_MOST_ROWS]) + "\n" + more


def _flat(value: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The entries of nested dicts under dotted names; the type names of configs say nothing to a reader."""
    for key, item in value.items():
        if isinstance(item, dict) and item:
            yield from _flat(item, f"{prefix}{key}.")
        elif key != "type":
            yield f"{prefix}{key}", item


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 300 else text[:297] + "..."


def _title(labels: tuple[str, ...]) -> str:
    shown = ", ".join(_escape(label) for label in labels[:5])
    return shown + (f" and {len(labels) - 5:,} more" if len(labels) > 5 else "")


def _escape(text: str) -> str:
    """`text` on one line, so that Markdown shows it as it is: class names can hold anything."""
    text = "".join(character if character.isprintable() else " " for character in text)
    text = text.replace("&", "&amp;").replace("<", "&lt;")
    return re.sub(r"([\\`*_\[\]|#>~$])", r"\\\1", text)

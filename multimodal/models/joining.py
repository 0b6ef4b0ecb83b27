"""Two trained models to one: the encoder of the first, a fresh projector, and the language model that shall see by it.

Ref: LLaVA arXiv:2304.08485 §4
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

from tokenizers import AddedToken, Tokenizer
from torch import nn

from multimodal.errors import ArgumentError
from multimodal.models.chat.layout import chat_text
from multimodal.models.chat.messages import AUDIO, IMAGE, chat_of
from multimodal.models.chat.tiles import TilesConfig
from multimodal.models.classifier import Classifier
from multimodal.models.ctc_recognizer import CtcRecognizer
from multimodal.models.dual_encoder import DualEncoder
from multimodal.models.features import AnyFeaturesEncoderConfig, FeaturesConfig
from multimodal.models.language_model import LanguageModel
from multimodal.models.projector import AnyProjectorConfig, MlpProjectorConfig
from multimodal.models.speech_recognizer import SpeechRecognizer
from multimodal.models.text.input import tokenizer_of
from multimodal.models.towers import ImageTower, ImageTowerConfig
from multimodal.models.vision_language import VisionLanguageConfig, VisionLanguageModel
from multimodal.tokenizers.audio import ConvStemConfig
from multimodal.tokenizers.audio_transform import AudioTransformConfig
from multimodal.tokenizers.chat import VICUNA
from multimodal.tokenizers.text import TextTokenizer
from multimodal.tokenizers.transforms import AnyTransformConfig

_LONGEST = 30.0  # seconds of a window where the encoder itself has no limit


def join(
    encoder: Any,
    language: Any,
    *,
    projector: AnyProjectorConfig = MlpProjectorConfig(),
    layers: tuple[int, ...] = (-2,),
    class_token: bool = False,
    tiles: TilesConfig | None = None,
    attention: Literal["causal", "prefix"] = "causal",
    template: str | None = None,
    seconds: float | None = None,
) -> VisionLanguageModel:
    """A `VisionLanguageModel` that shares its weights with neither, but for the projector as they are.

    Args:
        encoder: a `Classifier`, `DualEncoder`, `SpeechRecognizer` or `CtcRecognizer`, whose encoder of images or
            recordings is taken.
        language: a `LanguageModel` with a tokenizer, which is given a token for images where it has none.
        projector: from the width of the one to that of the other.
        layers: of the encoder that are read; see `FeaturesConfig`.
        class_token: whether the class token is read, too.
        tiles: for images larger than the encoder's, or of other proportions.
        attention: whether an image's tokens see each other both ways ("prefix").
        template: chat template; None: the tokenizer's own, or Vicuna's.
        seconds: of a recognizer: the window that a recording is cut into; None: the one that a Whisper was trained
            with, or 15.

    Raises:
        ArgumentError: models of another kind, a language model without a tokenizer or an end token, a template that
            drops images, or parts that do not fit each other.
    """
    if not isinstance(language, LanguageModel):
        raise ArgumentError(f"language is a {type(language).__name__}; it must be a LanguageModel.")
    config, module, transform = _encoder_of(encoder, seconds)
    token = AUDIO if isinstance(transform, AudioTransformConfig) else IMAGE
    tokenizer = _with_token(tokenizer_of(language), token, template)
    joined = VisionLanguageConfig(
        features=FeaturesConfig(
            encoder=config,
            layers=layers,
            class_token=class_token,
            standardized=isinstance(encoder, CtcRecognizer),
        ),
        projector=projector,
        language=language.config,
        placeholder=tokenizer.id_of(token),
        transform=transform,
        tiles=tiles,
        attention=attention,
    )
    model = joined.build(tokenizer)
    model.features.encoder.load_state_dict(module.state_dict())
    model.language.load_state_dict(language.state_dict())
    sources = {"encoder": encoder.card.get("source"), "language": language.card.get("source")}
    model.card = {name: source for name, source in sources.items() if source is not None}
    return model.to(language.output_weight.device).eval()


def _encoder_of(model: Any, seconds: float | None) -> tuple[AnyFeaturesEncoderConfig, nn.Module, AnyTransformConfig]:
    """The encoder of `model`, its config, and what stands between files and it."""
    if seconds is not None and not isinstance(model, SpeechRecognizer | CtcRecognizer):
        raise ArgumentError("seconds is for the encoder of a SpeechRecognizer or CtcRecognizer; leave it out.")
    if isinstance(model, Classifier):
        return model.config.encoder, model.encoder, model.config.transform
    if isinstance(model, DualEncoder):
        image = model.config.image
        if isinstance(image, ImageTowerConfig) and isinstance(model.image, ImageTower):
            return image.encoder, model.image.encoder, model.config.transform
        return image, model.image, model.config.transform  # pyright: ignore
    if isinstance(model, SpeechRecognizer):
        stem = model.config.encoder.stem
        longest = stem.positions / 50 if isinstance(stem, ConvStemConfig) else _LONGEST  # a token every 20 ms
        return model.config.encoder, model.encoder, _window(model, seconds, longest, longest)
    if isinstance(model, CtcRecognizer):
        if model.config.between:
            raise ArgumentError(
                "The encoder of this CtcRecognizer hears its own answers between its blocks, which a joined model does "
                "not have; take one that was trained without: conformer_ctc.py --model.fresh.between false."
            )
        return model.config.encoder, model.encoder, _window(model, seconds, 15.0, _LONGEST)
    raise ArgumentError(
        f"encoder is a {type(model).__name__}; it must be a Classifier, a DualEncoder, a SpeechRecognizer or a "
        "CtcRecognizer, whose encoder is taken."
    )


def _window(
    model: SpeechRecognizer | CtcRecognizer, seconds: float | None, usual: float, longest: float
) -> AudioTransformConfig:
    """The spectrograms that a recognizer's encoder hears, of windows of `seconds`."""
    seconds = usual if seconds is None else seconds
    if not 0 < seconds <= longest:
        raise ArgumentError(f"seconds is {seconds:g}; this encoder hears up to {longest:g} at a time.")
    return AudioTransformConfig(features=model.config.features, seconds=seconds, mean=0.0, std=0.5)


def _with_token(tokenizer: TextTokenizer, token: str, template: str | None) -> TextTokenizer:
    """A copy that knows `token` and has a chat template, which shows images."""
    settings = tokenizer.settings
    if tokenizer.eos_id is None:
        raise ArgumentError(
            "The tokenizer has no token that ends a text (eos), so an answer could not end: give it one."
        )
    copy = Tokenizer.from_str(tokenizer.plain())
    copy.add_special_tokens([AddedToken(token, special=True, normalized=False)])  # once, also if it is there already
    special = settings.special
    special = replace(special, extra=tuple(dict.fromkeys((*special.extra, token))))
    if template is not None and "{" not in template:
        raise ArgumentError(
            f"template is {template!r}, which is no Jinja source; give the text of a chat template, or none for the "
            "tokenizer's own, or else Vicuna's."
        )
    template = template or settings.chat_template or VICUNA
    found = TextTokenizer(copy, replace(settings, special=special, chat_template=template))
    chat_text(found, chat_of([{"role": "user", "content": f"{token}\n?"}], [None]), token)  # or it cannot be asked
    return found

"""The models that a folder can hold: the config of each, and what else it is built from and saved with."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeAlias

from multimodal.models.classifier import Classifier, ClassifierConfig
from multimodal.models.ctc_recognizer import CtcRecognizer, CtcRecognizerConfig
from multimodal.models.dual_encoder import DualEncoder, DualEncoderConfig
from multimodal.models.encoder_decoder import EncoderDecoder, EncoderDecoderConfig
from multimodal.models.language_model import LanguageModel, LanguageModelConfig
from multimodal.models.speech_recognizer import SpeechRecognizer, SpeechRecognizerConfig
from multimodal.models.text_encoder import TextEncoder, TextEncoderConfig
from multimodal.models.text_heads import (
    MultipleChoice,
    MultipleChoiceConfig,
    QuestionAnswerer,
    QuestionAnswererConfig,
    TextClassifier,
    TextClassifierConfig,
    TokenTagger,
    TokenTaggerConfig,
)
from multimodal.models.vision_language import VisionLanguageConfig, VisionLanguageModel
from multimodal.tokenizers.text import TextTokenizer

TextModel: TypeAlias = (
    LanguageModel | TextEncoder | EncoderDecoder | TextClassifier | TokenTagger | QuestionAnswerer | MultipleChoice
)
AnyModel: TypeAlias = Classifier | DualEncoder | TextModel | SpeechRecognizer | CtcRecognizer | VisionLanguageModel
AnyConfig: TypeAlias = (
    ClassifierConfig
    | DualEncoderConfig
    | LanguageModelConfig
    | TextEncoderConfig
    | EncoderDecoderConfig
    | TextClassifierConfig
    | TokenTaggerConfig
    | QuestionAnswererConfig
    | MultipleChoiceConfig
    | SpeechRecognizerConfig
    | CtcRecognizerConfig
    | VisionLanguageConfig
)


@dataclass(frozen=True)
class Kind:
    """A class of models, as config.json tells it apart."""

    config: type[AnyConfig]
    parts: tuple[str, ...]  # attributes besides the config: "labels", "temperature", "tokenizer"

    @property
    def built_from(self) -> tuple[str, ...]:
        """The parts that `config.build` takes."""
        return tuple(part for part in self.parts if part != "temperature")


KINDS: dict[str, Kind] = {  # by the name of the model's class
    "Classifier": Kind(ClassifierConfig, ("labels", "temperature")),
    "DualEncoder": Kind(DualEncoderConfig, ("tokenizer",)),
    "LanguageModel": Kind(LanguageModelConfig, ("tokenizer",)),
    "TextEncoder": Kind(TextEncoderConfig, ("tokenizer",)),
    "EncoderDecoder": Kind(EncoderDecoderConfig, ("tokenizer",)),
    "TextClassifier": Kind(TextClassifierConfig, ("labels", "temperature", "tokenizer")),
    "TokenTagger": Kind(TokenTaggerConfig, ("labels", "tokenizer")),
    "QuestionAnswerer": Kind(QuestionAnswererConfig, ("tokenizer",)),
    "MultipleChoice": Kind(MultipleChoiceConfig, ("tokenizer",)),
    "SpeechRecognizer": Kind(SpeechRecognizerConfig, ("tokenizer",)),
    "CtcRecognizer": Kind(CtcRecognizerConfig, ("tokenizer",)),
    "VisionLanguageModel": Kind(VisionLanguageConfig, ("tokenizer",)),
}


def build(
    config: AnyConfig, *, labels: Iterable[str] | None = None, tokenizer: TextTokenizer | None = None
) -> AnyModel:
    """The model of `config` with fresh weights; of labels and tokenizer it gets what its kind has."""
    given = {"labels": labels, "tokenizer": tokenizer}
    kind = next(kind for kind in KINDS.values() if kind.config is type(config))
    model: Any = config
    return model.build(**{part: given[part] for part in kind.built_from})


def rebuilt(model: AnyModel) -> AnyModel:
    """A model like `model`, with the same labels and tokenizer and fresh weights."""
    parts = {part: getattr(model, part) for part in KINDS[type(model).__name__].built_from}
    return build(model.config, **parts)


def vocabulary_of(config: Any) -> int:
    """How many token ids a model of `config` knows that reads or writes text."""
    if isinstance(config, CtcRecognizerConfig | VisionLanguageConfig):
        return config.vocabulary
    return (config.embedding if hasattr(config, "embedding") else config.encoder.embedding).vocabulary

"""What every family of transformers' models gives: the contract of the files `transformers_*.py` beside this one.

A family is a file with `MODEL_TYPES`, `read` and `write`, as `Family` says; `transformers_source.py` lists them.
`Fields` reads a config.json strictly: each value by its type, and what the shared backbone cannot do refused by name. A
field that transformers' own code of that model type does not compute with is not asked for, so it does no harm.

How defaults of generation are read is in `transformers_generation.py`, names of tensors in `multimodal/weights`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from multimodal.backbone.mlp import Activation
from multimodal.errors import DataError, nearest
from multimodal.models.classifier import ClassifierConfig
from multimodal.models.dual_encoder import DualEncoderConfig
from multimodal.models.encoder_decoder import EncoderDecoderConfig
from multimodal.models.language_model import LanguageModelConfig
from multimodal.models.speech_recognizer import SpeechRecognizerConfig
from multimodal.models.text_encoder import TextEncoderConfig
from multimodal.models.text_heads import (
    MultipleChoiceConfig,
    QuestionAnswererConfig,
    TextClassifierConfig,
    TokenTaggerConfig,
)
from multimodal.models.vision_language import VisionLanguageConfig
from multimodal.weights.keymap import Table

BodyConfig: TypeAlias = LanguageModelConfig | TextEncoderConfig | EncoderDecoderConfig
HeadConfig: TypeAlias = TextClassifierConfig | TokenTaggerConfig | QuestionAnswererConfig | MultipleChoiceConfig
OtherConfig: TypeAlias = ClassifierConfig | DualEncoderConfig | SpeechRecognizerConfig | VisionLanguageConfig
AnyConfig: TypeAlias = BodyConfig | HeadConfig | OtherConfig
ACTIVATIONS: dict[str, Activation] = {  # transformers' names; the first of each is the one that is written
    "gelu": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "quick_gelu": "quick_gelu",
    "relu": "relu",
    "silu": "silu",
    "swish": "silu",
}


@dataclass(frozen=True, kw_only=True)
class Published:
    """What a config.json of transformers means here.

    Attributes:
        config: of our model.
        table: its weights. Where several names are one tied tensor, the one that a file holds stands first.
        older: (pattern, replacement) for `re.sub`: names in older files, or in those of the same model without its
            head, to those of the table. Applied in this order to names that no row covers.
        labels: names of the classes, where the model has a head with classes.
        without: (name in the table, what this is instead where the weights lack that tensor), for what a config.json
            does not tell: whether T5 has an output layer of its own, BERT a pooler. Applied in this order.
    """

    config: AnyConfig
    table: Table
    older: tuple[tuple[str, str], ...] = ()
    labels: tuple[str, ...] | None = None
    without: tuple[tuple[str, Published], ...] = ()


class Family(Protocol):
    """A file that reads and writes one family."""

    @property
    def MODEL_TYPES(self) -> tuple[str, ...]:
        """Values of `model_type` in config.json."""
        ...

    @staticmethod
    def read(config: Mapping[str, Any], generation: Mapping[str, Any], /) -> Published:
        """What config.json and generation_config.json (empty: there is none) mean.

        Raises:
            DataError: a field, named with its value, that is damaged or asks for what cannot be done here.
        """
        ...

    @staticmethod
    def write(model_config: Any, /) -> dict[str, Any] | None:
        """The config.json of our model: "model_type", "architectures" and all that `read` needs; labels excluded.

        None: this family has no such model. What `write` gives need not lead back to an equal config through `read`:
        the caller compares, and takes the next family where it does not.
        """
        ...


class Fields:
    """The fields of a JSON object, read strictly. A field that is absent or null has the default of transformers."""

    def __init__(self, config: Mapping[str, Any], file: str = "config.json") -> None:
        self.config, self.file = config, file

    def whole(self, name: str, default: int | None = None, *, least: int = 1) -> int:
        """A whole number of at least `least`.

        Raises:
            DataError: it is not, or it is absent and there is no default.
        """
        found = self._get(name, default)
        if type(found) is not int or found < least:
            raise self.wrong(name, f"it must be a whole number from {least}")
        return found

    def token(self, name: str, default: int | None = None) -> int | None:
        """The id of a token, or None.

        Raises:
            DataError: it is neither.
        """
        found = self.config.get(name, default)
        if found is not None and (type(found) is not int or found < 0):
            raise self.wrong(name, "it must be an id, a whole number from 0, or null")
        return found

    def number(self, name: str, default: float | None = None, *, least: float = -math.inf) -> float:
        """A finite number of at least `least`.

        Raises:
            DataError: it is not, or it is absent and there is no default.
        """
        found = self._get(name, default)
        if isinstance(found, bool) or not isinstance(found, int | float):
            raise self.wrong(name, "it must be a number")
        if not math.isfinite(found) or found < least:
            raise self.wrong(name, f"it must be a number from {least:g}" if least > -math.inf else "it must be finite")
        return float(found)

    def rate(self, name: str, default: float) -> float:
        """A probability of dropping something.

        Raises:
            DataError: it is not between 0 and 1.
        """
        found = self.number(name, default)
        if not 0 <= found <= 1:
            raise self.wrong(name, "it must be between 0 and 1")
        return found

    def flag(self, name: str, default: bool) -> bool:
        """True or false.

        Raises:
            DataError: it is neither.
        """
        found = self._get(name, default)
        if not isinstance(found, bool):
            raise self.wrong(name, "it must be true or false")
        return found

    def activation(self, name: str, default: str) -> Activation:
        """An activation function, by transformers' name.

        Raises:
            DataError: one that we do not have.
        """
        found = self._get(name, default)
        if not isinstance(found, str) or found not in ACTIVATIONS:
            near = nearest(str(found), ACTIVATIONS)
            raise self.wrong(name, f"the activations here are {', '.join(ACTIVATIONS)}", near)
        return ACTIVATIONS[found]

    def architecture(self, supported: Sequence[str]) -> str:
        """Which of the classes `supported` the weights are of; where the config does not say, the first.

        Raises:
            DataError: another class.
        """
        found = self.config.get("architectures") or [supported[0]]
        if not isinstance(found, list) or len(found) != 1 or found[0] not in supported:
            near = nearest(str(found[0]), supported) if isinstance(found, list) else ""
            raise self.wrong(
                "architectures", f"of this model_type, one of these can be read: {', '.join(supported)}", near
            )
        return found[0]

    def labels(self) -> tuple[str, ...]:
        """The names of the classes, in their order.

        Raises:
            DataError: they do not name each class.
        """
        found = self.config.get("id2label")
        if found is None:
            return tuple(f"LABEL_{i}" for i in range(self.whole("num_labels", 2)))
        labels = {str(number): str(label) for number, label in found.items()} if isinstance(found, dict) else {}
        if not labels or labels.keys() != {str(i) for i in range(len(labels))}:
            raise self.wrong("id2label", "it must name each class, counted from 0")
        return tuple(labels[str(i)] for i in range(len(labels)))

    def several_labels(self) -> bool:
        """Whether an input may have any number of the classes.

        Raises:
            DataError: the model was trained for numbers.
        """
        problem = self.config.get("problem_type") or "single_label_classification"
        if problem not in ("single_label_classification", "multi_label_classification"):
            raise self.wrong("problem_type", "only classification can be done here, single_label_ or multi_label_")
        return problem.startswith("multi")

    def only(self, **fixed: Any) -> None:
        """Refuse other values than these, which mean what is done here; an absent or null field is one of them.

        Raises:
            DataError: a field has another value.
        """
        for name, value in fixed.items():
            found = self.config.get(name)
            if found is not None and found != value:
                raise self.wrong(name, f"only {value!r} can be done here")

    def wrong(self, name: str, rule: str, more: str = "") -> DataError:
        """The error about a field, to be raised: it names the field, its value and the `rule`."""
        found = repr(self.config[name]) if name in self.config else "missing"
        shown = found if len(found) <= 200 else f"{found[:197]}..."
        return DataError(f"{self.file}: {name} is {shown}; {rule}.{more}")

    def _get(self, name: str, default: Any) -> Any:
        found = self.config.get(name)
        return default if found is None else found


def activation_name(activation: Activation) -> str:
    """What transformers calls one of our activations."""
    return next(theirs for theirs, ours in ACTIVATIONS.items() if ours == activation)

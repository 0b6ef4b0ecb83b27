"""What `transcribe` is asked for, checked against the model before any recording is opened."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, get_args

from multimodal.errors import ArgumentError, nearest
from multimodal.models.speech.fallback import COMPRESSION, LOGPROB, NO_SPEECH, TEMPERATURES
from multimodal.models.speech.languages import language_code
from multimodal.models.speech.options import DecodingConfig, Timestamps, TranscribeOptions, check_choice
from multimodal.models.speech.prompts import tokens_of
from multimodal.models.speech.sequential import LongFormConfig
from multimodal.models.speech.tokens import Task

DEFAULTS: TranscribeOptions = {
    "language": None,
    "task": "transcribe",
    "timestamps": "segment",
    "batch_size": None,
    "beams": None,
    "condition": True,
    "prompt": None,
    "temperatures": TEMPERATURES,
    "best_of": 5,
    "logprob_threshold": LOGPROB,
    "compression_threshold": COMPRESSION,
    "no_speech_threshold": NO_SPEECH,
    "seed": None,
}


class Plan(NamedTuple):
    """How recordings are decoded."""

    config: LongFormConfig
    prompt: list[int]  # tokens of a text that is told to the first window, in batches to each
    batch_size: int | None  # windows at a time; None: as it pays


def plan_of(model: Any, options: TranscribeOptions) -> Plan:
    """What `options` ask of `model`, checked.

    Raises:
        ArgumentError: an unknown option, or one that the model cannot follow.
    """
    for name in options:
        if name not in DEFAULTS:
            near = nearest(name, DEFAULTS) or f" The options are {', '.join(DEFAULTS)} and errors."
            raise ArgumentError(f"{name} is not an option of transcribing.{near}")
    asked: dict[str, Any] = {**DEFAULTS, **options}
    tokens = tokens_of(model)
    for name, kind in (("task", Task), ("timestamps", Timestamps)):
        check_choice(name, asked[name], get_args(kind))
    batch_size, language, timestamps = asked["batch_size"], asked["language"], asked["timestamps"]
    if batch_size is not None and batch_size < 1:
        raise ArgumentError(f"batch_size is {batch_size}; it must be at least 1.")
    if language is not None:
        language = language_code(language, tokens.languages if tokens.multilingual else ["en"])
    said: Any = {"task": asked["task"], "language": language, "timestamps": timestamps != "none"}
    tokens.start(language, said["task"], said["timestamps"])  # refuses what the model cannot do
    tries = asked["temperatures"]
    tries = tries if isinstance(tries, Sequence) else (tries,)
    config = LongFormConfig(
        decoding=DecodingConfig(**said, beams=asked["beams"], seed=asked["seed"]),
        temperatures=tuple(float(value) for value in tries),
        best_of=asked["best_of"],
        logprob=asked["logprob_threshold"],
        compression=asked["compression_threshold"],
        no_speech=asked["no_speech_threshold"],
        condition=asked["condition"],
        words=timestamps == "word",
    )
    prompt = asked["prompt"]
    told = model.tokenizer.encode(f" {prompt.strip()}", special=False).ids if prompt and prompt.strip() else ()
    return Plan(config, list(told), batch_size)

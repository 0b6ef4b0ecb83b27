"""What `transcribe` is asked for, checked against the model before any recording is opened."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, get_args

from multimodal.errors import ArgumentError, nearest
from multimodal.models.speech_fallback import COMPRESSION, LOGPROB, NO_SPEECH, TEMPERATURES
from multimodal.models.speech_languages import language_code
from multimodal.models.speech_options import DecodingConfig
from multimodal.models.speech_prompts import tokens_of
from multimodal.models.speech_sequential import LongFormConfig
from multimodal.models.speech_tokens import Task

Timestamps = Literal["segment", "word", "none"]


class Plan(NamedTuple):
    """How recordings are decoded."""

    config: LongFormConfig
    prompt: list[int]  # tokens of a text that is told to the first window, in batches to each
    batch_size: int | None  # windows at a time; None: as it pays


def plan_of(
    model: Any,
    *,
    language: str | None = None,
    task: str = "transcribe",
    timestamps: str = "segment",
    batch_size: int | None = None,
    beams: int | None = None,
    condition: bool = True,
    prompt: str | None = None,
    temperatures: float | Sequence[float] = TEMPERATURES,
    best_of: int | None = 5,
    logprob_threshold: float | None = LOGPROB,
    compression_threshold: float | None = COMPRESSION,
    no_speech_threshold: float | None = NO_SPEECH,
    seed: int | None = None,
) -> Plan:
    """The options of `speech_transcription.transcribe`, checked.

    Raises:
        ArgumentError: an option that the model cannot follow.
    """
    tokens = tokens_of(model)
    for name, value, choices in (("task", task, get_args(Task)), ("timestamps", timestamps, get_args(Timestamps))):
        if value not in choices:
            close = nearest(str(value), choices)
            raise ArgumentError(f"{name} is {value!r}; it must be one of {', '.join(map(repr, choices))}.{close}")
    if batch_size is not None and batch_size < 1:
        raise ArgumentError(f"batch_size is {batch_size}; it must be at least 1.")
    if language is not None:
        language = language_code(language, tokens.languages if tokens.multilingual else ["en"])
    options: Any = {"task": task, "language": language, "timestamps": timestamps != "none"}
    tokens.start(language, options["task"], options["timestamps"])  # refuses what the model cannot do
    tries = temperatures if isinstance(temperatures, Sequence) else (temperatures,)
    config = LongFormConfig(
        decoding=DecodingConfig(**options, beams=beams, seed=seed),
        temperatures=tuple(float(value) for value in tries),
        best_of=best_of,
        logprob=logprob_threshold,
        compression=compression_threshold,
        no_speech=no_speech_threshold,
        condition=condition,
        words=timestamps == "word",
    )
    told = model.tokenizer.encode(f" {prompt.strip()}", special=False).ids if prompt and prompt.strip() else ()
    return Plan(config, list(told), batch_size)

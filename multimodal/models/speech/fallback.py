"""Decoding again, and more freely, what looks wrong: text that repeats itself, or that the model is not sure of.

Only the windows that failed are decoded again, at the next temperature. A window in which the model hears no speech
may be unsure.

Axes: n windows · s encoder tokens · d model width
Ref: Whisper arXiv:2212.04356 §4.5
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from jaxtyping import Float
from torch import Tensor

from multimodal.errors import ArgumentError
from multimodal.models.speech.decoding import Decoded, DecodingConfig, decode_windows
from multimodal.models.speech.prompts import Rows

TEMPERATURES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
LOGPROB = -1.0  # natural logarithm, mean of a text's tokens
COMPRESSION = 2.4
NO_SPEECH = 0.6


def decode_with_fallback(
    model: Any,
    context: Float[Tensor, "n s d"],
    config: DecodingConfig = DecodingConfig(),
    *,
    temperatures: Sequence[float] = TEMPERATURES,
    logprob_threshold: float | None = LOGPROB,
    compression_threshold: float | None = COMPRESSION,
    no_speech_threshold: float | None = NO_SPEECH,
    beams: int | None = None,
    best_of: int | None = None,
    prompts: Rows = (),
) -> list[Decoded]:
    """The text of each window at the first of `temperatures` at which nothing is wrong with it, or at the last.

    Args:
        model: a `SpeechRecognizer`, in eval mode.
        context: what its `encode` gave for the windows.
        config: its `temperature`, `beams` and `best_of` are those given here instead.
        temperatures: tried in this order.
        logprob_threshold: a mean log-probability below it is a failure; None: none is.
        compression_threshold: a compression ratio above it is a failure; None: none is.
        no_speech_threshold: with a probability of silence above it, a low log-probability is no failure; None: always.
        beams: texts that are searched at a time, at temperature 0; None: as `config` says.
        best_of: texts that are drawn of a window at other temperatures; None: as `config` says.
        prompts: as in `decode_windows`.

    Raises:
        ArgumentError: no temperature at all; and as `decode_windows`, as are DataErrors.
    """
    if not temperatures:
        raise ArgumentError("temperatures is empty; give at least one, such as 0.")
    found: dict[int, Decoded] = {}
    beams, best_of = beams or config.beams, best_of or config.best_of
    going = list(range(len(context)))
    for temperature in temperatures:
        drawing = temperature > 0
        options: dict[str, Any] = {"beams": None, "patience": 1.0} if drawing else {"beams": beams}
        asked = replace(config, temperature=temperature, best_of=best_of if drawing else None, **options)
        heard = context if len(going) == len(context) else context[going]
        rows = decode_windows(model, heard, asked, prompts=[prompts[i] for i in going] if prompts else ())
        found.update(zip(going, rows, strict=True))
        thresholds = {"logprob": logprob_threshold, "compression": compression_threshold}
        going = [i for i in going if failure(found[i], no_speech=no_speech_threshold, **thresholds)]
        if not going:
            break
    return [found[i] for i in range(len(context))]


def failure(
    decoded: Decoded,
    *,
    logprob: float | None = LOGPROB,
    compression: float | None = COMPRESSION,
    no_speech: float | None = NO_SPEECH,
) -> str | None:
    """What looks wrong with a text, in a few words; None: nothing. The thresholds are those of the fallback."""
    unsure = logprob is not None and decoded.avg_logprob < logprob
    if unsure and no_speech is not None and decoded.no_speech > no_speech:
        return None
    if compression is not None and decoded.compression_ratio > compression:
        return f"repeats itself (compression ratio {decoded.compression_ratio:.1f})"
    return f"unsure (mean log-probability {decoded.avg_logprob:.1f})" if unsure else None

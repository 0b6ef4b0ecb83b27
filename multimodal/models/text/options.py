"""The options of `generate`, by the names that people know them by, and the `GenerationConfig` that they make."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any, TypedDict

from multimodal.errors import ArgumentError, nearest
from multimodal.generation.config import BeamConfig, GenerationConfig, SamplingConfig
from multimodal.tokenizers.text import TextTokenizer


class Options(TypedDict, total=False):
    """How to generate, where it shall differ from `config` or the model's own `config.generation`; None: as there."""

    max_new_tokens: int | None
    temperature: float | None  # draw tokens; the lower, the more often the likeliest one; 0: always that one (greedy)
    top_k: int | None  # draw from the k likeliest tokens
    top_p: float | None  # draw from the fewest likeliest tokens that together reach this probability
    min_p: float | None  # draw from the tokens at least this many times as likely as the likeliest
    seed: int | None  # the same drawing each time
    beams: int | None  # search for the likeliest text with so many hypotheses at a time; 1: greedy
    n_best: int | None  # how many texts beam search gives for each prompt
    length_penalty: float | None  # of beam search: above 0 prefers longer texts
    repetition_penalty: float | None  # above 1: less of what was there already
    stop: str | Sequence[str] | None  # ends a text, and is cut off
    config: GenerationConfig | None  # in place of the model's


_SAMPLING = tuple(field.name for field in fields(SamplingConfig))
_NAMES = tuple(Options.__annotations__)


def settings(config: GenerationConfig, tokenizer: TextTokenizer | None, options: Options) -> GenerationConfig:
    """What `options` make of the model's `config`. Where no end token is known, it is the tokenizer's.

    Raises:
        ArgumentError: an unknown option, one out of range, or options that exclude each other.
    """
    for name in options:
        if name not in _NAMES:
            near = nearest(name, _NAMES) or f" The options are {', '.join(_NAMES)}."
            raise ArgumentError(f"{name} is not an option of generation.{near}")
    given: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
    base: GenerationConfig = given.pop("config", config)
    if not isinstance(base, GenerationConfig):
        raise ArgumentError(f"config is {base!r}; it must be a GenerationConfig.")
    if not base.end and tokenizer is not None and tokenizer.eos_id is not None:
        base = replace(base, end=(tokenizer.eos_id,))
    sampling, beams = base.sampling, base.beams
    drawing = {name: given.pop(name) for name in _SAMPLING if name in given}
    searching = {
        field: given.pop(name)
        for name, field in (("beams", "width"), ("n_best", "n_best"), ("length_penalty", "length_penalty"))
        if name in given
    }
    temperature = drawing.get("temperature", 0)
    if isinstance(temperature, int | float) and temperature < 0:
        raise ArgumentError(f"temperature is {temperature:g}; it must be above 0, or 0 for always the likeliest token.")
    if drawing.get("temperature") == 0:
        if others := [name for name in drawing if name not in ("temperature", "seed")]:
            raise ArgumentError(f"temperature=0 always takes the likeliest token, so {others[0]} has no meaning.")
        sampling = None
    elif drawing.keys() - {"seed"} or (drawing and sampling is not None):
        sampling = replace(sampling or SamplingConfig(), **drawing)
        beams = beams if searching else None
    if searching.get("width") == 1 and len(searching) == 1:
        beams = None
    elif searching:
        if beams is None and "width" not in searching:
            raise ArgumentError("n_best and length_penalty belong to beam search; give beams as well, such as beams=4.")
        searching.setdefault("width", beams.width if beams is not None else 1)
        beams = replace(beams or BeamConfig(n_best=1), **searching)
        sampling = sampling if drawing else None
    if "repetition_penalty" in given:
        penalty = given.pop("repetition_penalty")
        penalty = float(penalty) if isinstance(penalty, int) else penalty
        given["rules"] = replace(base.rules, repetition_penalty=penalty)
    if "stop" in given:
        stop = given["stop"]
        given["stop"] = tuple(stop) if isinstance(stop, list | tuple) else (stop,)
    return replace(base, sampling=sampling, beams=beams, **given)

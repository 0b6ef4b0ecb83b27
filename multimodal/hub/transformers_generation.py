"""Defaults of generation: transformers' generation_config.json, or the same fields in an older config.json, and back.

`generate` follows them unless it is told otherwise. What decoding here has no counterpart for (contrastive search,
typical sampling ...) is left out with a warning, because a model is of use without it.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

from multimodal.generation.config import BeamConfig, GenerationConfig, RulesConfig, SamplingConfig
from multimodal.hub.transformers_family import Fields

_OFF: dict[str, tuple[Any, ...]] = {  # fields that are not followed, and the values that ask for nothing
    "typical_p": (1.0,),
    "top_h": (),
    "epsilon_cutoff": (0.0,),
    "eta_cutoff": (0.0,),
    "penalty_alpha": (0.0,),
    "dola_layers": (),
    "diversity_penalty": (0.0,),
    "num_beam_groups": (1,),
    "constraints": (),
    "force_words_ids": (),
    "encoder_no_repeat_ngram_size": (0,),
    "encoder_repetition_penalty": (1.0,),
    "exponential_decay_length_penalty": (),
    "sequence_bias": (),
    "guidance_scale": (1.0,),
    "renormalize_logits": (False,),
    "token_healing": (False,),
    "watermarking_config": (),
}


def read_generation(
    config: Mapping[str, Any],
    generation: Mapping[str, Any],
    *,
    end: int | None = None,
    encoder_decoder: bool = False,
) -> GenerationConfig:
    """What `generate` does unless told otherwise.

    Args:
        config: config.json, which holds these defaults where there is no other file.
        generation: generation_config.json; empty where there is none.
        end: the end token of this family where a config.json does not say it.
        encoder_decoder: `max_length` then counts the new tokens and the one that the decoder begins with. For other
            models it counts the prompt too, which no default here does, so it is left out; likewise `min_length`.

    Raises:
        DataError: a field that is damaged.
    """
    fields = Fields(generation, "generation_config.json") if generation else Fields({"eos_token_id": end, **config})
    lost = [name for name, off in _OFF.items() if fields.config.get(name) not in (None, *off)]
    new, min_new = (fields.whole(name, 0, least=0) for name in ("max_new_tokens", "min_new_tokens"))
    whole, min_whole = (fields.whole(name, 0, least=0) for name in ("max_length", "min_length"))
    if encoder_decoder:
        new, min_new = new or max(whole - 1, 0), max(min_new, min_whole - 1)
    elif min_whole:
        lost.append("min_length")
    ends = _ids(fields, "eos_token_id")
    width = fields.whole("num_beams", 1)
    sampling = _sampling(fields) if fields.flag("do_sample", False) else None
    if sampling and width > 1:
        lost, sampling = [*lost, "do_sample"], None
    stop = fields.config.get("stop_strings") or []
    stop = [stop] if isinstance(stop, str) else stop
    if not isinstance(stop, list) or not all(isinstance(text, str) for text in stop):
        raise fields.wrong("stop_strings", "it must be a text or a list of texts")
    found = GenerationConfig(
        max_new_tokens=new or GenerationConfig().max_new_tokens,
        end=ends,
        stop=tuple(stop),
        sampling=sampling,
        beams=_beams(fields, width) if width > 1 else None,
        rules=_rules(fields, min_new, ends, lost),
    )
    if lost:
        warnings.warn(
            f"{fields.file}: {', '.join(lost)} cannot be followed here; generation goes on without.", stacklevel=2
        )
    return found


def write_generation(config: GenerationConfig) -> dict[str, Any]:
    """generation_config.json: what `read_generation` reads back, but for a seed, which transformers does not keep."""
    rules, beams, sampling = config.rules, config.beams, config.sampling
    found: dict[str, Any] = {"max_new_tokens": config.max_new_tokens}
    if config.end:
        found["eos_token_id"] = config.end[0] if len(config.end) == 1 else list(config.end)
    if config.stop:
        found["stop_strings"] = list(config.stop)
    if sampling:
        cuts = {"top_k": sampling.top_k or 0, "top_p": sampling.top_p or 1.0}  # 0 and 1: none
        found |= {"do_sample": True, "temperature": sampling.temperature, **cuts}
        found |= {"min_p": sampling.min_p} if sampling.min_p is not None else {}
    if beams:
        found |= {"num_beams": beams.width, "length_penalty": beams.length_penalty}
        found |= {"early_stopping": beams.early_stopping, "num_return_sequences": beams.n_best}
    named = {
        "repetition_penalty": (rules.repetition_penalty, 1.0),
        "no_repeat_ngram_size": (rules.no_repeat_ngram, 0),
        "min_new_tokens": (rules.min_new_tokens, 0),
        "suppress_tokens": (list(rules.suppress), []),
        "begin_suppress_tokens": (list(rules.suppress_first), []),
        "forced_bos_token_id": (rules.forced_first, None),
        "forced_eos_token_id": (rules.forced_last, None),
    }
    return found | {name: value for name, (value, usual) in named.items() if value != usual}


def _sampling(fields: Fields) -> SamplingConfig:
    top_k, top_p = fields.whole("top_k", 50, least=-1), fields.number("top_p", 1.0)
    return SamplingConfig(
        temperature=fields.number("temperature", 1.0),
        top_k=top_k if top_k > 0 else None,
        top_p=top_p if top_p < 1.0 else None,
        min_p=fields.number("min_p", 0.0) or None,
    )


def _beams(fields: Fields, width: int) -> BeamConfig:
    early = fields.config.get("early_stopping") or False
    if early not in (False, True, "never"):
        raise fields.wrong("early_stopping", "it must be true, false or 'never'")
    return BeamConfig(
        width=width,
        length_penalty=fields.number("length_penalty", 1.0),
        early_stopping=early,
        n_best=fields.whole("num_return_sequences", 1),
    )


def _rules(fields: Fields, min_new: int, ends: tuple[int, ...], lost: list[str]) -> RulesConfig:
    words = fields.config.get("bad_words_ids") or []
    if not isinstance(words, list) or not all(isinstance(word, list) for word in words):
        raise fields.wrong("bad_words_ids", "it must be a list of lists of ids")
    if any(len(word) > 1 for word in words):
        lost.append("bad_words_ids of several tokens")
    single = [word[0] for word in words if len(word) == 1 and word[0] not in ends]
    last = _ids(fields, "forced_eos_token_id")
    if len(last) > 1:
        lost.append("forced_eos_token_id")
    first = fields.token("forced_bos_token_id")
    if first is None and fields.flag("force_bos_token_to_be_generated", False):  # the oldest BART
        first = fields.token("bos_token_id")
    return RulesConfig(
        repetition_penalty=fields.number("repetition_penalty", 1.0),
        no_repeat_ngram=fields.whole("no_repeat_ngram_size", 0, least=0),
        min_new_tokens=min_new,
        suppress=tuple(sorted({*_ids(fields, "suppress_tokens"), *single})),
        suppress_first=_ids(fields, "begin_suppress_tokens"),
        forced_first=first,
        forced_last=last[0] if len(last) == 1 else None,
    )


def _ids(fields: Fields, name: str) -> tuple[int, ...]:
    """One id, several, or none."""
    found = fields.config.get(name)
    several = found if isinstance(found, list) else [] if found is None else [found]
    if any(type(id) is not int or id < 0 for id in several):
        raise fields.wrong(name, "it must be an id or a list of ids")
    return tuple(several)

"""What is said in windows of sound, as Whisper's decoder writes it: `decode_windows`, `detect_language`.

Greedy and best-of decoding are in `drawing.py`, beam search in `beams.py`, the rules of timestamps in
`rules.py`, what is done when a text looks wrong in `fallback.py`. Tokens are those of openai-whisper.

Axes: n windows · s encoder tokens · d model width
Ref: Whisper arXiv:2212.04356 §2.3, §4.5
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from multimodal.backbone.packed import packed_rows
from multimodal.errors import ArgumentError
from multimodal.models.speech.beams import search_texts
from multimodal.models.speech.drawing import draw_texts
from multimodal.models.speech.options import Decoded, DecodingConfig
from multimodal.models.speech.prompts import Begun, Listener, Rows, begin, language_odds, rules_of, tokens_of
from multimodal.models.speech.segments import text_of

__all__ = ["Decoded", "DecodingConfig", "compression_ratio", "decode_windows", "detect_language"]


class _Text(NamedTuple):
    ids: tuple[int, ...]  # without the end token
    logprobs: tuple[float, ...]  # of the ids, and of the end token where it came
    score: float


@torch.inference_mode()
def decode_windows(
    model: Any,
    context: Float[Tensor, "n s d"],
    config: DecodingConfig = DecodingConfig(),
    *,
    prompts: Rows = (),
    prefixes: Rows = (),
) -> list[Decoded]:
    """The text of each window, which is what it would be alone, but for draws without a seed.

    Args:
        model: a `SpeechRecognizer`, in eval mode.
        context: what its `encode` gave for the windows.
        config: how the text is found.
        prompts: for each window the ids of earlier text, of which the last are read that leave room; or none.
        prefixes: for each window the ids that its text begins with, which are not given back; or none.

    Raises:
        ArgumentError: a model without a tokenizer, a language that it does not know, or as many prompts or prefixes as
            there are no windows.
        DataError: the logits are not numbers.
    """
    if not len(context):
        return []
    tokens = tokens_of(model)
    with packed_rows(model.decoder, model.output_weight):
        begun = begin(model, context, config, prompts=prompts, prefixes=prefixes)
        group = config.best_of or 1
        rules = rules_of(model, config, len(context) * group, context.device)
        if config.beams is not None:
            found = search_texts(begun, rules, beams=config.beams, patience=config.patience, eot=tokens.eot)
        else:
            options: dict[str, Any] = {"temperature": config.temperature, "seed": config.seed, "group": group}
            found = draw_texts(begun, rules, eot=tokens.eot, **options)
    return [_decoded(model, begun, i, texts, config) for i, texts in enumerate(found)]


@torch.inference_mode()
def detect_language(model: Any, context: Float[Tensor, "n s d"]) -> list[dict[str, float]]:
    """How likely each language is that the model knows, by code, for each window.

    Raises:
        ArgumentError: a model without a tokenizer, or one that knows English alone.
    """
    tokens = tokens_of(model)
    if not tokens.multilingual:
        raise ArgumentError("This model knows English alone, so there is no language to detect; leave that out.")
    with packed_rows(model.decoder, model.output_weight):
        return language_odds(Listener(model, context, 1), tokens) if len(context) else []


def compression_ratio(text: str) -> float:
    """How many times smaller zlib makes the text's UTF-8; what repeats itself is far above 2."""
    plain = text.encode("utf-8")
    return len(plain) / len(zlib.compress(plain))


def _decoded(model: Any, begun: Begun, window: int, texts: Sequence[Any], config: DecodingConfig) -> Decoded:
    """The likeliest of a window's texts, the first of equals."""
    eot = tokens_of(model).eot
    found = [_Text(tuple(id for id in text.ids if id != eot), tuple(text.logprobs), text.score) for text in texts]

    def merit(text: _Text) -> float:
        length = max(len(text.ids), 1)
        return text.score / (length if config.length_penalty is None else ((5 + length) / 6) ** config.length_penalty)

    best = max(found, key=merit)
    text = text_of(model, best.ids)
    return Decoded(
        ids=best.ids,
        logprobs=best.logprobs[: len(best.ids)],
        text=text,
        language=begun.languages[window],
        avg_logprob=best.score / (len(best.ids) + 1),
        no_speech=begun.no_speech[window],
        compression_ratio=compression_ratio(text),
        temperature=config.temperature,
    )

"""How likely a language model finds texts: `LanguageModel.score`.

Axes: b batch · t length · d model width · v vocabulary
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from multimodal.errors import ArgumentError
from multimodal.models.text.generation import prompt_rows
from multimodal.models.text.input import TextOrIds, batches, device_of
from multimodal.models.watching import evaluating

_LOGITS = 2**24  # numbers that are computed at a time


@dataclass(frozen=True)
class TextScore:
    """How likely a text is; logarithms are natural."""

    ids: tuple[int, ...]  # the tokens that are scored
    tokens: tuple[str, ...]  # as the vocabulary spells them; () without a tokenizer
    logprobs: tuple[float, ...]  # of each, given all before it

    @property
    def logprob(self) -> float:
        """Of the whole text."""
        return math.fsum(self.logprobs)

    @property
    def perplexity(self) -> float:
        """exp of the mean over tokens of -logprob; infinity beyond what a float holds."""
        mean = -self.logprob / len(self.logprobs)
        return math.exp(mean) if mean < 709 else math.inf


def score_texts(model: Any, texts: Sequence[TextOrIds], given: TextOrIds, *, batch_size: int) -> list[TextScore]:
    """See `LanguageModel.score`."""
    front = prompt_rows(model, [given], begins=True)[0] if len(given) else []
    rows = [front + row for row in prompt_rows(model, texts, begins=not front)]
    starts = [len(front)] * len(rows)
    bos = model.tokenizer.bos_id if model.tokenizer is not None else None
    for i, row in enumerate(rows):
        if not front and bos is not None and isinstance(texts[i], str | bytes):
            rows[i] = row = row if row[0] == bos else [bos, *row]
            starts[i] = 1
        starts[i] = max(starts[i], 1)  # nothing stands in front of the first token
        _check(row, i, starts[i], len(rows), model.config.embedding.max_length)
    found: list[list[float]] = [[] for _ in rows]
    device = device_of(model)
    with evaluating(model), torch.inference_mode():
        for places, batch in batches(rows, batch_size=batch_size, device=device, what="scoring"):
            hidden = model.hidden(batch.ids[:, :-1], keep=batch.keep[:, :-1])
            logprobs = _logprobs(model, hidden, batch.ids[:, 1:]).tolist()
            for place, row in zip(places, logprobs, strict=True):
                found[place] = row[starts[place] - 1 : len(rows[place]) - 1]
    scored = [tuple(row[start:]) for row, start in zip(rows, starts, strict=True)]
    spell = model.tokenizer.token_of if model.tokenizer is not None else None
    tokens = [tuple(map(spell, ids)) if spell is not None else () for ids in scored]
    return [TextScore(*parts) for parts in zip(scored, tokens, map(tuple, found), strict=True)]


def _check(row: Sequence[int], place: int, start: int, count: int, longest: int) -> None:
    which = f"Text {place + 1} of {count}"
    if len(row) <= start:
        raise ArgumentError(f"{which} has no token to score: the first one counts only where something stands before.")
    if len(row) > longest + 1:  # the last token is not read
        raise ArgumentError(
            f"{which} has {len(row) - 1:,} tokens to read, and the model reads up to {longest:,}. Score it in pieces."
        )


def _logprobs(model: Any, hidden: Float[Tensor, "b t d"], targets: Int[Tensor, "b t"]) -> Float[Tensor, "b t"]:
    """log p(target) at each place, without ever holding all logits."""
    flat, wanted = hidden.flatten(0, 1), targets.flatten()
    size = max(1, _LOGITS // model.config.embedding.vocabulary)
    parts = []
    for x, y in zip(flat.split(size), wanted.split(size), strict=True):
        logits = model.output(x).float()
        parts.append(logits.gather(1, y[:, None])[:, 0] - logits.logsumexp(-1))
    return torch.cat(parts).view_as(targets)

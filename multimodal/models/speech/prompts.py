"""Windows of sound whose text has begun: what stands in front of it has been read by the decoder.

In front of a window's text may stand earlier text (the prompt), then come the tokens that say language and task, and
the first words of the text itself (the prefix) where they are known. Windows of one batch may have prompts of different
length. The keys and values of what the encoder heard are computed once a window, here.

Axes: b rows: windows, or several of each · n windows · t length · s encoder tokens · d model width · v vocabulary
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from multimodal.backbone.cache import Cache
from multimodal.errors import ArgumentError, DataError
from multimodal.generation.choosing import NOTHING
from multimodal.generation.continuation import padded
from multimodal.models.continuations import last_real
from multimodal.models.speech.options import DecodingConfig
from multimodal.models.speech.rules import TextRules, TimestampRules
from multimodal.models.speech.tokens import TIMESTAMP_STEP, SpeechTokens

Rows = Sequence[Sequence[int]]
STAYING = 0.75  # finished windows leave a batch when no larger part of it remains: it costs a copy of what is heard


class Listener:
    """A decoder in the middle of writing `b` rows; each window is listened to by equally many, side by side."""

    def __init__(self, model: Any, context: Float[Tensor, "n s d"], capacity: int) -> None:
        self.model, self.context = model, context
        self.cache: Cache = model.decoder.new_cache(len(context), capacity)

    def next_logits(self, ids: Int[Tensor, " b"]) -> Float[Tensor, "b v"]:
        """Float32 logits of the token after `ids`, which are the next ones of each row."""
        return self.model.output(self.hidden(ids[:, None])[:, -1]).float()

    def hidden(self, ids: Int[Tensor, "b t"], keep: Tensor | None = None) -> Float[Tensor, "b t d"]:
        """The decoder's states of the rows' next tokens; `keep` (b t) is False at padding on the right."""
        return self.model.decode(ids, self.context, cache=self.cache, decoder_keep=keep)

    def reorder(self, rows: Sequence[int], windows: Sequence[int] | None = None) -> None:
        """Row i goes on from where row `rows[i]` was; only `windows` remain, or all."""
        self.cache.reorder(rows, windows)
        if windows is not None:
            self.context = self.context[list(windows)]


@dataclass(frozen=True, kw_only=True)
class Begun:
    """Windows, each with one row, whose first token of text is due."""

    listener: Listener
    logits: Float[Tensor, "n v"]  # of that token, float32
    no_speech: list[float]
    languages: list[str]
    rooms: list[int]  # how many tokens each text may get


def begin(
    model: Any, context: Float[Tensor, "n s d"], config: DecodingConfig, *, prompts: Rows = (), prefixes: Rows = ()
) -> Begun:
    """Read what stands in front of the text of each window.

    Raises:
        ArgumentError: a model without a tokenizer, a language that it does not know, or prompts of other windows.
        DataError: the logits are not numbers.
    """
    tokens, n = tokens_of(model), len(context)
    for name, given in (("prompts", prompts), ("prefixes", prefixes)):
        if len(given) not in (0, n):
            raise ArgumentError(f"There are {len(given)} {name} and {n} windows; give one for each, or none.")
    longest: int = model.config.embedding.max_length
    most = config.max_new_tokens or longest // 2
    rows = [
        _opening(tokens, config, prompts[i] if prompts else (), prefixes[i] if prefixes else (), longest, most)
        for i in range(n)
    ]
    if too_long := [i for i, row in enumerate(rows, 1) if len(row) > longest]:
        raise ArgumentError(
            f"Window {too_long[0]} of {n} has {len(rows[too_long[0] - 1]):,} tokens in front of its text; the model "
            f"reads up to {longest:,}. Shorten its prefix."
        )
    listener = Listener(model, context, max(map(len, rows)) + most)  # finished rows are written on until they leave
    places, languages = [row.index(tokens.sot) for row in rows], [config.language or "en"] * n
    if config.language is None and tokens.multilingual:
        languages = [max(odds, key=odds.__getitem__) for odds in language_odds(listener, tokens)]
        for row, place, language in zip(rows, places, languages, strict=True):
            row[place + 1] = tokens.languages[language]
    ids, keep = padded(rows, context.device)
    hidden = listener.hidden(ids, keep)
    first = hidden[torch.arange(n, device=context.device), torch.tensor(places, device=context.device)]
    at_start, logits = model.output(torch.stack([first, last_real(hidden, keep)])).float()
    silence = at_start.softmax(-1)[:, tokens.no_speech].tolist()
    if any(p != p for p in silence):
        raise DataError(NOTHING)
    rooms = [min(most, longest + 1 - len(row)) for row in rows]  # the last token is not read
    return Begun(listener=listener, logits=logits, no_speech=silence, languages=languages, rooms=rooms)


def _opening(
    tokens: SpeechTokens,
    config: DecodingConfig,
    prompt: Sequence[int],
    prefix: Sequence[int],
    longest: int,
    most: int,
) -> list[int]:
    """What stands in front of a text; the first language, where that is to be found."""
    language = config.language or next(iter(tokens.languages), None)
    kept = longest // 2 - most  # of the prefix; the whole, where the text may be as long as it ever is
    front = [tokens.sot_prev, *prompt[-(longest // 2 - 1) :]] if len(prompt) else []
    start = tokens.start(language, config.task, config.timestamps)
    return [*front, *start, *(prefix[-kept:] if kept > 0 else prefix)]


def language_odds(listener: Listener, tokens: SpeechTokens) -> list[dict[str, float]]:
    """How likely each language is in each window; the listener has then heard them, and read nothing."""
    n = len(listener.context)
    start = torch.full((n, 1), tokens.sot, device=listener.context.device)
    logits = listener.model.output(listener.hidden(start)[:, -1]).float()
    listener.cache.rewind([0] * n)
    odds = logits[:, logits.new_tensor(list(tokens.languages.values()), dtype=torch.long)].softmax(-1).tolist()
    return [dict(zip(tokens.languages, row, strict=True)) for row in odds]


def rules_of(model: Any, config: DecodingConfig, rows: int, device: torch.device) -> TextRules | TimestampRules:
    """What may come next in the texts of `rows` rows."""
    tokens, settings = tokens_of(model), model.config
    places = (tokens.sot, tokens.translate, tokens.transcribe, tokens.sot_lm, tokens.sot_prev, tokens.no_speech)
    first = settings.suppress_first if config.suppress_blank else ()
    text = TextRules((*settings.suppress, *places), first, vocabulary=settings.embedding.vocabulary, device=device)
    if not config.timestamps:
        return text
    latest = config.max_initial_timestamp
    steps = round(latest / TIMESTAMP_STEP) if latest is not None else None
    return TimestampRules(text, tokens, rows=rows, latest=steps, device=device)


def tokens_of(model: Any) -> SpeechTokens:
    """The tokens with a task of a model's vocabulary.

    Raises:
        ArgumentError: the model has no tokenizer.
    """
    if model.tokens is None:
        raise ArgumentError(
            f"This {type(model).__name__} has no tokenizer, and what its tokens mean is not known without one; load "
            "a folder that has one, or set one when it is built."
        )
    return model.tokens

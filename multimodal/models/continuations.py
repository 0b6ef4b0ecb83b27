"""Language models and encoder-decoders as `Continuation`s: what `generation/` decodes from, once the prompts are read.

Axes: b batch · n sources: b, or b / beams · t new tokens · s source length · d model width · v vocabulary
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from multimodal.backbone.cache import Cache
from multimodal.errors import ArgumentError
from multimodal.generation.continuation import Continuation, padded, repeats_of
from multimodal.generation.prefix import Prefix


class TextContinuation:
    """A `LanguageModel` in the middle of its texts; `repeats` as in `Continuation`."""

    def __init__(self, model: Any, cache: Cache, repeats: list[int]) -> None:
        self.model, self.cache, self.repeats = model, cache, repeats

    def logits(self, ids: Int[Tensor, "b t"], *, keep: Bool[Tensor, "b t"] | None = None) -> Float[Tensor, "b t v"]:
        """Logits of the token after each of `ids`."""
        return self.model(ids, keep=keep, cache=self.cache)

    def next_logits(self, ids: Int[Tensor, "b t"], *, keep: Bool[Tensor, "b t"] | None = None) -> Float[Tensor, "b v"]:
        """Logits of the token after the last real one of each row."""
        only = last_places(ids, keep) if ids.shape[1] > 1 else None
        return self.model.output(self.model.hidden(ids, keep=keep, cache=self.cache, only=only)[:, 0])

    def reorder(self, rows: Sequence[int], contexts: Sequence[int] | None = None) -> None:
        """Row i goes on from where row `rows[i]` was."""
        self.cache.reorder(rows)


class TargetContinuation:
    """An `EncoderDecoder` in the middle of its targets; `repeats` as in `Continuation`."""

    def __init__(
        self,
        model: Any,
        cache: Cache,
        context: Float[Tensor, "n s d"],
        context_keep: Bool[Tensor, "n s"] | None,
        repeats: list[int],
    ) -> None:
        self.model, self.cache, self.repeats = model, cache, repeats
        self.context, self.context_keep = context, context_keep

    def logits(self, ids: Int[Tensor, "b t"], *, keep: Bool[Tensor, "b t"] | None = None) -> Float[Tensor, "b t v"]:
        """Logits of the token after each of `ids`."""
        return self.model.output(self._hidden(ids, keep))

    def next_logits(self, ids: Int[Tensor, "b t"], *, keep: Bool[Tensor, "b t"] | None = None) -> Float[Tensor, "b v"]:
        """Logits of the token after the last real one of each row."""
        return self.model.output(last_real(self._hidden(ids, keep), keep))

    def reorder(self, rows: Sequence[int], contexts: Sequence[int] | None = None) -> None:
        """Row i goes on from where row `rows[i]` was; only the sources `contexts` remain, or all."""
        self.cache.reorder(rows, contexts)
        if contexts is not None:
            self.context = self.context[list(contexts)]
            self.context_keep = self.context_keep[list(contexts)] if self.context_keep is not None else None

    def _hidden(self, ids: Tensor, keep: Tensor | None) -> Float[Tensor, "b t d"]:
        return self.model.decode(ids, self.context, context_keep=self.context_keep, decoder_keep=keep, cache=self.cache)


class Begun(NamedTuple):
    """Prompts that a model has read: the first arguments of `generate` and `stream`."""

    continuation: Continuation
    logits: Float[Tensor, "b v"]  # of the token after each prompt
    prompts: list[list[int]]


@torch.inference_mode()
def begin_texts(
    model: Any,
    prompts: Sequence[Sequence[int]],
    *,
    max_new_tokens: int,
    prefix: Prefix | None = None,
    truncate: bool = False,
    repeats: Sequence[int] | None = None,
) -> Begun:
    """Have a `LanguageModel` read prompts.

    Args:
        model: a `LanguageModel`, in eval mode.
        prompts: ids of each, of any lengths.
        max_new_tokens: how many each may get, so far as the model reads that many.
        prefix: stands in front of every prompt, read beforehand.
        truncate: cut off the beginning of a prompt that does not leave room for `max_new_tokens` tokens, or for half
            of what the model reads if these are more; otherwise such a prompt gets fewer new tokens.
        repeats: for each prompt, how many before it are equal, which tells them apart in sampling. None: counted here;
            whoever has prompts read in several batches counts over all (`repeats_of`).

    Raises:
        ArgumentError: a prompt without a token, or one that leaves no room for a new one; a prefix of another model.
    """
    front = list(prefix.ids) if prefix is not None else []
    longest: int = model.config.embedding.max_length
    kept = max(longest - len(front) - max_new_tokens, (longest - len(front)) // 2)
    rows = [front + list(prompt[max(len(prompt) - kept, 0) :] if truncate else prompt) for prompt in prompts]
    check_lengths(rows, longest, "; or let its beginning be cut off (truncate)" if not truncate else "")
    read = max(len(front) - 1, 0)
    unread, keep = padded([row[read:] for row in rows], model.output_weight.device)
    capacity = min(longest, max(map(len, rows)) + max_new_tokens)
    cache = model.backbone.new_cache(len(rows), capacity)
    counted = list(repeats) if repeats is not None else repeats_of([tuple(row) for row in rows])
    continuation = TextContinuation(model, cache, counted)
    if prefix is not None:
        prefix.fill(continuation.cache, model)
    return Begun(continuation, continuation.next_logits(unread, keep=keep), rows)


@torch.inference_mode()
def begin_targets(
    model: Any,
    ids: Int[Tensor, "n s"],
    *,
    max_new_tokens: int,
    keep: Bool[Tensor, "n s"] | None = None,
    prompts: Sequence[Sequence[int]] | None = None,
    repeats: Sequence[int] | None = None,
) -> Begun:
    """Have an `EncoderDecoder` read sources, and the beginnings of their targets.

    Args:
        model: an `EncoderDecoder`, in eval mode.
        ids: the sources.
        max_new_tokens: how many each target may get, so far as the model has positions for that many.
        keep: False at the sources' padding.
        prompts: ids that each target begins with; None: the one that the model begins with.
        repeats: as in `begin_texts`, of source and beginning together.

    Raises:
        ArgumentError: a beginning without a token, or one that leaves no room for a new one.
    """
    rows = [list(prompt) for prompt in prompts] if prompts is not None else [[model.config.start] for _ in ids]
    longest: int | None = model.config.embedding.positions
    check_lengths(rows, longest, "")
    target, target_keep = padded(rows, ids.device)
    capacity = max(map(len, rows)) + max_new_tokens
    cache = model.decoder.new_cache(len(rows), min(capacity, longest) if longest is not None else capacity)
    if repeats is None:
        real = keep if keep is not None else torch.ones_like(ids, dtype=torch.bool)
        sources = [tuple(row[there].tolist()) for row, there in zip(ids.cpu(), real.cpu(), strict=True)]
        repeats = repeats_of(list(zip(sources, map(tuple, rows), strict=True)))
    continuation = TargetContinuation(model, cache, model.encode(ids, keep=keep), keep, list(repeats))
    return Begun(continuation, continuation.next_logits(target, keep=target_keep), rows)


def last_real(hidden: Float[Tensor, "b t d"], keep: Bool[Tensor, "b t"] | None) -> Float[Tensor, "b d"]:
    """The hidden state of each row's last real token."""
    if keep is None:
        return hidden[:, -1]
    return hidden[torch.arange(len(hidden), device=hidden.device), last_places(keep, keep)]


def last_places(ids: Shaped[Tensor, "b t"], keep: Bool[Tensor, "b t"] | None) -> Int[Tensor, " b"]:
    """Where the last real token of each row stands, as padding is on the right."""
    if keep is None:
        return torch.full((len(ids),), ids.shape[1] - 1, device=ids.device)
    return keep.sum(1).clamp(min=1) - 1


def check_lengths(rows: Sequence[Sequence[int]], longest: int | None, cure: str) -> None:
    """Refuse prompts without a token, or that leave no room for a new one; `cure` says what else than shortening helps.

    Raises:
        ArgumentError: one of them is such.
    """
    for number, row in enumerate(rows, 1):
        which = f"Prompt {number} of {len(rows)}" if len(rows) > 1 else "The prompt"
        if not row:
            raise ArgumentError(f"{which} has no token to begin with; write something, or begin with a special token.")
        if longest is not None and len(row) >= longest:
            raise ArgumentError(
                f"{which} has {len(row):,} tokens, which leaves no room for a new one: the model reads up to "
                f"{longest:,}. Shorten it{cure}."
            )

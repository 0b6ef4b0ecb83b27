"""`generate` and `stream` of the text models: prompts for people to ids for `generation/`, and ids back to text.

Axes: b batch · s source length
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, TypeAlias

import torch
from torch import nn

from multimodal.backbone.packed import packed_rows
from multimodal.errors import ArgumentError
from multimodal.generation.config import GenerationConfig
from multimodal.generation.continuation import repeats_of
from multimodal.generation.decoding import generate, stream
from multimodal.generation.drafts import Draft, LookupDraft, ModelDraft
from multimodal.generation.prefix import Prefix
from multimodal.generation.rows import Generated, Step
from multimodal.models.continuations import Begun, begin_targets, begin_texts
from multimodal.models.text.input import batches, by_length, checked_ids, device_of, is_text, rows_of, tokenizer_of
from multimodal.models.text.options import Options, settings
from multimodal.models.watching import evaluating

Drafts: TypeAlias = nn.Module | str | None  # a smaller LanguageModel; "lookup": the text itself


def prompt_rows(model: Any, prompts: Sequence[Any], *, begins: bool) -> list[list[int]]:
    """The ids of prompts: texts, lists of chat messages, or ids.

    What a tokenizer puts behind a text is left out, since the text goes on. An empty text becomes the token that begins
    texts, where there is one.

    Args:
        model: a `LanguageModel`.
        prompts: each a text, a list of messages or ids.
        begins: whether a prompt is the beginning of its text, so that special tokens belong in front of it.

    Raises:
        ArgumentError: no tokenizer, no chat template, ids that the model does not have, or nothing to begin with.
    """
    rows: list[list[int]] = []
    for prompt in prompts:
        if _is_chat(prompt):
            tokenizer = tokenizer_of(model)
            rows.append(tokenizer.rows([tokenizer.chat(prompt)], special=False)[0])
        elif isinstance(prompt, str | bytes):
            tokenizer = tokenizer_of(model)
            row = tokenizer.encode(prompt, special=begins)
            behind = next((i for i, special in enumerate(reversed(row.special_mask)) if not special), 0)
            ids = list(row.ids[: len(row.ids) - behind])
            bos = tokenizer.bos_id
            rows.append([bos] if not prompt and begins and bos is not None else ids)
        else:
            rows.append(checked_ids(prompt, model.config.embedding.vocabulary))
        if begins and not rows[-1]:
            raise ArgumentError(
                f"Prompt {len(rows)} of {len(prompts)} is empty, and there is no token that begins a text: write "
                "something."
            )
    return rows


def several_prompts(prompts: Any) -> tuple[list[Any], bool]:
    """One prompt or many, as many; and whether it was one."""
    single = is_text(prompts) or _is_chat(prompts)
    if not single and not isinstance(prompts, Sequence):
        raise ArgumentError(f"{type(prompts).__name__} is no prompt: give a text, a list of messages, or several.")
    return ([prompts] if single else list(prompts)), single


def complete_texts(
    model: Any,
    prompts: Sequence[Any],
    *,
    draft: Drafts,
    prefix: Prefix | None,
    truncate: bool,
    batch_size: int,
    options: Options,
) -> list[list[Generated]]:
    """See `LanguageModel.complete`."""
    config = settings(model.config.generation, model.tokenizer, options)
    check_helpers(model, draft, prefix)
    rows = prompt_rows(model, prompts, begins=prefix is None)
    found: list[list[Generated]] = [[] for _ in rows]
    reading = {"max_new_tokens": config.max_new_tokens, "prefix": prefix, "truncate": truncate}
    repeats = repeats_of([tuple(row) for row in rows])
    for places in by_length(rows, batch_size=batch_size, what="generating"):
        with _evaluating(model, draft):
            begun = begin_texts(model, [rows[i] for i in places], **reading, repeats=[repeats[i] for i in places])
            drafting = _draft(draft, begun, config)
            with _packed(model, draft):
                done = generate(*begun, config, tokenizer=model.tokenizer, draft=drafting)
        for place, texts in zip(places, done, strict=True):
            found[place] = texts
    return found


def stream_text(
    model: Any, prompt: Any, *, draft: Drafts, prefix: Prefix | None, truncate: bool, options: Options
) -> Iterator[Step]:
    """The steps of one prompt's continuation as they come; errors come at once."""
    prompts, single = several_prompts(prompt)
    if not single:
        raise ArgumentError("Only one prompt can be streamed at a time; use generate for several.")
    config = settings(model.config.generation, model.tokenizer, options)
    check_helpers(model, draft, prefix)
    rows = prompt_rows(model, prompts, begins=prefix is None)
    reading = {"max_new_tokens": config.max_new_tokens, "prefix": prefix, "truncate": truncate}

    def begin() -> Iterator[Step]:
        begun = begin_texts(model, rows, **reading)
        return stream(*begun, config, tokenizer=model.tokenizer, draft=_draft(draft, begun, config))

    return _one_by_one(begin, model, draft)


def complete_targets(
    model: Any, texts: Sequence[Any], *, truncate: bool, batch_size: int, options: Options
) -> list[list[Generated]]:
    """See `EncoderDecoder.complete`."""
    config = settings(model.config.generation, model.tokenizer, options)
    rows = rows_of(model, texts, truncation="right" if truncate else "refuse")
    found: list[list[Generated]] = [[] for _ in rows]
    pad = model.tokenizer.pad_id if model.tokenizer is not None else None
    device, repeats = device_of(model), repeats_of([tuple(row) for row in rows])
    for places, batch in batches(rows, batch_size=batch_size, device=device, what="generating", pad=pad):
        with evaluating(model):
            keep = None if bool(batch.keep.all()) else batch.keep
            counted = [repeats[i] for i in places]
            begun = begin_targets(model, batch.ids, keep=keep, max_new_tokens=config.max_new_tokens, repeats=counted)
            with _packed(model, None):
                done = generate(*begun, config, tokenizer=model.tokenizer)
        for place, targets in zip(places, done, strict=True):
            found[place] = targets
    return found


def stream_target(model: Any, text: Any, *, truncate: bool, options: Options) -> Iterator[Step]:
    """The steps of one target as they come; errors come at once."""
    if not is_text(text):
        raise ArgumentError("Only one text can be streamed at a time; use generate for several.")
    config = settings(model.config.generation, model.tokenizer, options)
    rows = rows_of(model, [text], truncation="right" if truncate else "refuse")

    def begin() -> Iterator[Step]:
        ids = torch.tensor(rows, device=device_of(model))
        begun = begin_targets(model, ids, max_new_tokens=config.max_new_tokens)
        return stream(*begun, config, tokenizer=model.tokenizer)

    return _one_by_one(begin, model, None)


def plain(found: Sequence[Sequence[Generated]], *, single: bool, options: Options, text: bool) -> Any:
    """What `generate` gives: for each prompt a text, or ids where `text` is False; lists where `n_best` is given.

    Of a `single` prompt it is that alone.
    """
    several = options.get("n_best") is not None
    rows = [[one.text if text else list(one.ids) for one in texts] for texts in found]
    shown = rows if several else [row[0] for row in rows]
    return shown[0] if single else shown


def _is_chat(prompt: Any) -> bool:
    return isinstance(prompt, list | tuple) and bool(prompt) and all(isinstance(one, dict) for one in prompt)


def check_helpers(model: Any, draft: Any, prefix: Any) -> None:
    """Refuse a draft or a prefix that `model` cannot use.

    Raises:
        ArgumentError: something else than a language model with as many tokens, "lookup" or None; or no prefix.
    """
    if prefix is not None and not isinstance(prefix, Prefix):
        raise ArgumentError(f"prefix is of type {type(prefix).__name__}; it must be what `read_prefix` gave.")
    if draft is None or draft == "lookup":
        return
    if type(draft) is not type(model):
        shown = repr(draft) if isinstance(draft, str) else f"a {type(draft).__name__}"
        raise ArgumentError(f"draft is {shown}; it must be a smaller {type(model).__name__}, 'lookup' or None.")
    theirs, ours = draft.config.embedding.vocabulary, model.config.embedding.vocabulary
    if theirs != ours:
        raise ArgumentError(
            f"The draft's vocabulary has {theirs:,} tokens and the model's {ours:,}; a draft must have the same tokens."
        )


def _draft(draft: Drafts, begun: Begun, config: GenerationConfig) -> Draft | None:
    if isinstance(draft, nn.Module):
        # A draft that reads less than the model does with the end of what the model has read: it only guesses.
        read = begin_texts(draft, begun.prompts, max_new_tokens=config.max_new_tokens, truncate=True)
        return ModelDraft(read.continuation)
    return LookupDraft(begun.prompts) if draft == "lookup" else None


def _all(model: nn.Module, draft: Drafts) -> list[Any]:
    return [model, draft] if isinstance(draft, nn.Module) else [model]


def _evaluating(model: nn.Module, draft: Drafts) -> AbstractContextManager[None]:
    return evaluating(nn.ModuleList(_all(model, draft)))


def _packed(model: nn.Module, draft: Drafts) -> AbstractContextManager[None]:
    models = _all(model, draft)
    return packed_rows(nn.ModuleList(models), *(one.output_weight for one in models))


def _one_by_one(begin: Callable[[], Iterator[Step]], model: nn.Module, draft: Drafts) -> Iterator[Step]:
    """The steps, with the model as it was found whenever the caller has the word."""
    with _evaluating(model, draft):
        steps = begin()

    def rest() -> Iterator[Step]:
        while True:
            with _evaluating(model, draft), _packed(model, draft):
                step = next(steps, None)
            if step is None:
                return
            yield step

    return rest()

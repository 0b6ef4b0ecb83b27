"""Questions about images to answers: what many of them share is read once, and what was read before not again.

The questions of a batch that are about the same images share everything up to where they differ; a `ChatMemory` keeps
what one conversation has read, so that the next question reads only what is new. Neither changes an answer.

Axes: b batch · t tokens
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import takewhile
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from multimodal.backbone.packed import packed_rows
from multimodal.errors import ArgumentError
from multimodal.generation.config import GenerationConfig
from multimodal.generation.continuation import padded, repeats_of
from multimodal.generation.decoding import generate, stream
from multimodal.generation.rows import Generated
from multimodal.models.chat.layout import chat_text, encode_chat, expand, placeholder_token
from multimodal.models.chat.memory import ChatMemory, ChatPrompt
from multimodal.models.chat.messages import Chat, check_roles, read_chat
from multimodal.models.chat.views import Views
from multimodal.models.continuations import Begun, TextContinuation, check_lengths, last_places
from multimodal.models.text.input import tokenizer_of
from multimodal.models.text.options import Options, settings
from multimodal.models.watching import evaluating
from multimodal.progress import track


def prompt_of(model: Any, given: Any) -> ChatPrompt:
    """What `model` reads of one chat, that it then answers.

    Raises:
        ArgumentError: as `VisionLanguageModel.chat`.
        MediaError: an image that cannot be read.
    """
    tokenizer, reader = tokenizer_of(model), model.reader
    chat = read_chat(given, hears=reader.hears)
    check_roles(chat.messages, answered=False)
    check_kinds(model, chat)
    placeholder = model.config.placeholder
    text = chat_text(tokenizer, chat, placeholder_token(tokenizer, placeholder))
    seen = tuple(reader.read(source) for source in chat.media)
    ids = expand(encode_chat(tokenizer, text).ids, placeholder, [one.tokens for one in seen])
    return ChatPrompt(tuple(ids), seen, placeholder)


def check_kinds(model: Any, chat: Chat) -> None:
    """Refuse recordings for a model that sees, and images for one that hears.

    Raises:
        ArgumentError: the chat has one that the model does not take.
    """
    takes, other = ("audio", "image") if model.reader.hears else ("image", "audio")
    if other in chat.kinds:
        named = {"audio": "a recording", "image": "an image"}
        raise ArgumentError(f"The conversation has {named[other]}, and this model takes {named[takes]}.")


def complete_chats(
    model: Any, chats: Sequence[Any], *, memory: ChatMemory | None, batch_size: int, options: Options
) -> list[list[Generated]]:
    """See `VisionLanguageModel.complete`."""
    config = settings(model.config.generation, model.tokenizer, options)
    if batch_size < 1:
        raise ArgumentError(f"batch_size is {batch_size}; it must be at least 1.")
    if memory is not None and len(chats) != 1:
        raise ArgumentError(f"A memory is that of one conversation, and {len(chats)} were given; give one at a time.")
    prompts = [prompt_of(model, chat) for chat in track(chats, len(chats), "Reading")]
    _check_room(prompts, model)
    repeats = repeats_of([(prompt.ids, prompt.keys) for prompt in prompts])
    found: list[list[Generated]] = [[] for _ in prompts]
    batches = _batches(prompts, batch_size)
    for places in track(batches, len(batches), "Answering"):
        rows = [prompts[i] for i in places]
        done = answer_prompts(model, rows, config, memory=memory, repeats=[repeats[i] for i in places])
        for place, answers in zip(places, done, strict=True):
            found[place] = answers
    return found


def answer_prompts(
    model: Any,
    prompts: Sequence[ChatPrompt],
    config: GenerationConfig,
    *,
    memory: ChatMemory | None = None,
    repeats: Sequence[int] | None = None,
) -> list[list[Generated]]:
    """The answers to prompts that go through the model together.

    Args:
        model: a `VisionLanguageModel`.
        prompts: what it reads.
        config: how tokens are chosen.
        memory: of the only prompt.
        repeats: for each, how many before it are equal, which tells them apart in sampling; None: counted here.
    """
    counted = repeats_of([(prompt.ids, prompt.keys) for prompt in prompts]) if repeats is None else repeats
    with evaluating(model):
        begun = begin_chats(model, prompts, config, memory=memory, repeats=counted)
        with packed_rows(model.language, model.output_weight):
            found = generate(*begun, config, tokenizer=model.tokenizer)
    if memory is not None:
        _remember(memory, model, prompts[0], begun, found[0][0].ids if config.beams is None else ())
    return found


def stream_chat(model: Any, chat: Any, *, memory: ChatMemory | None, options: Options) -> Iterator[str]:
    """See `VisionLanguageModel.stream`; errors come at once."""
    config = settings(model.config.generation, model.tokenizer, options)
    prompt = prompt_of(model, chat)
    _check_room([prompt], model)
    with evaluating(model):
        begun = begin_chats(model, [prompt], config, memory=memory, repeats=[0])
        steps = stream(*begun, config, tokenizer=model.tokenizer)

    def pieces() -> Iterator[str]:
        ids: list[int] = []
        begun_to_speak = False
        try:
            while True:
                with evaluating(model), packed_rows(model.language, model.output_weight):
                    step = next(steps, None)
                if step is None:
                    return
                ids.append(step.id)
                text = step.text if begun_to_speak else step.text.lstrip()
                if text:
                    begun_to_speak = True
                    yield text
        finally:  # also where nobody listens to the end
            if memory is not None:
                _remember(memory, model, prompt, begun, ids)

    return pieces()


@torch.inference_mode()
def begin_chats(
    model: Any,
    prompts: Sequence[ChatPrompt],
    config: GenerationConfig,
    *,
    memory: ChatMemory | None,
    repeats: Sequence[int],
) -> Begun:
    """Have the model read prompts: what all begin with once, and what `memory` holds not at all."""
    first, backbone = prompts[0], model.language.backbone
    known, state = memory.recall(model, first) if memory is not None else (0, {})
    if len(prompts) > 1:
        known = min(first.shared(other) for other in prompts)
        known = known if first.ends and known >= first.ends[0] else 0  # less than an image is not worth a pass
        if known:
            alone = backbone.new_cache(1, known)
            _read(model, [first], 0, known, alone)
            state = alone.state()
    longest: int = model.config.embedding.max_length
    capacity = min(longest, max(len(prompt.ids) for prompt in prompts) + config.max_new_tokens)
    cache = backbone.new_cache(len(prompts), capacity)
    if known:
        cache.fill(state)
    logits = model.output(_read(model, prompts, known, None, cache))
    texts = [[id for id in prompt.ids if id != prompt.placeholder] for prompt in prompts]
    return Begun(TextContinuation(model.language, cache, list(repeats)), logits, texts)


def _read(model: Any, prompts: Sequence[ChatPrompt], start: int, stop: int | None, cache: Any) -> Float[Tensor, "b d"]:
    """The hidden state of the last token before `stop` of each prompt; all from `start` on are then in the cache."""
    device = model.output_weight.device
    ids, keep = padded([prompt.ids[start:stop] for prompt in prompts], device)
    ending = [(one, end) for prompt in prompts for one, end in zip(prompt.seen, prompt.ends, strict=True)]
    views = Views.of([one for one, end in ending if end > start and (stop is None or end <= stop)])
    views, only = views.to(device) if views is not None else None, last_places(ids, keep)
    return model.hidden(ids, views, keep=keep, cache=cache, only=only)[:, 0]


def _remember(memory: ChatMemory, model: Any, prompt: ChatPrompt, begun: Begun, answer: Sequence[int]) -> None:
    cache = begun.continuation.cache
    plain = takewhile(lambda id: id != prompt.placeholder, answer)  # which would be taken for an image
    ids = (*prompt.ids, *plain)[: cache.counts[0]]
    state = {name: tensor[:, : len(ids)] for name, tensor in cache.state().items()}
    memory.keep(model, ChatPrompt(ids, prompt.seen, prompt.placeholder), state)


def _batches(prompts: Sequence[ChatPrompt], batch_size: int) -> list[list[int]]:
    """The places of prompts that go together: those about the same images, and of the rest those of like length."""
    about: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for place, prompt in enumerate(prompts):
        about[prompt.keys].append(place)
    alone = [places[0] for keys, places in about.items() if len(places) == 1 or not keys]
    alone += about.get((), [])[1:]
    groups = [places for keys, places in about.items() if len(places) > 1 and keys]
    ordered = [sorted(places, key=lambda i: -len(prompts[i].ids)) for places in (alone, *groups)]
    return [places[i : i + batch_size] for places in ordered for i in range(0, len(places), batch_size)]


def _check_room(prompts: Sequence[ChatPrompt], model: Any) -> None:
    seen = sum(one.tokens for prompt in prompts for one in prompt.seen)
    most = seen * 2 > sum(len(prompt.ids) for prompt in prompts)
    cured = "recordings take most of them, so play fewer or shorter ones"
    if not model.reader.hears:
        cured = "images take most of them, so show fewer or smaller ones"
    cure = f"; {cured}" if most else ""
    check_lengths([prompt.ids for prompt in prompts], model.config.embedding.max_length, cure)

"""Questions to a model's answers: to their own images, to those of other questions, and to blank ones.

Images are read once for all three, some hundred questions at a time, and are shuffled among these: what a model is
shown instead looks like what it is asked about. In place of an image all questions about it are shown the same other.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from multimodal.data.chat.dataset import Shown
from multimodal.data.chat.questions import ChatQuestion
from multimodal.data.images.samples import Skipped
from multimodal.errors import ArgumentError, DataError
from multimodal.generation.rows import Generated
from multimodal.media import MediaError
from multimodal.models.chat.answers import prompt_of
from multimodal.models.chat.messages import Chat
from multimodal.models.chat.views import Seen

TOGETHER = 512  # questions whose images are in memory at a time, and are shuffled among each other
KEPT = 1 << 30  # bytes of images that several questions of these may share


@dataclass(eq=False)
class Asked:
    """A question and what a model said to it."""

    question: ChatQuestion
    seen: tuple[Seen, ...]
    length: int  # tokens of the prompt
    answers: dict[str, Generated] = field(default_factory=dict)  # to "own" images, "shuffled" and "blank" ones


def ask(
    model: Any,
    questions: Sequence[ChatQuestion],
    skipped: list[Skipped],
    generator: random.Random,
    batch_size: int,
    options: Mapping[str, Any],
) -> list[Asked]:
    """The questions that can be asked, answered, in their order; the others are named in `skipped`.

    Args:
        model: a `VisionLanguageModel` with a tokenizer.
        questions: any number.
        skipped: what cannot be asked is added here.
        generator: of the shuffling.
        batch_size: questions that go through the model at a time.
        options: of generation.
    """
    found: dict[int, Asked] = {}
    for places in _parts(questions, generator):
        asked = dict(_read(model, questions, places, skipped))
        _answer(model, list(asked.values()), generator, batch_size, options)
        found |= asked
    return [found[place] for place in sorted(found)]


def _parts(questions: Sequence[ChatQuestion], generator: random.Random) -> Iterator[list[int]]:
    """Places of questions that are asked together, in chance order, since data may be sorted by their answers.

    Those of one conversation and those about the same images stay together: these then are read once.
    """
    about: dict[int, list[int]] = {}
    for place, question in enumerate(questions):
        about.setdefault(question.group, []).append(place)
    groups = list(about.values())
    generator.shuffle(groups)
    order = [place for group in groups for place in group]
    count = -(-len(order) // TOGETHER)
    for number in range(count):
        yield order[number * len(order) // count : (number + 1) * len(order) // count]


def _read(
    model: Any, questions: Sequence[ChatQuestion], places: Sequence[int], skipped: list[Skipped]
) -> Iterator[tuple[int, Asked]]:
    """The questions that can be asked, with what they show; the others are named in `skipped`."""
    shown = Shown(model.reader, KEPT)
    longest = model.config.embedding.max_length
    for place in places:
        question = questions[place]
        try:
            media = question.chat.media
            seen = tuple(shown(one) if isinstance(one, str) else model.reader.read(one) for one in media)
            length = len(prompt_of(model, Chat(question.chat.messages, seen)).ids)
        except (ArgumentError, DataError, MediaError) as error:
            skipped.append(Skipped(question.where, str(error).rstrip(".")))
            continue
        if length >= longest:
            skipped.append(Skipped(question.where, f"{length:,} tokens, and the model reads up to {longest:,}"))
            continue
        yield place, Asked(question, seen, length)


def _answer(
    model: Any, asked: Sequence[Asked], generator: random.Random, batch_size: int, options: Mapping[str, Any]
) -> None:
    """Answer questions with their own images, with others', and with blank ones."""
    looking = [one for one in asked if one.seen]
    others = _others(looking, model.config.embedding.max_length, generator)
    views = {
        "own": [(one, one.seen) for one in asked],
        "shuffled": [(one, other) for one, other in zip(looking, others, strict=True) if other is not None],
        "blank": [(one, tuple(each.blank() for each in one.seen)) for one in looking],
    }
    for name, pairs in views.items():
        chats = [Chat(one.question.chat.messages, seen) for one, seen in pairs]
        answers = model.complete(chats, batch_size=batch_size, **options) if chats else []
        for (one, _), (answer, *_) in zip(pairs, answers, strict=True):
            one.answers[name] = answer


def _others(asked: Sequence[Asked], longest: int, generator: random.Random) -> list[tuple[Seen, ...] | None]:
    """For each question images of other conversations that look different and fit; None where there are none."""
    groups: dict[int, list[Asked]] = {}
    for one in asked:
        groups.setdefault(one.question.group, []).append(one)
    whole = {group: max((one.seen for one in members), key=len) for group, members in groups.items()}
    pool = [one for seen in whole.values() for one in seen]
    keys = [one.key for one in pool]
    turned = generator.sample(range(len(pool)), len(pool))
    instead: dict[int, list[Seen]] = {}
    start = 0
    for group, seen in whole.items():
        stop = start + len(seen)
        own, room, chosen = set(keys[start:stop]), longest - 1 - max(one.length for one in groups[group]), []
        for slot in range(start, stop):
            candidates = (turned[(slot + step) % len(pool)] for step in range(len(pool)))
            fit = (i for i in candidates if keys[i] not in own and pool[i].tokens - pool[slot].tokens <= room)
            if (other := next(fit, None)) is None:
                break
            chosen.append(pool[other])
            room -= pool[other].tokens - pool[slot].tokens
        instead[group] = chosen
        start = stop
    chosen = ((len(one.seen), instead[one.question.group]) for one in asked)
    return [tuple(others[:count]) if count <= len(others) else None for count, others in chosen]

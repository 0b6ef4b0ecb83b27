"""`evaluate_chat`: how well a model answers, and how well it would without looking.

Each question is asked three times: with its own images, with those of another conversation, and with blank ones. A
model that is as good without looking has learned what people ask, not to see (the blindness test; compare the balanced
pairs of VQA v2). With recordings in place of images all is the same.

Before a question stands what the data have before it, right answers included, whatever the model said to these.

Refs: arXiv:1612.00837 (questions that can be answered unseen) · arXiv:2411.00640 (questions that belong together)
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Unpack

from multimodal.config import to_plain
from multimodal.data.chat.asking import Asked, ask
from multimodal.data.chat.evaluation import Answered, Beside, Evaluation
from multimodal.data.chat.questions import ChatQuestion, questions_of
from multimodal.data.chat.samples import ChatSample
from multimodal.data.images.samples import Skipped
from multimodal.errors import ArgumentError, DataError, nearest
from multimodal.metrics import ANSWER_METRICS, Scored, normalize_vqa
from multimodal.models.chat.layout import chat_text, placeholder_token
from multimodal.models.text.input import tokenizer_of
from multimodal.models.text.options import Options, settings

_CHOOSING = ("temperature", "top_k", "top_p", "min_p", "beams", "config")


def evaluate_chat(
    model: Any,
    samples: Sequence[ChatSample],
    *,
    metric: str = "exact",
    instruction: str | None = None,
    system: str | None = None,
    limit: int | None = None,
    batch_size: int = 16,
    seed: int = 0,
    skipped: Sequence[Skipped] = (),
    **options: Unpack[Options],
) -> Evaluation:
    """Ask `model` every question of each conversation that is answered there, and score what it says.

    Args:
        model: a `VisionLanguageModel` with a tokenizer.
        samples: conversations; those that are the same up to an answer ask one question with several right answers.
        metric: "exact", "vqa", "yes-no" or "caption"; see `metrics.answers`.
        instruction: is put behind the question that is asked: "Answer with one word."
        system: a system message, in place of the conversations' own.
        limit: ask so many of the questions, drawn by `seed`; None: all.
        batch_size: questions that go through the model at a time.
        seed: of the drawing and of the shuffling.
        skipped: what was left out before, to be told with what cannot be asked.
        options: of generation, as for `model.chat`; unless they say how tokens are chosen, the likeliest are taken.

    Raises:
        ArgumentError: an unknown metric or option, or answers wanted that are not the metric's.
        DataError: no question that can be asked.
    """
    if metric not in ANSWER_METRICS:
        names = ", ".join(ANSWER_METRICS)
        raise ArgumentError(f"metric is {metric!r}; it must be one of {names}.{nearest(metric, ANSWER_METRICS)}")
    if limit is not None and limit < 1:
        raise ArgumentError(f"limit is {limit}; it must be at least 1.")
    if "n_best" in options:
        raise ArgumentError("n_best has no meaning here: one answer to each question is scored.")
    if not any(name in options for name in _CHOOSING):
        options = {"temperature": 0, **options}
    tokenizer = tokenizer_of(model)
    if tokenizer.chat_template is None:
        raise ArgumentError("The model's tokenizer has no chat template, so nothing can be asked; give it one.")
    decoding = to_plain(settings(model.config.generation, tokenizer, options))
    generator = random.Random(seed)
    questions = questions_of(samples, instruction=instruction, system=system)
    if limit is not None and limit < len(questions):
        kept = sorted(generator.sample(range(len(questions)), limit))
        questions = [questions[place] for place in kept]
    if not questions:
        raise DataError("There is no conversation to evaluate on; give some with an answer at least.")
    if metric != "caption":  # refuses what it cannot score before the model takes its time
        _against(metric, [one.wanted[0] for one in questions], questions)
    left_out = list(skipped)
    found = ask(model, questions, left_out, generator, batch_size, options)
    if not found:
        first = f" The first: {left_out[0].path}: {left_out[0].reason}." if left_out else ""
        raise DataError(f"None of {len(questions)} questions could be asked.{first}")
    return _evaluation(model, metric, found, decoding, left_out)


def _evaluation(
    model: Any, metric: str, asked: Sequence[Asked], decoding: Any, skipped: Sequence[Skipped]
) -> Evaluation:
    questions = [one.question for one in asked]
    whole = _scored(metric, asked, "own")
    blind = {}
    for name in ("shuffled", "blank"):
        if part := [one for one in asked if name in one.answers]:
            there = whole if len(part) == len(asked) else _scored(metric, part, "own")
            blind[name] = _beside(there, _scored(metric, part, name))
    constant = {}
    if metric != "caption":
        answer, _ = Counter(normalize_vqa(one.question.wanted[0]) for one in asked).most_common(1)[0]
        constant[answer] = _beside(whole, _against(metric, [answer] * len(asked), questions))
    tokenizer = tokenizer_of(model)
    return Evaluation(
        metric=whole.metric,
        figures=whole.figures(),
        blind=blind,
        constant=constant,
        groups=len({one.group for one in questions}),
        word="recording" if model.reader.hears else "image",
        prompt=chat_text(tokenizer, questions[0].chat, placeholder_token(tokenizer, model.config.placeholder)),
        template=tokenizer.chat_template or "",
        decoding=decoding,
        answers=tuple(_answered(one, score) for one, score in zip(asked, whole.each, strict=True)),
        skipped=tuple(skipped),
        notes=tuple(_notes(asked, skipped)),
    )


def _notes(asked: Sequence[Asked], skipped: Sequence[Skipped]) -> Iterator[str]:
    """What else a reader of the scores must know."""
    if len({one.question.group for one in asked}) == 1:
        yield "All questions are of one conversation, or about the same: what the score is for others nobody can say."
    if not any(one.seen for one in asked):
        yield "No question shows anything, so nothing is said of whether the model looks."
    if alone := sum(bool(one.seen) and "shuffled" not in one.answers for one in asked):
        yield f"{alone:,} of {len(asked):,} questions were not asked with another image: none fits and looks different."
    if cut := sum(one.answers["own"].finish in ("length", "context") for one in asked):
        yield f"{cut:,} of {len(asked):,} answers were cut off before their end: allow more new tokens."
    if skipped:
        count = f"{len(skipped):,} question{'s' if len(skipped) != 1 else ''}"
        yield f"{count} could not be asked; the first: {skipped[0].path}: {skipped[0].reason}."


def _answered(one: Asked, score: float) -> Answered:
    texts = {name: answer.text or "" for name, answer in one.answers.items()}
    return Answered(
        where=one.question.where,
        turn=one.question.turn,
        question=one.question.text,
        media=tuple(str(source) for source in one.question.chat.media),
        wanted=one.question.wanted,
        answer=texts.pop("own"),
        finish=one.answers["own"].finish,
        score=score,
        blind=texts,
    )


def _scored(metric: str, asked: Sequence[Asked], name: str) -> Scored:
    return _against(metric, [one.answers[name].text or "" for one in asked], [one.question for one in asked])


def _against(metric: str, answers: Sequence[str], questions: Sequence[ChatQuestion]) -> Scored:
    try:
        found = ANSWER_METRICS[metric](answers, [one.wanted for one in questions])
        return replace(found, groups=tuple(one.group for one in questions))
    except ValueError as error:
        raise ArgumentError(f"The metric {metric!r} cannot score these data: {error}") from error


def _beside(whole: Scored, other: Scored) -> Beside:
    return Beside(n=len(other.each), figures=other.figures(), lead=whole.above(other))

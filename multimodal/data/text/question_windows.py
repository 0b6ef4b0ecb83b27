"""Questions about texts of any length: each becomes windows over its context, and these become batches.

The window that is likeliest to hold the answer is chosen by `best_answers` (models/text/answers.py), from the rows that
are kept here.

Axes: b batch · t length
Refs: BERT arXiv:1810.04805 §4.2, §4.3
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch

from multimodal.data.images.samples import Skipped
from multimodal.data.text.batches import Collate, Place, QuestionBatch
from multimodal.data.text.rows import Answer, Question
from multimodal.data.text.task_batches import encoder_inputs
from multimodal.errors import ArgumentError
from multimodal.losses import IGNORE
from multimodal.models.text.answers import question_rows
from multimodal.tokenizers.encoded import Encoded
from multimodal.tokenizers.text import TextTokenizer


@dataclass(frozen=True, kw_only=True)
class QuestionConfig:
    """Questions about texts of any length, which are read in windows that overlap."""

    max_length: int = 384  # tokens of a window, question included
    outside: Literal["first", "ignore"] = "first"  # a window without the answer: point to the first token, or nowhere

    def build(self, tokenizer: TextTokenizer) -> Collate[QuestionBatch]:
        """A collator of what `question_windows` gives."""
        return partial(_asked, self, tokenizer)


@dataclass(frozen=True)
class QuestionWindow:
    """A question with a piece of its context."""

    question: int  # place in the list of questions
    row: Encoded  # the tokens; its offsets are in characters of the whole context
    span: tuple[int, int] | None  # the answer's first and last token, if it lies here as a whole
    answered: bool  # whether the question has an answer anywhere

    @property
    def size(self) -> int:
        """Tokens."""
        return len(self.row.ids)


def question_windows(
    questions: Sequence[Question],
    tokenizer: TextTokenizer,
    config: QuestionConfig = QuestionConfig(),
    *,
    skipped: list[Skipped] | None = None,
) -> list[QuestionWindow]:
    """Every window of every question, in order: the samples of `QuestionConfig`'s collator. The first answer counts.

    Questions without a context, or so long that they leave no room for it, are added to `skipped`, or raise.

    Raises:
        ArgumentError: such a question, where `skipped` is None.
    """
    windows: list[QuestionWindow] = []
    for number, question in enumerate(questions):
        try:
            rows = question_rows(tokenizer, question.question, question.context, config.max_length)
        except ArgumentError as error:
            if skipped is None:
                raise ArgumentError(f"Question {question.id!r}: {error}") from error
            skipped.append(Skipped(question.id, str(error)))
            continue
        answer = question.answers[0] if question.answers else None
        windows += [QuestionWindow(number, row, _span(row, answer), answer is not None) for row in rows]
    return windows


def _span(row: Encoded, answer: Answer | None) -> tuple[int, int] | None:
    """The first and last token of `answer` in a window that holds all of it."""
    inside = [place for place, part in enumerate(row.parts) if part == 1]
    if answer is None or not inside or not answer.text:
        return None
    start, end = answer.start, answer.start + len(answer.text)
    if row.offsets[inside[0]][0] > start or row.offsets[inside[-1]][1] < end:
        return None
    touched = [place for place in inside if row.offsets[place][0] < end and row.offsets[place][1] > start]
    return (touched[0], touched[-1]) if touched else None


def _asked(
    config: QuestionConfig, tokenizer: TextTokenizer, items: Sequence[tuple[QuestionWindow, Place]]
) -> QuestionBatch:
    samples = [sample for sample, _ in items]
    # A question that is not answered anywhere has a target in every case: that is what the first token says.
    nowhere = [0 if config.outside == "first" or not sample.answered else IGNORE for sample in samples]
    spans = [sample.span or (other, other) for sample, other in zip(samples, nowhere, strict=True)]
    return {
        **encoder_inputs([sample.row for sample in samples], tokenizer),
        "start": torch.tensor([start for start, _ in spans], dtype=torch.long),
        "end": torch.tensor([end for _, end in spans], dtype=torch.long),
        "question": torch.tensor([sample.question for sample in samples], dtype=torch.long),
        "window": torch.tensor([index for _, (_, index) in items], dtype=torch.long),
    }

"""Questions answered by a piece of a text, and multiple choice: from files and tables to samples.

Sources and splits are as in readers.py. A question whose answer does not stand where it should is left out and
counted: it would be trained on as wrong.

Refs: SQuAD arXiv:1606.05250 (the JSON format), XQuAD arXiv:1910.11856
"""

from __future__ import annotations

import json
import string
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from multimodal.data.images.samples import Skipped
from multimodal.data.text.layouts import Column, Found, read_parts, row_sample, table_samples
from multimodal.data.text.rows import Answer, ChoiceQuestion, Question, TextSet
from multimodal.data.text.tables import TABLE_SUFFIXES, Row, flaw
from multimodal.errors import DataError

ASKED = ("question", "prompt", "query", "sent2")
CONTEXT = ("context", "article", "passage", "sent1")
CHOICES = ("choices", "options", "endings", "answers")
NUMBERED = ("ending", "choice", "option", "answer")  # ending0, choice1 ...
RIGHT = ("label", "answer", "answerkey", "answer_index", "target")


def read_questions(source: Any) -> TextSet:
    """Questions about texts, with their answers as pieces of these texts.

    Args:
        source: JSON in the format of SQuAD, or tables with the columns id, question, context and answers
            ({"text": [...], "answer_start": [...]}; empty where the text does not answer).

    Raises:
        DataError: there is no question, or a file is not in that format.
    """
    names = ("id", "question", "context", "answers")

    def read(one: Any, skipped: list[Skipped]) -> Iterator[Found]:
        if isinstance(one, Path) and one.suffix.lower() not in TABLE_SUFFIXES:
            for row in _squad(one):
                yield from row_sample(f"{one}, question {row['id']}", row, names, _question, skipped)
        else:
            columns = [Column(None, (name,), f"the {name}") for name in names]
            yield from table_samples(one, columns, _question, skipped)

    return read_parts(source, read).plain()


def read_choice_questions(source: Any, *, question: str | None = None, context: str | None = None) -> TextSet:
    """Questions with several answers, of which one is right.

    Args:
        source: tables with columns for the question, the choices (a list, `choices` or `options`; ARC's mapping of
            texts and labels; or numbered columns, `ending0` to `ending3`) and the right one (its number from 0, its
            letter, or the choice itself).
        question: name of the column; None: one of the usual ones.
        context: name of the column of the text that the question is about; None: one of the usual ones, if any.

    Raises:
        ArgumentError: a column that is not there.
        DataError: there is no question.
    """
    columns = (Column(question, ASKED, "the question"), Column(context, CONTEXT, "the context", False))
    columns = (*columns, Column(None, RIGHT, "the right choice"))

    def read(one: Any, skipped: list[Skipped]) -> Iterator[Found]:
        yield from table_samples(one, columns, _choice_question, skipped)

    return read_parts(source, read).plain()


def _question(row: Row, names: tuple[str, ...]) -> Question | str:
    identity, question, context, given = (row.get(name) for name in names)
    if wrong := flaw(question) or flaw(context):
        return wrong
    texts, starts = (given.get(name) if isinstance(given, Mapping) else None for name in ("text", "answer_start"))
    if not isinstance(texts, Sequence) or not isinstance(starts, Sequence) or len(texts) != len(starts):
        return 'the answers are not {"text": [...], "answer_start": [...]}'
    answers: dict[Answer, None] = {}
    for text, start in zip(texts, starts, strict=True):
        whole = type(start) is int and start >= 0 and isinstance(text, str) and text != ""
        if not whole or str(context)[start : start + len(text)] != text:
            return f"the answer {text!r:.100} does not stand at character {start!r:.20} of the context"
        answers[Answer(text, start)] = None
    return Question(str(identity), str(question), str(context), tuple(answers))


def _squad(file: Path) -> Iterator[dict[str, Any]]:
    """The questions of a file in SQuAD's format, as rows; of one that cannot be answered there are no answers."""
    try:
        articles = json.loads(file.read_bytes().decode("utf-8-sig"))["data"]
        for article in articles:
            for paragraph in article["paragraphs"]:
                for asked in paragraph["qas"]:
                    answers = [] if asked.get("is_impossible") else asked["answers"]
                    yield {
                        "id": asked["id"],
                        "question": asked["question"],
                        "context": paragraph["context"],
                        "answers": {name: [one[name] for one in answers] for name in ("text", "answer_start")},
                    }
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error.strerror}.") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DataError(
            f'{file} is not in the format of SQuAD, {{"data": [{{"paragraphs": [{{"context": ..., "qas": [...]}}]}}]}} '
            f"({type(error).__name__}: {error})."
        ) from None


def _choice_question(row: Row, names: tuple[str, ...]) -> ChoiceQuestion | str:
    asked, context, right = (row.get(name) if name else None for name in names)
    given: Any = next((row[name] for name in row if name.lower() in CHOICES and not isinstance(row[name], str)), None)
    marks: Sequence[Any] = ()
    if isinstance(given, Mapping):  # ARC and CommonsenseQA
        given, marks = given.get("text"), given.get("label") or ()
    if given is None:
        numbered = [name for name in row if name.rstrip(string.digits).lower() in NUMBERED and name[-1:].isdigit()]
        given = [row[name] for name in sorted(numbered)]
    choices = tuple(given)
    if wrong := flaw(asked) or (flaw(context) if context else None) or next(filter(None, map(flaw, choices)), None):
        return wrong
    if len(choices) < 2:
        return "fewer than two choices"
    place = _place(right, choices, marks)
    if place is None:
        return f"none of the {len(choices)} choices is {right!r}"
    return ChoiceQuestion(str(asked), choices, place, str(context or ""))


def _place(right: Any, choices: Sequence[str], marks: Sequence[Any]) -> int | None:
    """Which choice is meant: by the data's own marks, by number from 0, by letter, or by its words."""
    if right in marks:
        return list(marks).index(right)
    decimal = isinstance(right, str) and right.isdecimal() and len(right) < 10
    number = int(right) if isinstance(right, int) or decimal else None
    if number is None and isinstance(right, str):
        if right in choices:
            return choices.index(right)
        number = string.ascii_uppercase.find(right.strip().upper()) if len(right.strip()) == 1 else None
    return number if number is not None and 0 <= number < len(choices) else None

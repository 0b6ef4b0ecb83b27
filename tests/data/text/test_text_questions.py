"""Questions with answers in a text, and multiple choice."""

from __future__ import annotations

import json

import pytest

from multimodal.data.text.questions import read_choice_questions, read_questions
from multimodal.data.text.rows import Answer, ChoiceQuestion, Question, hold_out
from multimodal.errors import DataError

CONTEXT = "Käthe saw 24 cats and 24 dogs."


def asked(identity: str, *answers: tuple[str, int], **more) -> dict:
    return {
        "id": identity,
        "question": "How many?",
        "answers": [{"text": t, "answer_start": s} for t, s in answers],
        **more,
    }


def squad(*questions: dict) -> str:
    return json.dumps({"version": "1.1", "data": [{"paragraphs": [{"context": CONTEXT, "qas": list(questions)}]}]})


def test_squad_files(tmp_path):
    impossible = asked("c", ("24", 10), is_impossible=True)
    (tmp_path / "train-v2.json").write_text(squad(asked("a", ("24", 10), ("24", 22), ("24", 10)), impossible))
    (tmp_path / "dev-v2.json").write_text(squad(asked("b", ("24", 11)), asked("d", ("cats", 13)), asked("e", ("", 0))))
    data = read_questions(tmp_path)
    assert data.splits["train"] == (
        Question("a", "How many?", CONTEXT, (Answer("24", 10), Answer("24", 22))),
        Question("c", "How many?", CONTEXT, ()),
    )
    assert [one.id for one in data.splits["val"]] == ["d"]
    assert [one.reason for one in data.skipped] == [
        "the answer '24' does not stand at character 11 of the context",
        "the answer '' does not stand at character 0 of the context",
    ]
    assert data.skipped[0].path.endswith("question b")


def test_rows_of_questions():
    answers = {"text": ["cats"], "answer_start": [13]}
    rows = [{"id": "a", "question": "What?", "context": CONTEXT, "answers": answers, "title": "x"}]
    assert read_questions(rows).splits["train"] == (Question("a", "What?", CONTEXT, (Answer("cats", 13),)),)
    rows.append({**rows[0], "answers": ["cats"]})
    assert "the answers are not" in read_questions(rows).skipped[0].reason


def test_questions_on_one_text_are_held_out_together():
    none = {"text": [], "answer_start": []}
    rows = [{"id": f"{i}", "question": "What?", "context": f"text {i % 5}", "answers": none} for i in range(20)]
    data = hold_out(read_questions(rows), 0.2, seed=0)
    assert len(data.splits["val"]) == 4
    assert len({one.context for one in data.splits["val"]}) == 1


@pytest.mark.parametrize("wrong", [{"text": ["a"], "answer_start": 0}, {"text": "a", "answer_start": [0]}])
def test_answers_of_another_kind_are_named_and_left_out(tmp_path, wrong):
    right = {"id": "1", "question": "q", "answers": [{"text": "a", "answer_start": 0}]}
    asked = [right, {**right, "id": "2", "answers": [wrong]}]
    (tmp_path / "x.json").write_text(json.dumps({"data": [{"paragraphs": [{"context": "a", "qas": asked}]}]}))
    data = read_questions(tmp_path / "x.json")
    assert [one.id for one in data.splits["train"]] == ["1"]
    assert "does not stand at character" in data.skipped[0].reason and "question 2" in data.skipped[0].path


@pytest.mark.parametrize(
    "text", ["{", "[]", "[" * 100_000, '{"data": [{"paragraphs": [{"qas": []}, 3]}]}', '{"data": 3}']
)
def test_other_json_is_refused(tmp_path, text):
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(DataError, match=r"x\.json is not in the format of SQuAD"):
        read_questions(tmp_path / "x.json")


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"question": "q", "choices": ["a", "b"], "label": 1}, ChoiceQuestion("q", ("a", "b"), 1)),
        (
            {"article": "c", "question": "q", "options": ["a", "b"], "answer": "A"},
            ChoiceQuestion("q", ("a", "b"), 0, "c"),
        ),
        ({"question": "q", "choices": ["a", "b"], "answer": "b"}, ChoiceQuestion("q", ("a", "b"), 1)),
        (
            {"sent1": "c", "sent2": "q", "ending0": "a", "ending1": "b", "ending2": "d", "label": "2"},
            ChoiceQuestion("q", ("a", "b", "d"), 2, "c"),
        ),
        (
            {"question": "q", "choices": {"text": ["a", "b"], "label": ["1", "2"]}, "answerKey": "1"},
            ChoiceQuestion("q", ("a", "b"), 0),
        ),
    ],
)
def test_choices_in_their_usual_forms(row, expected):
    assert read_choice_questions([row]).splits["train"] == (expected,)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"choices": ["a"]}, "fewer than two choices"),
        ({"label": 2}, "none of the 2 choices is 2"),
        ({"label": -1}, "none of the 2 choices is -1"),
        ({"label": "9" * 5000}, f"none of the 2 choices is '{'9' * 5000}'"),
        ({"choices": ["a", ""]}, "empty text"),
        ({"question": None}, "no text"),
    ],
)
def test_choices_that_cannot_be_used(change, reason):
    row = {"question": "q", "choices": ["a", "b"], "label": 1}
    data = read_choice_questions([row, {**row, **change}])
    assert len(data.splits["train"]) == 1
    assert [one.reason for one in data.skipped] == [reason]

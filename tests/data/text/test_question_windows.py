"""Windows over contexts: the marked tokens are the answer, whichever window holds it."""

import pytest
import tiny_text_models
from small_tokenizers import characters

from multimodal.data.text.question_windows import QuestionConfig, question_windows
from multimodal.data.text.rows import Answer, Question
from multimodal.errors import ArgumentError
from multimodal.losses import IGNORE


@pytest.fixture(scope="module")
def bert():
    return tiny_text_models.wordpiece()


def asked(context, answer, *, id="q"):
    answers = (Answer(answer, context.index(answer)),) if answer else ()
    return Question(id, "where", context, answers)


def marked(question, window):
    """The text between the marked tokens."""
    first, last = window.span
    return question.context[window.row.offsets[first][0] : window.row.offsets[last][1]]


def test_the_marked_tokens_are_the_answer(bert):
    for answer in ("paris", "paris, where", "anna", "the cat", "mat.", "ca"):
        question = asked("the cat ran to paris, where anna sat on a mat.", answer)
        (window,) = question_windows([question], bert)
        whole = "cat" if answer == "ca" else answer  # a piece of a token: the token
        assert marked(question, window) == whole
        assert window.row.parts[window.span[0]] == 1 and window.answered


def test_long_contexts_are_read_whole(bert):
    context = " ".join(["the cat sat on a mat ."] * 30 + ["anna lives in paris ."] + ["a dog ran to a house ."] * 30)
    question, other = asked(context, "paris"), asked("anna", "", id="none")
    config = QuestionConfig(max_length=40)
    windows = question_windows([question, other], bert, config)
    assert len(windows) > 12 and windows[-1].question == 1 and {window.question for window in windows[:-1]} == {0}
    covered = set()
    for window in windows[:-1]:
        assert window.size <= 40
        covered |= {offset for offset, part in zip(window.row.offsets, window.row.parts, strict=True) if part == 1}
    assert len(covered) == len(bert.encode(context, special=False).ids)
    holding = [window for window in windows if window.span is not None]
    assert 1 <= len(holding) <= 3 and all(marked(question, window) == "paris" for window in holding)
    for window in windows[:-1]:
        pieces = [context[a:b] for (a, b), part in zip(window.row.offsets, window.row.parts, strict=True) if part == 1]
        assert (window.span is not None) == ("paris" in pieces)


@pytest.mark.parametrize("tokenizer", [tiny_text_models.bytelevel(), characters()], ids=["bytes", "characters"])
def test_long_contexts_of_tokenizers_that_put_nothing_around_texts(tokenizer):
    context = "the cat sat on a mat . " * 9 + "anna lives in paris . " + "a dog ran to a house . " * 9
    windows = question_windows([asked(context, "paris")], tokenizer, QuestionConfig(max_length=60))
    inside = [[offset for offset, part in zip(w.row.offsets, w.row.parts, strict=True) if part == 1] for w in windows]
    assert len(windows) > 5 and all(inside), "every window holds a piece of the context"
    assert {place for pieces in inside for a, b in pieces for place in range(a, b)} == set(range(len(context)))
    holding = [window for window in windows if window.span is not None]
    assert holding and all(marked(asked(context, "paris"), window).strip() == "paris" for window in holding)


def test_batches_say_where_the_answer_is(bert):
    questions = [asked(" ".join(["a"] * 40) + " paris", "paris"), asked("the cat", "")]
    for outside, elsewhere in (("first", 0), ("ignore", IGNORE)):
        config = QuestionConfig(max_length=24, outside=outside)
        windows = question_windows(questions, bert, config)
        items = [(window, (0, place)) for place, window in enumerate(windows)]
        batch = config.build(bert)(items)
        starts = batch["start"].tolist()
        assert starts == batch["end"].tolist()  # an answer of one token
        assert starts[:-2] == [elsewhere] * (len(windows) - 2)
        assert bert.token_of(int(batch["ids"][-2, starts[-2]])) == "paris"
        assert starts[-1] == 0  # what no window answers points to the first token
        assert batch["question"].tolist() == [*[0] * (len(windows) - 1), 1]
        assert batch["window"].tolist() == list(range(len(windows)))
        assert batch["ids"].shape == batch["keep"].shape == batch["types"].shape
        assert batch["types"][0, batch["keep"][0]].tolist() == [0] * 3 + [1] * 21


def test_answers_at_the_edge_of_a_window_count_only_whole(bert):
    context = " ".join(["a"] * 15 + ["big", "red", "house"] + ["a"] * 15)
    for window in question_windows([asked(context, "big red house")], bert, QuestionConfig(max_length=20)):
        pieces = [bert.token_of(id) for id, part in zip(window.row.ids, window.row.parts, strict=True) if part == 1]
        assert (window.span is not None) == ({"big", "red", "house"} <= set(pieces))
        if window.span is not None:
            assert window.span[1] - window.span[0] == 2


def test_questions_that_cannot_be_read_are_named(bert):
    questions = [
        asked("", "", id="empty"),
        Question("long", "a " * 50, "the cat", ()),
        asked("anna", "anna", id="good"),
    ]
    skipped = []
    windows = question_windows(questions, bert, QuestionConfig(max_length=20), skipped=skipped)
    assert [window.question for window in windows] == [2]
    assert [one.path for one in skipped] == ["empty", "long"] and "empty" in skipped[0].reason
    with pytest.raises(ArgumentError, match="Question 'empty'"):
        question_windows(questions, bert)

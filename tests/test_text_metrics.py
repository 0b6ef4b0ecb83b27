"""Scores of text models on cases written out by hand."""

import itertools
import math

import pytest

from multimodal import metrics
from multimodal.metrics import Entity, entities


def test_perplexity():
    assert metrics.perplexity(math.log(50)) == pytest.approx(50)
    assert metrics.perplexity(1e4) == math.inf


@pytest.mark.parametrize(
    ("tags", "conll", "strict"),
    [
        ("O O", [], []),
        ("B-PER I-PER O B-LOC", [("PER", 0, 2), ("LOC", 3, 4)], [("PER", 0, 2), ("LOC", 3, 4)]),
        ("B-PER B-PER I-PER", [("PER", 0, 1), ("PER", 1, 3)], [("PER", 0, 1), ("PER", 1, 3)]),
        ("I-PER I-PER O", [("PER", 0, 2)], []),  # IOB1
        ("I-PER B-PER I-PER", [("PER", 0, 1), ("PER", 1, 3)], [("PER", 1, 3)]),  # IOB1: B parts neighbours
        ("B-PER I-LOC I-LOC", [("PER", 0, 1), ("LOC", 1, 3)], [("PER", 0, 1)]),  # the kind changes inside
        ("B-PER O I-PER", [("PER", 0, 1), ("PER", 2, 3)], [("PER", 0, 1)]),
        ("B-a-b I-a-b", [("a-b", 0, 2)], [("a-b", 0, 2)]),  # a kind may hold a dash
        ("S-X B-X I-X E-X E-X", [("X", 0, 1), ("X", 1, 4), ("X", 4, 5)], [("X", 0, 1), ("X", 1, 4)]),
    ],
)
def test_entities(tags, conll, strict):
    assert entities(tags.split()) == [Entity(*one) for one in conll]
    assert entities(tags.split(), rule="strict") == [Entity(*one) for one in strict]


def test_every_order_of_tags_obeys_the_definition():
    """A word begins an entity if it is B, or I after O or another kind; it lasts while I of its kind follows."""
    for tags in itertools.product(("O", "B-X", "I-X", "B-Y", "I-Y"), repeat=4):
        expected = []
        for start, tag in enumerate(tags):
            kind = tag[2:]
            before = tags[start - 1] if start else "O"
            if tag == "O" or (tag[0] == "I" and before[2:] == kind):
                continue
            end = start + 1
            while end < 4 and tags[end] == f"I-{kind}":
                end += 1
            expected.append(Entity(kind, start, end))
        assert entities(tags) == expected, tags


@pytest.mark.parametrize("tag", ["PER", "B-", "X-PER", "", "O-PER", "B"])
def test_what_is_no_tag_is_refused(tag):
    with pytest.raises(ValueError, match="is not a tag"):
        entities(["O", tag])


def test_entity_scores():
    true = [["B-PER", "I-PER", "O", "B-LOC"], ["O", "B-LOC", "I-LOC"], ["O"]]
    ours = [["B-PER", "I-PER", "O", "B-PER"], ["O", "B-LOC", "O"], ["B-ORG"]]  # right, wrong kind, wrong end, ghost
    scores = metrics.entity_scores(ours, true)
    assert list(scores) == ["", "LOC", "ORG", "PER"]
    whole = scores[""]
    assert (whole.precision, whole.recall, whole.support) == (1 / 4, 1 / 3, 3)
    assert whole.f1 == pytest.approx(2 * (1 / 4) * (1 / 3) / (1 / 4 + 1 / 3))
    assert (scores["PER"].precision, scores["PER"].recall) == (0.5, 1.0)
    assert (scores["ORG"].precision, scores["ORG"].recall, scores["ORG"].f1, scores["ORG"].support) == (0, 0, 0, 0)
    assert metrics.entity_scores([], [])[""].f1 == 0.0
    with pytest.raises(ValueError, match="Sentence 1 has 1 predicted"):
        metrics.entity_scores([["O"], ["O"]], [["O"], ["O", "O"]])
    with pytest.raises(ValueError, match="2 predicted sentences"):
        metrics.entity_scores([["O"], ["O"]], [["O"]])


def test_answers_are_compared_as_in_squad():
    assert metrics.normalize_answer("  The U.S.A.'s  an Theme, a\tb ") == "usas theme b"
    assert metrics.exact_match("the Denver Broncos!", "Denver broncos") == 1.0
    assert metrics.exact_match("Denver", "Denver Broncos") == 0.0
    # two of three words are shared with two of four
    assert metrics.answer_f1("big red big", "red big fast car") == pytest.approx(
        2 * (2 / 3) * (2 / 4) / (2 / 3 + 2 / 4)
    )
    assert metrics.answer_f1("x", "y") == 0.0
    assert metrics.answer_f1("", "the") == 1.0
    assert metrics.answer_f1("x", "") == 0.0


def test_answer_scores_take_the_best_true_answer():
    true = {"a": ["blue whale", "whale"], "b": ["1990"], "c": [], "d": [], "e": ["The", "north"]}
    found = metrics.answer_scores({"a": "a whale", "b": "in 1990", "c": "", "d": "something", "e": "the"}, true)
    assert found.questions == 5
    assert found.exact_match == pytest.approx((1 + 0 + 1 + 0 + 0) / 5)
    assert found.f1 == pytest.approx((1 + 2 / 3 + 1 + 0 + 0) / 5)
    assert metrics.answer_scores({}, {"a": ["x"], "b": []}).exact_match == 0.5  # an answer not given
    with pytest.raises(ValueError, match="'z'"):
        metrics.answer_scores({"z": "?"}, true)


def test_answer_scores_agree_with_torchmetrics():
    text = pytest.importorskip("torchmetrics.functional.text")
    answers = {"1": "in the year 1990", "2": "Ångström, maybe", "3": "a b c d"}
    true = {"1": ["1990", "year 1990."], "2": ["ångström"], "3": ["d c", "x"]}
    theirs = text.squad(
        [{"id": key, "prediction_text": answer} for key, answer in answers.items()],
        [{"id": key, "answers": {"text": wanted, "answer_start": [0]}} for key, wanted in true.items()],
    )
    ours = metrics.answer_scores(answers, true)
    assert 100 * ours.f1 == pytest.approx(theirs["f1"].item())
    assert 100 * ours.exact_match == pytest.approx(theirs["exact_match"].item())

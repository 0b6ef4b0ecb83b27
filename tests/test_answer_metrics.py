"""Scores of answers on cases written out by hand, and the libraries' captions against the definitions."""

import itertools
import math
from collections import Counter
from dataclasses import replace

import pytest
import torch

from multimodal.metrics.answers import (
    ANSWER_METRICS,
    exact_scores,
    normalize_vqa,
    vqa_scores,
    yes_no_scores,
    yes_or_no,
)
from multimodal.metrics.captions import caption_scores


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("  The Red\tcircle.", "red circle"),
        ("Two and none", "2 and 0"),
        ("an apple, a pear", "apple pear"),
        ("100,978 or 2.5.", "100978 or 2.5"),
        ("dont, wont; it’s", "don't won't it's"),
        ("the girl's dog at 2:50 pm!", "girl's dog at 2:50 pm"),
        ("t-shirt / jeans", "t shirt jeans"),
        ("well, were", "well were"),
        ("10", "10"),
        ("ten", "10"),
        ("eleven", "eleven"),
        ("...", ""),
        (".5 vs 5.", "5 vs 5"),
        ("Ärzte", "ärzte"),
    ],
)
def test_answers_are_made_comparable_as_vqa_states(text, plain):
    assert normalize_vqa(text) == plain
    assert normalize_vqa(plain) == plain


def test_exact_takes_any_answer_that_is_wanted():
    scored = exact_scores(["Two.", "a blue square", "left"], [["2"], ["red square", "Blue Square"], ["right"]])
    assert scored.each == (1.0, 1.0, 0.0)
    assert list(scored.figures()) == ["accuracy"]
    assert scored.figures()["accuracy"].value == pytest.approx(2 / 3)


def test_people_who_agree_make_an_answer_right():
    """Ten people as in VQA: the average over all ways to leave one out, written out as such."""
    for agree in range(11):
        people = ["cat"] * agree + ["dog"] * (10 - agree)
        ways = [min(sum(one == "cat" for one in nine) / 3, 1) for nine in itertools.combinations(people, 9)]
        assert vqa_scores(["the cat"], [people]).each[0] == pytest.approx(sum(ways) / 10)
    assert vqa_scores(["cat"], [["cat"]]).each == (1.0,)
    assert vqa_scores(["cat"], [["cat", "cat"]]).each == (1.0,)
    assert vqa_scores(["cat"], [["cat", "dog"]]).each == (0.5,)
    assert vqa_scores(["cow"], [["cat", "dog", "cat"]]).each == (0.0,)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("Yes, there is a dog.", "yes"),
        ("yes. There is no cat.", "yes"),
        ("No.", "no"),
        ("There isn't any.", "no"),
        ("There is not one", "no"),
        ("None of them.", "no"),
        ("False", "no"),
        ("true!", "yes"),
        ("A dog.", None),
        ("", None),
        ("...", None),
        ("\nyes", "yes"),
        ("nothing, I know", None),
    ],
)
def test_what_an_answer_says(answer, said):
    assert yes_or_no(answer) == said


def test_yes_and_no():
    answers = ["yes", "Yes.", "no", "no", "a dog", "yes"]
    wanted = [["yes"], ["no"], ["no"], ["yes"], ["yes"], ["yes"]]
    figures = {name: one.value for name, one in yes_no_scores(answers, wanted).figures().items()}
    assert figures == pytest.approx(
        {"accuracy": 3 / 6, "precision": 2 / 3, "recall": 2 / 4, "f1": 4 / 7, "yes": 3 / 6, "unclear": 1 / 6}
    )
    never = {name: one.value for name, one in yes_no_scores(["no"], [["no"]]).figures().items()}
    assert never["accuracy"] == 1 and never["precision"] == never["recall"] == never["f1"] == 0
    with pytest.raises(ValueError, match="Question 2 wants 'a dog', which is neither yes nor no"):
        yes_no_scores(["yes", "no"], [["yes"], ["a dog"]])


def grams(items, n):
    return Counter(tuple(items[i : i + n]) for i in range(len(items) - n + 1))


def bleu(answers, wanted):
    """BLEU-4 with brevity penalty (arXiv:1804.08771) of texts whose words are parted by spaces already."""
    hits, counts, ours, theirs = [0] * 4, [0] * 4, 0, 0
    for answer, references in zip(answers, wanted, strict=True):
        words, right = answer.split(), [one.split() for one in references]
        ours += len(words)
        theirs += min((abs(len(one) - len(words)), len(one)) for one in right)[1]
        for n in range(1, 5):
            most = Counter()
            for one in right:
                most |= grams(one, n)
            hits[n - 1] += (grams(words, n) & most).total()
            counts[n - 1] += grams(words, n).total()
    mean = sum(math.log(hit / count) for hit, count in zip(hits, counts, strict=True)) / 4
    return math.exp(mean + min(0.0, 1 - theirs / ours))


def chrf(answers, wanted):
    """F2 of character n-grams up to six, spaces left out, over the whole corpus; one reference each."""
    scores = []
    for n in range(1, 7):
        pairs = [
            (grams(ours.replace(" ", ""), n), grams(theirs.replace(" ", ""), n))
            for ours, (theirs,) in zip(answers, wanted, strict=True)
        ]
        hits = sum((a & b).total() for a, b in pairs)
        precision, recall = hits / sum(a.total() for a, _ in pairs), hits / sum(b.total() for _, b in pairs)
        scores.append(5 * precision * recall / max(4 * precision + recall, 1e-16))
    return sum(scores) / 6


CAPTIONS = [
    ("a red dog runs over the green grass", "a red dog runs on the grass"),
    ("two small birds sit on a wire today", "three birds sit on a long wire"),
    ("the boat is at the pier of the town", "the boat lies at the pier of the old town"),
]


def test_captions_agree_with_the_definitions():
    answers, wanted = [a for a, _ in CAPTIONS], [[b] for _, b in CAPTIONS]
    figures = caption_scores(answers, wanted).figures()
    assert figures["chrf"].value == pytest.approx(chrf(answers, wanted), rel=1e-4)
    assert figures["bleu"].value == pytest.approx(bleu(answers, wanted), rel=1e-4)
    several = [[b, "a red dog runs over there"] for _, b in CAPTIONS]
    assert caption_scores(answers, several).figures()["bleu"].value == pytest.approx(bleu(answers, several), rel=1e-4)
    loud = caption_scores([one.upper() for one in answers], wanted).figures()
    assert loud["bleu"].value == pytest.approx(figures["bleu"].value)


def test_the_first_figure_is_the_score_that_captions_of_three_words_have():
    figures = caption_scores(["a red circle"] * 3, [["a red circle"]] * 3).figures()
    assert next(iter(figures)) == "chrf" and figures["chrf"].value == pytest.approx(1.0)
    assert figures["bleu"].value == 0.0


def test_each_caption_counts_once_whatever_the_order():
    answers, wanted = [a for a, _ in CAPTIONS], [[b] for _, b in CAPTIONS]
    forth, back = caption_scores(answers, wanted), caption_scores(answers[::-1], wanted[::-1])
    assert forth.each == back.each[::-1]
    assert forth.figures()["chrf"].value == pytest.approx(back.figures()["chrf"].value)
    alone = caption_scores(answers[:1], wanted[:1])
    assert alone.each[0] == pytest.approx(forth.each[0]) == pytest.approx(alone.figures()["chrf"].value)


@pytest.mark.parametrize("metric", ANSWER_METRICS)
def test_intervals_hold_the_figure_and_repeat_themselves(metric):
    answers = ["yes it is there", "no it is not", "yes it is here"] * 4
    wanted = [["yes it is there"], ["no it is not"], ["no it is here"]] * 4
    scored = ANSWER_METRICS[metric](answers, wanted)
    for figure in scored.figures().values():
        low, high = figure.interval
        assert 0 <= low <= figure.value + 1e-9 and figure.value <= high + 1e-9 and high <= 1 + 1e-6
    assert scored.figures() == scored.figures()
    assert scored.metric.startswith(metric)
    assert scored.above(scored).value == 0 and scored.above(scored).interval == (0.0, 0.0)


def test_the_interval_is_that_of_a_binomial_share():
    hits = torch.arange(400) % 4 == 0
    scored = exact_scores(["a cat" if hit else "dog" for hit in hits], [["cat"]] * 400)
    low, high = scored.figures()["accuracy"].interval
    half = 1.96 * math.sqrt(0.25 * 0.75 / 400)
    assert (low, high) == pytest.approx((0.25 - half, 0.25 + half), abs=0.01)


def test_few_answers_that_are_all_right_do_not_claim_certainty():
    low, high = exact_scores(["a", "b c"], [["a"], ["b c"]]).figures()["accuracy"].interval
    assert low < 0.5 and high == 1.0
    low, high = exact_scores(["x"], [["y"]]).figures()["accuracy"].interval
    assert low == 0.0 and high > 0.5


def test_answers_to_the_same_questions_are_compared_pair_by_pair():
    """Two that differ in a tenth of the questions, always to the same side: sure, though their intervals overlap."""
    wanted = [["cat"]] * 100
    better = exact_scores(["cat"] * 60 + ["dog"] * 40, wanted)
    worse = exact_scores(["cat"] * 50 + ["dog"] * 50, wanted)
    low, high = better.above(worse).interval
    assert better.above(worse).value == pytest.approx(0.1) and 0 < low < 0.1 < high
    assert better.figures()["accuracy"].interval[0] < worse.figures()["accuracy"].interval[1]
    with pytest.raises(ValueError, match="100 by exact-1 cannot be compared with 1 by exact-1"):
        better.above(exact_scores(["cat"], [["cat"]]))
    with pytest.raises(ValueError, match="by vqa-1"):
        better.above(vqa_scores(["cat"] * 100, wanted))


@pytest.mark.parametrize("metric", ANSWER_METRICS)
def test_what_cannot_be_scored(metric):
    with pytest.raises(ValueError, match="1 answers to 2 questions"):
        ANSWER_METRICS[metric](["a"], [["a"], ["b"]])
    with pytest.raises(ValueError, match="0 answers to 0"):
        ANSWER_METRICS[metric]([], [])
    with pytest.raises(ValueError, match=r"wanted\[1\] is \[\]"):
        ANSWER_METRICS[metric](["a", "b"], [["a"], []])
    with pytest.raises(ValueError, match=r"wanted\[0\] is 'yes'"):
        ANSWER_METRICS[metric](["yes"], ["yes"])


def test_answers_that_belong_together_are_drawn_together():
    """Each answer three times is no more evidence than once; uneven groups against draws written out."""
    hits = [number % 3 == 0 for number in range(40)]
    plain = scored_of(hits)
    thrice = replace(scored_of([hit for hit in hits for _ in range(3)]), groups=tuple(i // 3 for i in range(120)))
    assert thrice.figures() == plain.figures()
    assert width(replace(thrice, groups=None)) < 0.7 * width(thrice)
    groups = (5, 5, 5, 2, 9, 9, 2, 7, 7, 7)
    found = replace(scored_of(hits[:10]), groups=groups)
    members = [[hit for hit, group in zip(hits, groups, strict=False) if group == one] for one in (5, 2, 9, 7)]
    generator, means = torch.Generator().manual_seed(0), []
    for _ in range(1000):
        drawn = [hit for place in torch.randint(4, (4,), generator=generator) for hit in members[place]]
        means.append(sum(drawn) / len(drawn))
    expected = torch.tensor(means, dtype=torch.float64).quantile(torch.tensor([0.025, 0.975], dtype=torch.float64))
    assert found.figures()["accuracy"].interval == pytest.approx(expected.tolist())
    assert found.figures()["accuracy"].value == pytest.approx(0.4)


def test_of_few_groups_little_is_known():
    right = replace(scored_of([True] * 12), groups=tuple(i // 6 for i in range(12)))
    assert right.figures()["accuracy"].interval == scored_of([True] * 2).figures()["accuracy"].interval
    some, none = (replace(scored_of(hits), groups=(3,) * 4) for hits in ([True, False, True, True], [False] * 4))
    assert some.figures()["accuracy"].interval == (0.0, 1.0)
    assert some.above(none).value == 0.75 and some.above(none).interval == (-1.0, 1.0)
    with pytest.raises(ValueError, match="give answers to the same questions"):
        some.above(replace(none, groups=None))


def scored_of(hits):
    return exact_scores(["a" if hit else "b" for hit in hits], [["a"]] * len(hits))


def width(scored):
    low, high = scored.figures()["accuracy"].interval
    return high - low

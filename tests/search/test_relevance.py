"""What is there is shown and what is not there is not, for collections of one picture and of many."""

from __future__ import annotations

import numpy as np
import pytest
from colour_embedder import ColourEmbedder, picture
from scipy.special import ndtr

from multimodal.search import ImageIndex
from multimodal.search.relevance import FALSE, OWN, RELEVANT, TAIL, UNKNOWN, Background, completed, relevances, spread


def shown(scores, prior=None):
    """How many of the scores of a whole collection are relevant."""
    falling = np.sort(scores)[::-1]
    judged = relevances(
        falling, np.arange(1, len(falling) + 1), len(falling), completed(spread(scores), len(scores), prior)
    )
    assert (np.diff(judged) <= 0).all() and ((judged >= 0) & (judged <= 1)).all()
    return int((judged >= RELEVANT).sum())


def test_relevance_is_what_the_docstring_says():
    scores, background = np.array([0.5, 0.4, 0.1]), Background(0.1, 0.1)
    found = relevances(scores, np.array([1, 2, 300]), 1000, background)
    first = 1000 * ndtr(-4.0 / TAIL) / 1
    second = max(first, 1000 * ndtr(-3.0 / TAIL) / 2)
    assert found == pytest.approx(
        [1 / (1 + first / FALSE), 1 / (1 + second / FALSE), 1 / (1 + max(second, 500 / 300) / FALSE)]
    )
    assert 1 / (1 + FALSE / FALSE) == RELEVANT
    assert relevances(np.array([1.0]), np.array([1]), 10**6, Background(0.9, 1.0))[0] == 1
    assert len(relevances(np.zeros(0), np.zeros(0, int), 0, UNKNOWN)) == 0


@pytest.mark.parametrize("n", [100, 1_000, 20_000])
@pytest.mark.parametrize("middle", [0.02, 0.22])
def test_of_background_alone_nothing_is_shown_but_for_one_query_in_twenty(n, middle):
    rng = np.random.default_rng(n)
    answers = [shown(rng.normal(middle, 0.02, n)) for _ in range(400)]
    assert np.mean([count > 0 for count in answers]) <= 2.5 * FALSE


@pytest.mark.parametrize("n", [100, 1_000, 20_000])
@pytest.mark.parametrize("related", [1, 10, 40])
def test_what_stands_out_is_shown(n, related):
    rng = np.random.default_rng(n)
    precise, recalled = [], []
    for _ in range(50):
        scores = np.r_[rng.normal(0.2, 0.02, n), rng.normal(0.36, 0.02, related)]  # eight deviations
        count = shown(scores, Background(0.2, 0.02))
        right = (np.argsort(-scores)[:count] >= n).sum()
        recalled.append(right / related)
        precise.append(right / max(1, count))
    assert np.mean(recalled) > 0.9 and np.mean(precise) > 0.9


@pytest.mark.parametrize("part", [0.1, 0.3])
def test_a_common_subject_is_not_taken_for_the_background(part):
    rng = np.random.default_rng(0)
    n = 5_000
    related = int(n * part)
    scores = np.r_[rng.normal(0.2, 0.02, n - related), rng.normal(0.34, 0.02, related)]
    assert 0.7 * related <= shown(scores, Background(0.2, 0.02)) <= 1.05 * related


def test_a_larger_collection_asks_for_more():
    score = np.array([0.28])  # four deviations
    few, many = (relevances(score, np.array([1]), n, Background(0.2, 0.02))[0] for n in (100, 1_000_000))
    assert few > RELEVANT > many


def test_the_same_scores_elsewhere_are_judged_alike():
    rng = np.random.default_rng(0)
    scores = np.r_[rng.normal(0, 1, 2000), 6, 7]
    assert shown(scores * 0.01 + 0.2) == shown(scores * 0.05 - 0.1) == 2


def test_the_middle_is_the_query_s_own_and_the_scale_mostly_that_of_others():
    prior = Background(0.5, 0.2)
    for n in (1, 20, 10_000):
        found = completed(Background(0.1, 0.05), n, prior)
        weight = n / (n + 20)
        assert found.middle == pytest.approx(weight * 0.1 + (1 - weight) * 0.5)
        assert found.scale**2 == pytest.approx(OWN * weight * 0.05**2 + (1 - OWN * weight) * 0.2**2)
    assert completed(Background(0.1, 0.05), 5, None) == Background(0.1, 0.05)
    assert spread(np.full(1000, 0.3)).scale > 0  # all alike


def test_a_common_subject_does_not_hide_itself_behind_its_own_scale():
    rng = np.random.default_rng(0)
    scores = np.r_[rng.normal(0.2, 0.02, 600), rng.normal(0.34, 0.02, 400)]
    assert shown(scores, Background(0.2, 0.02)) > 350 > shown(scores)


def test_the_spread_of_cosines():
    found = spread(np.random.default_rng(0).normal(0.2, 0.03, 20_000))
    assert (found.middle, found.scale) == pytest.approx((0.2, 0.03), rel=0.03)


@pytest.mark.parametrize("n", [1, 2, 3, 5, 20])
def test_small_indexes_find_what_is_there_and_not_what_is_not(tmp_path, n):
    colours = [("red", "blue", "green", "yellow")[i % 4] for i in range(n)]
    (tmp_path / "photos").mkdir()
    for i, colour in enumerate(colours):
        picture(colour, i).save(tmp_path / "photos" / f"{colour}-{i}.png")
    index = ImageIndex(tmp_path / "index", ColourEmbedder())
    index.sync(tmp_path / "photos", progress=False)
    for colour in ("red", "blue", "green", "yellow", "purple"):
        found = index.search(colour)
        assert len(found) == colours.count(colour), str(found)
    own = index.search(tmp_path / "photos" / "red-0.png")
    assert own[0].relevance == 1 and {hit.path.name.split("-")[0] for hit in own} == {"red"}
    other = tmp_path / "orange.png"
    picture("orange").save(other)
    assert len(index.search(other)) == 0

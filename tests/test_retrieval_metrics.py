"""Recall and zero-shot accuracy against their definitions written out, the bootstrap against the binomial."""

from __future__ import annotations

import itertools
import math
import sys

import pytest
import torch
from scipy.stats import binom
from torch.nn import functional as F

from multimodal.metrics import bootstrap_interval, retrieval, zero_shot_accuracy

MODULE = sys.modules[retrieval.__module__]  # whose name in its package is the function's


def units(*shape: int, seed: int = 0) -> torch.Tensor:
    return F.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)), dim=-1)


def written_out(image, text, owner, same, k):
    """Hits of every image that has captions, and of every caption, one comparison after the other."""
    n, m = len(image), len(text)
    right = [[any(owner[o] == i and same[o] == same[j] for o in range(m)) for j in range(m)] for i in range(n)]
    scores = (image.double() @ text.double().T).tolist()

    def hit(candidates, is_right, score):
        good = [c for c in candidates if is_right(c)]
        best = max(score(c) for c in good)
        return sum(score(c) >= best - 1e-6 for c in candidates if not is_right(c)) < k

    images = [hit(range(m), lambda j, i=i: right[i][j], lambda j, i=i: scores[i][j]) for i in range(n) if any(right[i])]
    texts = [hit(range(n), lambda i, j=j: right[i][j], lambda i, j=j: scores[i][j]) for j in range(m)]
    return images, texts


@pytest.fixture
def drawn():
    """23 images, one of them without captions; 60 captions of the others in any order, some of them equal."""
    generator = torch.Generator().manual_seed(1)
    image = units(23, 8)
    owner = torch.cat([torch.arange(22), torch.randint(0, 22, (38,), generator=generator)])
    owner = owner[torch.randperm(60, generator=generator)]
    same = torch.randint(0, 40, (60,), generator=generator) + (1 << 62)
    text = F.normalize(image[owner] + 0.9 * torch.randn(60, 8, generator=generator), dim=-1)
    for number in same.unique():
        text[same == number] = text[same == number][0]
    return image, text, owner, same


@pytest.mark.parametrize("at_once", [1 << 24, 150, 1])
@pytest.mark.parametrize("with_same", [True, False])
def test_recall_is_its_definition_in_blocks_of_any_size(drawn, monkeypatch, at_once, with_same):
    monkeypatch.setattr(MODULE, "_AT_ONCE", at_once)
    image, text, owner, same = drawn
    scores = retrieval(image, text, owner, same=same if with_same else None)
    for k in (1, 2, 5, 10, 100):
        images, texts = written_out(image, text, owner, same if with_same else torch.arange(60), k)
        assert len(images) == 22
        assert scores.image_to_text.hits(k).tolist() == images
        assert scores.text_to_image.hits(k).tolist() == texts
        assert scores.image_to_text.recall(k) == pytest.approx(sum(images) / len(images))
    assert 0 < scores.image_to_text.recall(1) < scores.image_to_text.recall(10) <= 1
    assert scores.recalls()["text_to_image_recall@5"] == scores.text_to_image.recall(5)
    assert list(scores.recalls()) == [
        f"{way}_recall@{k}" for way in ("image_to_text", "text_to_image") for k in (1, 5, 10)
    ]


def test_an_equal_caption_of_another_image_counts_only_where_that_is_asked_for():
    image = torch.eye(3)
    text = torch.eye(3)[[0, 0, 2]]  # the second image has the caption of the first
    owner, same = torch.arange(3), torch.tensor([7, 7, 9])
    plain = retrieval(image, text, owner)
    assert plain.text_to_image.hits(1).tolist() == [True, False, True]
    assert plain.image_to_text.hits(1).tolist() == [False, False, True]  # a tie counts against
    shared = retrieval(image, text, owner, same=same)
    assert shared.text_to_image.recall(1) == 1.0
    assert shared.image_to_text.right.tolist() == [2, 2, 1]


def test_a_model_that_gives_everything_one_vector_finds_nothing():
    one = units(1, 512)
    scores = retrieval(one.expand(50, -1), one.expand(50, -1).clone(), torch.arange(50))
    assert scores.recalls() == dict.fromkeys(scores.recalls(), 0.0)
    assert zero_shot_accuracy(one.expand(50, -1), one.expand(9, -1).clone(), torch.zeros(50).long()).recall(5) == 0.0


def test_a_model_that_gives_no_numbers_finds_nothing():
    nan = torch.full((4, 3), torch.nan)
    scores = retrieval(nan, nan, torch.arange(4))
    assert scores.recalls((1, 3)) == dict.fromkeys(scores.recalls((1, 3)), 0.0)
    assert zero_shot_accuracy(nan, nan, torch.arange(4)).recall(3) == 0.0


def test_what_is_perfect_is_found_and_nothing_is_zero():
    scores = retrieval(torch.eye(4), torch.eye(4), torch.arange(4))
    assert scores.image_to_text.recall(1) == scores.text_to_image.recall(1) == 1.0
    nothing = retrieval(torch.zeros(3, 4), torch.zeros(0, 4), torch.zeros(0).long())
    assert nothing.image_to_text.recall(1) == nothing.text_to_image.recall(1) == nothing.text_to_image.chance(1) == 0.0


def test_owners_out_of_range_are_refused():
    with pytest.raises(ValueError, match=r"owner holds 0\.\.3"):
        retrieval(torch.eye(3), torch.eye(3), torch.tensor([0, 3, 1]))
    with pytest.raises(ValueError, match=r"target holds -1\.\.1"):
        zero_shot_accuracy(torch.eye(3), torch.eye(3), torch.tensor([0, -1, 1]))


def test_the_similarities_are_never_all_there(drawn, monkeypatch):
    monkeypatch.setattr(MODULE, "_AT_ONCE", 5 * 60)
    seen = []
    matmul = torch.Tensor.__matmul__
    monkeypatch.setattr(torch.Tensor, "__matmul__", lambda a, b: seen.append(len(a)) or matmul(a, b))
    retrieval(*drawn[:3])
    assert max(seen) == 5


def test_chance_is_what_random_orders_reach(drawn):
    image, text, owner, same = drawn
    scores = retrieval(image, text, owner, same=same)
    n, m = 5, 6  # by counting: a query with 2 right answers among 6
    hits = [0 in order[:3] or 1 in order[:3] for order in itertools.permutations(range(m))]
    small = retrieval(units(n, 4), units(m, 4, seed=1), torch.tensor([0, 0, 1, 1, 2, 2]))
    assert small.image_to_text.chance(3) == pytest.approx(sum(hits) / math.factorial(m))
    assert small.text_to_image.chance(1) == pytest.approx(1 / 5)
    assert small.text_to_image.chance(99) == 1.0
    random = [
        retrieval(units(23, 8, seed=s), units(60, 8, seed=99 + s), owner, same=torch.arange(60)) for s in range(300)
    ]
    plain = retrieval(image, text, owner)
    for way in ("image_to_text", "text_to_image"):
        mean = sum(getattr(one, way).recall(5) for one in random) / len(random)
        assert getattr(plain, way).chance(5) == pytest.approx(mean, abs=0.02)
        assert getattr(scores, way).chance(5) > getattr(plain, way).chance(5)


@pytest.mark.parametrize("at_once", [1 << 24, 50])
def test_zero_shot_accuracy_is_top_k_accuracy(monkeypatch, at_once):
    monkeypatch.setattr(MODULE, "_AT_ONCE", at_once)
    image, classes = units(200, 6), units(11, 6, seed=1)
    target = torch.randint(0, 11, (200,), generator=torch.Generator().manual_seed(2))
    ranking = zero_shot_accuracy(image, classes, target)
    for k in (1, 5, 11):
        best = (image @ classes.T).topk(k, dim=1).indices
        assert ranking.recall(k) == pytest.approx(float((best == target[:, None]).any(1).double().mean()))
        assert ranking.chance(k) == pytest.approx(k / 11)
    low, high = ranking.interval(5)
    assert low < ranking.recall(5) < high
    assert zero_shot_accuracy(image[:0], classes, target[:0]).recall(1) == 0.0


def test_the_bootstrap_of_hits_is_the_binomial_distribution():
    hits = torch.arange(400) % 4 == 0
    low, high = bootstrap_interval(hits, 3, resamples=20_000)
    assert low == pytest.approx(binom.ppf(0.025, 400, 0.25) / 400, abs=0.003)
    assert high == pytest.approx(binom.ppf(0.975, 400, 0.25) / 400, abs=0.003)
    narrow = bootstrap_interval(hits, 3, level=0.5)
    assert low < narrow[0] < 0.25 < narrow[1] < high
    assert bootstrap_interval(hits, 3) == bootstrap_interval(hits, 3) != bootstrap_interval(hits, 4)


def test_measurements_of_one_group_are_drawn_together():
    hits = (torch.arange(100) % 2 == 0).repeat_interleave(5)
    alone, together = bootstrap_interval(hits), bootstrap_interval(hits, group=torch.arange(100).repeat_interleave(5))
    once = bootstrap_interval(hits[::5])
    assert together == pytest.approx(once)
    assert together[1] - together[0] > 1.8 * (alone[1] - alone[0])


def test_bounds_of_the_bootstrap():
    assert bootstrap_interval(torch.ones(5)) == (1.0, 1.0)
    assert bootstrap_interval(torch.zeros(0)) == (0.0, 1.0)
    with pytest.raises(ValueError, match="level is 2"):
        bootstrap_interval(torch.ones(5), level=2.0)
    with pytest.raises(ValueError, match="resamples 0"):
        bootstrap_interval(torch.ones(5), resamples=0)

"""CTC decoding: paths, prefixes and alignments against all paths, written out."""

import itertools
import math
from collections import defaultdict

import pytest
import torch

from multimodal.errors import ArgumentError
from multimodal.generation.ctc import align, best_path, prefix_beams

BLANK, FRAMES = 3, 6
SCORES = torch.randn(FRAMES, 4, generator=torch.Generator().manual_seed(2)).mul(2).log_softmax(-1)
PATHS = list(itertools.product(range(4), repeat=FRAMES))


def collapsed(path):
    return tuple(id for id, _ in itertools.groupby(path) if id != BLANK)


def score(path):
    return sum(float(SCORES[t, id]) for t, id in enumerate(path))


def test_the_best_path_collapses_and_says_where():
    path = SCORES.argmax(-1).tolist()
    found = best_path(SCORES, blank=BLANK)
    assert tuple(token.id for token in found) == collapsed(path)
    for token in found:
        assert path[token.start : token.end] == [token.id] * (token.end - token.start)
        inside = [float(SCORES[t, token.id]) for t in range(token.start, token.end)]
        assert token.logprob == pytest.approx(sum(inside) / len(inside))


def test_equal_tokens_with_a_blank_between_are_two():
    scores = torch.full((5, 4), -9.0)
    for t, id in enumerate([1, 1, BLANK, 1, BLANK]):
        scores[t, id] = -0.1
    assert [(token.id, token.start, token.end) for token in best_path(scores, blank=BLANK)] == [(1, 0, 2), (1, 3, 4)]


def test_nothing_but_blanks_is_no_text():
    scores = torch.tensor([[-9.0, -9.0, -9.0, 0.0]] * 4)
    assert best_path(scores, blank=BLANK) == []
    assert prefix_beams(scores, blank=BLANK)[0].ids == ()


def test_prefixes_with_room_for_all_add_up_every_path():
    totals = defaultdict(float)
    for path in PATHS:
        totals[collapsed(path)] += math.exp(score(path))
    expected = sorted(totals.items(), key=lambda item: -item[1])[:5]
    found = prefix_beams(SCORES, blank=BLANK, width=10_000)[:5]
    assert [text.ids for text in found] == [ids for ids, _ in expected]
    assert [math.exp(text.logprob) for text in found] == pytest.approx([p for _, p in expected], rel=1e-5)


def test_a_text_of_many_paths_beats_the_likeliest_path():
    scores = torch.tensor([[0.4, 0.0, 0.0, 0.6]] * 2).clamp(min=1e-9).log()
    assert best_path(scores, blank=BLANK) == []  # 0.36, where "0" has 0.64 by three paths
    best = prefix_beams(scores, blank=BLANK, width=2)[0]
    assert best.ids == (0,) and math.exp(best.logprob) == pytest.approx(0.64, rel=1e-5)


@pytest.mark.parametrize("ids", [(0,), (1, 1), (2, 0, 2)])
def test_an_alignment_is_the_likeliest_path_of_the_text(ids):
    best = max((path for path in PATHS if collapsed(path) == ids), key=score)
    found = align(SCORES, ids, blank=BLANK)
    assert tuple(token.id for token in found) == ids
    for token in found:
        assert best[token.start : token.end] == (token.id,) * (token.end - token.start)
        assert token.start == 0 or best[token.start - 1] != token.id


def test_what_cannot_be_aligned_is_refused():
    assert align(SCORES, [], blank=BLANK) == []
    with pytest.raises(ArgumentError, match="4 tokens need 7 frames and there are 6"):
        align(SCORES, [1, 1, 1, 1], blank=BLANK)
    with pytest.raises(ArgumentError, match="ids has 3"):
        align(SCORES, [1, BLANK], blank=BLANK)
    with pytest.raises(ArgumentError, match="width is 0"):
        prefix_beams(SCORES, blank=BLANK, width=0)

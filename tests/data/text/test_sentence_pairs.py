"""Next-sentence pairs of documents whose ids say where they come from: document * 1000 + place in it."""

import numpy as np
import pytest

from multimodal.data.text.sentence_pairs import IS_NEXT, IS_RANDOM, next_sentence_pairs
from multimodal.errors import ArgumentError


def documents(count=40, sentences=12, seed=0):
    draw = np.random.default_rng(seed)
    made = []
    for number in range(count):
        ends = np.cumsum(draw.integers(1, 9, sentences))
        made.append(np.split(number * 1000 + np.arange(ends[-1]), ends[:-1]))
    return made


def test_half_of_the_pairs_follow_each_other():
    texts = documents()
    pairs = next_sentence_pairs(texts, length=30)
    labels = [pair.next_sentence for pair in pairs]
    assert 0.4 < labels.count(IS_NEXT) / len(labels) < 0.5  # a lone last sentence can only get a random one
    for pair in pairs:
        a, b = pair.first, pair.second
        assert len(a) >= 1 and len(b) >= 1 and len(a) + len(b) <= 30
        assert (np.diff(a) == 1).all() and (np.diff(b) == 1).all()  # one piece of one document each
        if pair.next_sentence == IS_NEXT:
            assert a[0] // 1000 == b[0] // 1000 and b[0] > a[-1]
            if len(a) + len(b) < 30:
                assert b[0] == a[-1] + 1  # nothing was cut
        else:
            assert pair.next_sentence == IS_RANDOM and a[0] // 1000 != b[0] // 1000
    full = sum(len(pair.first) + len(pair.second) == 30 for pair in pairs)
    assert full > 0.4 * len(pairs)


def test_no_sentence_is_lost():
    """Where nothing has to be cut, the first segments and the true second ones are the whole text, in order."""
    texts = documents(count=6)
    pairs = next_sentence_pairs(texts, length=4000)
    for number, text in enumerate(texts):
        own = [pair for pair in pairs if pair.first[0] // 1000 == number]
        parts = [part for pair in own for part in (pair.first, pair.second) if part[0] // 1000 == number]
        assert np.concatenate(parts).tolist() == np.concatenate(text).tolist()


def test_pairs_follow_from_the_seed():
    def key(pairs):
        return [(*pair.first.tolist(), -1, *pair.second.tolist(), pair.next_sentence) for pair in pairs]

    texts = documents(count=8)
    assert key(next_sentence_pairs(texts, length=30)) == key(next_sentence_pairs(texts, length=30))
    assert key(next_sentence_pairs(texts, length=30)) != key(next_sentence_pairs(texts, length=30, seed=1))


def test_bad_input():
    one = [[np.array([5, 6]), np.array([], dtype=np.int64)], []]
    with pytest.raises(ArgumentError, match="1 with text"):
        next_sentence_pairs(one, length=30)
    with pytest.raises(ArgumentError, match="length is 1"):
        next_sentence_pairs(documents(2), length=1)
    pairs = next_sentence_pairs([*one, [np.arange(7, 107)]], length=2)  # the smallest pairs there are
    assert all(len(pair.first) == len(pair.second) == 1 for pair in pairs)

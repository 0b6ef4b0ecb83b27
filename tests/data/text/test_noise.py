"""Each kind of noise: what must hold of every draw, how often things happen, and small cases written out."""

from collections import Counter

import numpy as np
import pytest

from multimodal.data.text import noise
from multimodal.data.text.noise import NoiseTokens, noise_generator
from multimodal.errors import ArgumentError
from multimodal.losses import IGNORE

MASK = 4
TOKENS = NoiseTokens(mask=MASK, special=np.arange(5), ordinary=np.arange(5, 1000))


class Scripted(np.random.Generator):
    """A generator that draws what it is told, for cases written out by hand."""

    def __init__(self, **draws):
        super().__init__(np.random.PCG64())
        self.draws = {name: list(values) for name, values in draws.items()}

    def permutation(self, x):
        return self.draws["permutation"].pop(0)

    def random(self, size):
        return self.draws["random"].pop(0)

    def choice(self, a, size):
        return self.draws["choice"].pop(0)

    def integers(self, low, high, size):
        return self.draws["integers"].pop(0)

    def poisson(self, lam):
        return self.draws["poisson"].pop(0)


def draws(count=200):
    return (noise_generator(0, 0, index) for index in range(count))


def text(generator, n=100):
    """Ids with a special token at either end and one in the middle."""
    ids = generator.integers(5, 1000, n)
    ids[[0, n // 2, -1]] = [1, 2, 3]
    return ids


def test_noise_is_a_function_of_seed_epoch_and_index():
    keys = [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)]
    first = [noise_generator(*key).integers(1 << 60) for key in keys]
    assert first == [noise_generator(*key).integers(1 << 60) for key in keys]
    assert len(set(first)) == 4
    assert noise_generator(-1, 0, 0).integers(1 << 60) not in first


def test_masked_words_by_hand():
    ids = np.array([1, 10, 11, 12, 13, 14, 2])
    script = Scripted(permutation=[np.array([3, 1, 5, 2, 4])], random=[np.array([0.79, 0.85, 0.95])], choice=[[700]])
    noisy, targets = noise.masked_words(ids, script, TOKENS, share=0.6)
    assert noisy.tolist() == [1, 700, 11, MASK, 13, 14, 2]  # place 3 hidden, 1 random, 5 kept
    assert targets.tolist() == [IGNORE, 10, IGNORE, 12, IGNORE, 14, IGNORE]
    assert ids.tolist() == [1, 10, 11, 12, 13, 14, 2]  # the text itself is not touched


def test_masked_words_statistics():
    fates, places = Counter(), Counter()
    for generator in draws():
        ids = text(generator)
        noisy, targets = noise.masked_words(ids, generator, TOKENS)
        chosen = targets != IGNORE
        assert chosen.sum() == round(0.15 * 97)  # exactly, of the ordinary tokens
        assert (targets[chosen] == ids[chosen]).all() and (noisy[~chosen] == ids[~chosen]).all()
        assert not np.isin(ids[chosen], TOKENS.special).any()
        assert not np.isin(noisy[chosen & (noisy != MASK)], TOKENS.special).any()
        fates["mask"] += int((noisy[chosen] == MASK).sum())
        fates["kept"] += int((noisy[chosen] == ids[chosen]).sum())
        fates["all"] += int(chosen.sum())
        places.update(np.flatnonzero(chosen).tolist())
    assert fates["mask"] / fates["all"] == pytest.approx(0.8, abs=0.03)
    assert fates["kept"] / fates["all"] == pytest.approx(0.1, abs=0.03)
    assert len(places) == 97 and max(places.values()) < 3 * min(places.values())  # no place is preferred


def test_masked_words_at_the_edges():
    generator = noise_generator(0, 0, 0)
    for ids, count in ((np.array([], dtype=np.int64), 0), (np.array([1, 2]), 0), (np.array([1, 50, 2]), 1)):
        noisy, targets = noise.masked_words(ids, generator, TOKENS)
        assert len(noisy) == len(ids) and (targets != IGNORE).sum() == count
    stored = np.array([50, 60, 70], dtype=np.uint16)  # as shards keep them
    noisy, targets = noise.masked_words(stored, generator, TOKENS, share=1.0)
    assert noisy.dtype == targets.dtype == np.int64 and targets.tolist() == [50, 60, 70]


def test_whole_words_are_hidden_whole():
    hidden = 0
    for generator in draws():
        words = np.cumsum(generator.random(60) < 0.6)
        _, targets = noise.masked_words(generator.integers(5, 1000, 60), generator, TOKENS, share=0.3, words=words)
        chosen = targets != IGNORE
        assert chosen.sum() <= 18
        hidden += chosen.sum()
        for word in set(words.tolist()):
            assert len(set(chosen[words == word].tolist())) == 1
    assert hidden > 200 * 17  # what does not fit is made up for by shorter words


def test_span_corruption_by_hand():
    ids = np.array([11, 12, 13, 14, 15, 16, 17, 18])  # "Thank you for inviting me to your party"
    # 4 hidden ids as 1 + 3, then 4 kept ones as 2 + 2: the cuts come after 1 and after 2
    script = Scripted(permutation=[np.array([0, 1, 2]), np.array([1, 0, 2])])
    source, target = noise.span_corruption(ids, script, [99, 98, 97], density=0.5, mean_span=2.0)
    assert source.tolist() == [11, 12, 99, 14, 15, 98]
    assert target.tolist() == [99, 13, 98, 16, 17, 18]
    assert noise.rejoin_spans(source, target, [99, 98, 97]).tolist() == ids.tolist()


def test_span_corruption_of_any_text_can_be_undone():
    sentinels = range(2000, 1900, -1)
    for n, generator in enumerate(draws(300)):
        ids = generator.integers(5, 1000, n)
        source, target = noise.span_corruption(ids, generator, sentinels)
        assert noise.rejoin_spans(source, target, sentinels).tolist() == ids.tolist()
        if n < 2:
            assert len(target) == 0
            continue
        hidden = min(max(round(0.15 * n), 1), n - 1)
        spans = max(1, round(hidden / 3))
        inside = np.isin(source, sentinels)
        assert source[inside].tolist() == target[np.isin(target, sentinels)].tolist() == list(sentinels[:spans])
        assert len(target) == hidden + spans and len(source) == n - hidden + spans
        assert not inside[0] and inside[-1] and not (inside[1:] & inside[:-1]).any()
    few = noise.span_corruption(np.arange(5, 505), noise_generator(0, 0, 0), sentinels[:4])
    assert np.isin(few[0], sentinels).sum() == 4 and len(few[1]) == 75 + 4


def test_spans_are_of_every_length():
    lengths = Counter(
        int(span)
        for generator in draws()
        for span in np.diff(
            np.flatnonzero(noise.span_corruption(np.arange(5, 205), generator, range(2000, 1900, -1))[1] >= 1900)
        )
        - 1
    )
    assert min(lengths) == 1 and max(lengths) > 8
    assert sum(span * count for span, count in lengths.items()) / lengths.total() == pytest.approx(3, abs=0.15)


def test_span_corruption_lengths_are_those_of_t5():
    assert noise.span_corruption_lengths(512) == (568, 114)
    for length in (3, 4, 17, 100, 513):
        n, targets = noise.span_corruption_lengths(length)
        source, target = noise.span_corruption(np.arange(5, 5 + n), noise_generator(0, 0, 0), range(2000, 1800, -1))
        assert (len(source) + 1, len(target) + 1) == (length, targets)
    with pytest.raises(ArgumentError, match="length is 2"):
        noise.span_corruption_lengths(2)


def test_token_masking_and_deletion_hit_the_same_ordinary_tokens():
    for index in range(50):
        ids = text(noise_generator(1, 0, index))
        masked = noise.masked_tokens(ids, noise_generator(0, 0, index), TOKENS, share=0.2)
        deleted = noise.deleted_tokens(ids, noise_generator(0, 0, index), TOKENS, share=0.2)
        gone = masked != ids
        assert gone.sum() == round(0.2 * 97) and (masked[gone] == MASK).all()
        assert not np.isin(ids[gone], TOKENS.special).any()
        assert deleted.tolist() == ids[~gone].tolist()


def test_infilling_by_hand():
    ids = np.arange(11, 21)
    # 5 of 10 ids: spans of 2, 0 and 4 cut to 3, behind 1, 4 and 4 of the kept ones
    script = Scripted(poisson=[2, 0, 4], integers=[np.array([4, 1, 4])])
    out = noise.infilled(ids, script, MASK, share=0.5)
    assert out.tolist() == [11, MASK, 14, 15, 16, MASK, MASK, 20]


def test_infilling_statistics():
    masks, between, total = 0, 0, 0
    for generator in draws():
        ids = np.arange(5, 205)
        out = noise.infilled(ids, generator, MASK)
        kept = out[out != MASK]
        assert len(kept) == 140 and (np.diff(kept) > 0).all()  # 30% gone, the rest in order
        masks += int((out == MASK).sum())
        inner = np.flatnonzero((out[1:-1] == MASK) & (out[:-2] != MASK) & (out[2:] != MASK)) + 1
        between += int((out[inner + 1] - out[inner - 1] == 1).sum())  # a mask in place of nothing
        total += len(inner)
    assert masks / 200 == pytest.approx(60 / 3, rel=0.06)  # Poisson spans have a mean of 3
    assert between / total == pytest.approx(np.exp(-3), abs=0.02)  # and length 0 with probability e^-3
    for n in range(4):
        assert len(noise.infilled(np.arange(5, 5 + n), noise_generator(0, 0, n), MASK)) <= n + 1


def test_sentences_change_places_and_stay_whole():
    ends = np.zeros(40, dtype=bool)
    ends[[7, 8]] = True
    ids = np.array([20, 21, 7, 22, 8, 23, 24, 25])  # three sentences, the last without an end
    script = Scripted(permutation=[np.array([2, 0, 1])])
    assert noise.permuted_sentences(ids, script, ends).tolist() == [23, 24, 25, 20, 21, 7, 22, 8]
    orders = {tuple(noise.permuted_sentences(ids, generator, ends).tolist()) for generator in draws(60)}
    assert len(orders) == 6
    assert noise.permuted_sentences(ids[:0], noise_generator(0, 0, 0), ends).tolist() == []
    assert noise.permuted_sentences(ids[:3], noise_generator(0, 0, 0), ends).tolist() == [20, 21, 7]


def test_rotation_starts_anywhere_and_keeps_the_order():
    ids = np.array([9, 5, 6])
    found = Counter(tuple(noise.rotated(ids, generator).tolist()) for generator in draws(300))
    assert set(found) == {(9, 5, 6), (5, 6, 9), (6, 9, 5)}
    assert min(found.values()) > 70
    assert noise.rotated(ids[:0], noise_generator(0, 0, 0)).tolist() == []


def test_prefix_length():
    found = Counter(noise.prefix_length(4, generator) for generator in draws(300))
    assert set(found) == {1, 2, 3} and min(found.values()) > 70
    with pytest.raises(ArgumentError, match="of 1 ids"):
        noise.prefix_length(1, noise_generator(0, 0, 0))

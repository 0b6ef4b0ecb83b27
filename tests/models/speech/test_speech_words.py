"""Words and their times: alignment against its definition, punctuation, scripts without spaces, errors."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from tiny_speech import clips, tiny_whisper, whisper_tokenizer

from multimodal.errors import ArgumentError
from multimodal.models.speech.alignment import contrast, listened, smoothed, warp
from multimodal.models.speech.words import WordTime, merge_punctuation, word_times, words_of


def ids_of(text):
    return list(whisper_tokenizer().encode(text, special=False).ids)


def texts(text, **options):
    return [word for word, _ in words_of(whisper_tokenizer(), ids_of(text), eot=50_257, **options)]


def test_the_cheapest_way_is_found():
    generator = np.random.default_rng(0)
    for t, s in ((2, 3), (3, 3), (3, 4)):
        cost = generator.normal(size=(t, s))

        def ways(i, j):
            if (i, j) == (0, 0):
                yield [(0, 0)]
            for before in ((i - 1, j - 1), (i - 1, j), (i, j - 1)):
                if min(before) >= 0:
                    yield from ([*way, (i, j)] for way in ways(*before))

        best = min(ways(t - 1, s - 1), key=lambda way: sum(cost[pair] for pair in way))
        assert list(zip(*warp(cost), strict=True)) == best


def test_a_diagonal_is_followed():
    tokens, places = warp(1 - np.repeat(np.eye(5), 10, axis=1))
    starts = [int(places[tokens == token].min()) for token in range(5)]
    assert starts == [0, 10, 20, 30, 40]


def test_contrast_is_the_smoothed_deviation_from_the_other_tokens():
    scores = torch.randn(2, 5, 12)
    weights = scores.softmax(-1).double()
    expected = (weights - weights.mean(1, keepdim=True)) / weights.std(1, keepdim=True, correction=0)
    mirrored = torch.cat([expected[..., 1:4].flip(-1), expected, expected[..., -4:-1].flip(-1)], dim=-1)
    median = torch.stack([mirrored[..., i : i + 7].median(-1).values for i in range(12)], dim=-1)
    torch.testing.assert_close(contrast(scores).double(), median.mean(0), atol=1e-5, rtol=1e-5)
    assert torch.equal(smoothed(scores[..., :3]), scores[..., :3])
    assert torch.equal(contrast(torch.randn(2, 5, 1)), torch.zeros(5, 1))


def test_what_heads_look_at_is_heard_and_the_model_left_as_it_was():
    model: Any = tiny_whisper(positions=16)
    context, ids = model.encode(clips(2, frames=32)), torch.randint(0, 1000, (2, 5))
    expected = model.decode(ids, context)
    heads = [(0, 1), (1, 0), (1, 3)]
    with listened(model, heads) as scores:
        assert torch.equal(model.decode(ids, context), expected)
    assert list(scores) == heads and all(one.shape == (2, 5, 16) for one in scores.values())
    assert all("attend" not in vars(block.cross) for block in model.decoder.blocks)
    block = model.decoder.blocks[0]
    x = model.embedding(ids)
    x = x + block.attention(block.attention_branch.enter(x), scores=_causal(5))
    q, k = block.cross.q(block.cross_branch.enter(x)), block.cross.k(context)
    torch.testing.assert_close(scores[0, 1], q[..., 8:16] @ k[..., 8:16].mT / 8**0.5, atol=1e-4, rtol=1e-4)


def _causal(t):
    from multimodal.backbone.mask import Mask

    return Mask(causal=True).scores(t, t)


def test_words():
    assert texts(" He said: it's 3.14!") == [" He", " said", ":", " it's", " 3", ".14", "!"]
    assert texts("Grüße 🎉🎉ok") == ["Grüße", " 🎉🎉ok"]
    assert texts("こんにちは、世界", spaced=False) == ["こんにちは", "、", "世界"]  # tokens of whole characters
    assert texts("こんにちは、世界") == ["こんにちは、世界"]
    for text in (" Grüße 🎉🎉ok", "こんにちは、世界"):
        assert "".join(texts(text)) == "".join(texts(text, spaced=False)) == text
        ids = [part for _, part in words_of(whisper_tokenizer(), ids_of(text), eot=50_257)]
        assert list(itertools.chain(*ids)) == ids_of(text)
    broken = ids_of(" 𝕏")[:-1]  # a character that was cut off
    assert [part for _, part in words_of(whisper_tokenizer(), broken, eot=50_257)][-1][-1] == broken[-1]


def test_punctuation_belongs_to_words():
    spoken = [' "', "well", ",", " ok", ".", '"', " -", " (", "x", ")", " ¿", "no", "?", " ["]
    words = [WordTime(text, float(i), i + 1.0, 0.5, (i,)) for i, text in enumerate(spoken)]
    merged = merge_punctuation(words)
    assert [word.text for word in merged] == [' "well,', ' ok."', " - (x)", " ¿no?", " ["]
    assert [word.tokens for word in merged][:2] == [(0, 1, 2), (3, 4, 5)]
    assert [(word.start, word.end) for word in merged][:2] == [(1, 2), (3, 4)]
    assert merge_punctuation([]) == []


def test_times_of_words():
    model: Any = tiny_whisper(positions=100, length=64)
    context, text = model.encode(clips(1, frames=200)), ids_of(" one two three, four")
    words = word_times(model, context, text, frames=150, language="en")
    assert "".join(word.text for word in words) == " one two three, four"
    times = [time for word in words for time in (word.start, word.end)]
    assert times == sorted(times) and times[0] >= 0 and times[-1] <= 1.5
    assert all(0 <= word.probability <= 1 for word in words)
    assert word_times(model, context, [], frames=150) == []
    assert [word.start for word in word_times(model, context, text, frames=1)] == [0.0] * len(words)
    half = word_times(model.bfloat16(), context.bfloat16(), text, frames=150, language="en")
    assert [word.text for word in half] == [word.text for word in words]
    with pytest.raises(ArgumentError, match="The text has 60 tokens; with what stands around it the model reads up to"):
        word_times(model, context, text[:1] * 60, frames=150)

"""Word times as `whisper.timing` finds them: attention, median, warping, words, punctuation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from tiny_speech import clips, openai_twin, tiny_whisper, whisper_tokenizer

from multimodal.models.speech.alignment import smoothed, warp
from multimodal.models.speech.words import merge_punctuation, word_times, words_of

timing = pytest.importorskip("whisper.timing")
tokenizers = pytest.importorskip("whisper.tokenizer")

TEXTS = {
    "en": ' He said: "well... (maybe) it\'s 3.14, no?" - and left -- for good!',
    "de": " Grüße an Jürgen, ¿qué tal? “Ja” [nein] {doch}",
    "ja": "こんにちは、世界。元気ですか？ 𝕏 ok",
    "ru": " Привет, мир! 😀🎉 конец\n",
}


@pytest.fixture(autouse=True)
def interpreted(monkeypatch):
    """Their functions as Python, which for a few words takes less time than to compile them."""
    for name in ("dtw_cpu", "backtrace"):
        monkeypatch.setattr(timing, name, getattr(timing, name).py_func)


def theirs_of(language, task="transcribe", multilingual=True):
    return tokenizers.get_tokenizer(multilingual, num_languages=99, language=language, task=task)


def sharp(model: Any) -> Any:
    """Each token looks at few places."""
    with torch.no_grad():
        for block in model.decoder.blocks:
            block.cross.q.weight *= 6
    return model


@pytest.mark.parametrize(
    ("language", "heads", "frames"),
    [("en", (), 400), ("de", ((0, 1), (1, 3)), 333), ("ja", ((1, 0),), 260), ("ru", (), 400), ("en", (), 6)],
)
def test_words_with_their_times(language, heads, frames):
    model = sharp(tiny_whisper(seed=4, alignment_heads=heads, positions=200))
    mel, ids = clips(1, frames=400), list(model.tokenizer.encode(TEXTS[language], special=False).ids)
    theirs = theirs_of(language)
    expected = timing.find_alignment(openai_twin(model), theirs, ids, mel[0], frames)
    found = word_times(model, model.encode(mel), ids, frames=frames, language=language)
    assert [(word.text, list(word.tokens)) for word in found] == [(word.word, word.tokens) for word in expected]
    assert [(word.start, word.end) for word in found] == [(word.start, word.end) for word in expected]
    assert [word.probability for word in found] == pytest.approx([w.probability for w in expected], rel=1e-3)
    if frames > 100:
        assert len({word.start for word in found}) > 2, "too easy"
    timing.merge_punctuations(expected, "\"'“¿([{-", "\"'.。,，!！?？:：”)]}、")
    left = [(word.word, word.tokens, word.start) for word in expected if word.word]
    assert [(word.text, list(word.tokens), word.start) for word in merge_punctuation(found)] == left


@pytest.mark.parametrize("task", ["translate", "transcribe"])
def test_other_tasks_and_an_english_model(task):
    model: Any = tiny_whisper("en" if task == "transcribe" else "multilingual", seed=3, positions=200)
    mel, ids = clips(1, frames=400), list(model.tokenizer.encode(TEXTS["en"], special=False).ids)
    theirs = theirs_of("fr", task, model.tokens.multilingual)
    expected = timing.find_alignment(openai_twin(model), theirs, ids, mel[0], 400)
    language = "fr" if model.tokens.multilingual else None
    found = word_times(model, model.encode(mel), ids, frames=400, language=language, task=task)
    assert [(word.start, word.end) for word in found] == [(word.start, word.end) for word in expected]


def warped(cost):
    """`timing.dtw_cpu` in float64, as its compiled form computes: interpreted it would sum in float32."""
    t, s = cost.shape
    sums, steps = np.full((t + 1, s + 1), np.inf), np.zeros((t + 1, s + 1), dtype=int)
    sums[0, 0] = 0
    for i in range(1, t + 1):
        for j in range(1, s + 1):
            both, token, place = sums[i - 1, j - 1], sums[i - 1, j], sums[i, j - 1]
            step = 0 if both < token and both < place else 1 if token < both and token < place else 2
            sums[i, j] = cost[i - 1, j - 1] + (both, token, place)[step]
            steps[i, j] = step
    steps[0, :], steps[:, 0] = 2, 1
    way = []
    while t or s:
        way.append((t - 1, s - 1))
        t, s = t - (steps[t, s] != 2), s - (steps[t, s] != 1)
    return np.array(way[::-1]).T


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (7, 1), (3, 40), (40, 3), (30, 200)])
def test_warping(shape):
    for seed in range(3):
        cost = np.random.default_rng(seed).normal(size=shape)
        cost = cost.round(1) if seed else cost  # with ties
        np.testing.assert_array_equal(np.stack(warp(cost)), warped(cost))


@pytest.mark.parametrize("places", [1, 3, 4, 50])
def test_the_median_filter(places):
    x = torch.randn(2, 5, places)
    assert torch.equal(smoothed(x), timing.median_filter(x, 7))


def test_tokens_that_are_no_whole_character():
    tokenizer, theirs = whisper_tokenizer(), theirs_of("en")
    generator = torch.Generator().manual_seed(0)
    for _ in range(40):
        ids = torch.randint(0, 50_257, (30,), generator=generator).tolist()
        ids = [id for id in ids if "\ufffd" not in theirs.decode([id])]
        ids += tokenizer.encode(" é 日本 🎉").ids[:-1] if len(ids) % 2 else []
        words, parts = theirs.split_to_word_tokens([*ids, theirs.eot])
        found = words_of(tokenizer, ids, eot=theirs.eot)
        assert found == list(zip(words, parts, strict=True))[:-1]

"""Decoding windows: greedy and searched texts against loops written out, windows alone and in a batch, errors."""

from __future__ import annotations

import math
import zlib
from typing import Any

import pytest
import torch
from tiny_speech import clips, tiny_whisper, whisper_config

from multimodal.errors import ArgumentError, DataError
from multimodal.models.speech.beams import Search
from multimodal.models.speech.decoding import DecodingConfig, compression_ratio, decode_windows, detect_language

N, POSITIONS = 4, 16


@pytest.fixture(scope="module")
def model() -> Any:
    """Texts differ, have times in them, and some end."""
    model: Any = tiny_whisper(positions=POSITIONS, length=64, seed=2)
    with torch.no_grad():
        words = model.embedding.words.weight
        words *= 2.5
        words[model.tokens.eot] *= 8.0
    return model


@pytest.fixture(scope="module")
def context(model):
    with torch.no_grad():
        return model.encode(clips(N, frames=2 * POSITIONS))


def ruled(model, context, row, text):
    """The log-probabilities behind `row` and `text`, everything read anew; without timestamps."""
    logits = model.output(model.decode(torch.tensor([row + text]), context))[0, -1]
    tokens, config = model.tokens, model.config
    logits[[*config.suppress, tokens.sot, tokens.translate, tokens.transcribe, tokens.sot_lm, tokens.sot_prev]] = -1e9
    if not text:
        logits[list(config.suppress_first)] = -1e9
    return logits.log_softmax(-1)


@torch.no_grad()
def greedy(model, context, row, most):
    text, logprobs = [], []
    while len(text) < most:
        found = ruled(model, context, row, text)
        logprobs.append(float(found.max()))
        if int(found.argmax()) == model.tokens.eot:
            break
        text.append(int(found.argmax()))
    return text, logprobs


@torch.no_grad()
def beams(model, context, row, most, width):
    """The texts that are found, with their log-probabilities."""
    eot, going, finished = model.tokens.eot, [([], 0.0)], []
    while len(going[0][0]) < most:
        grown = []
        for text, score in going:
            found = ruled(model, context, row, text)
            grown += [([*text, int(id)], score + float(found[id])) for id in found.topk(width + 1).indices]
        going = []
        for text, score in sorted(grown, key=lambda one: -one[1]):
            if text[-1] == eot:
                finished.append((text, score))
            elif len(going) < width:
                going.append((text, score))
            if len(going) == width:
                break
        if len(finished) >= width:
            break
    return [*finished[:width], *going][:width]


def test_greedy_is_the_likeliest_token_each_time(model, context):
    config = DecodingConfig(language="en", timestamps=False, max_new_tokens=10)
    row = list(model.tokens.start("en", "transcribe", False))
    for window, found in zip(context, decode_windows(model, context, config), strict=True):
        text, logprobs = greedy(model, window[None], row, 10)
        assert list(found.ids) == text
        assert found.logprobs == pytest.approx(logprobs[: len(text)], abs=1e-4)
        assert found.avg_logprob == pytest.approx(sum(logprobs) / (len(text) + 1), abs=1e-4)
        assert found.text == model.tokenizer.decode([id for id in text if id < model.tokens.eot]).strip()
        start = model.output(model.decode(torch.tensor([row]), window[None]))[0, 0].softmax(-1)
        assert found.no_speech == pytest.approx(float(start[model.tokens.no_speech]), rel=1e-4)


def test_beam_search_written_out(model, context):
    config = DecodingConfig(language="en", timestamps=False, max_new_tokens=8, beams=3)
    row = list(model.tokens.start("en", "transcribe", False))
    for window, found in zip(context, decode_windows(model, context, config), strict=True):
        texts = beams(model, window[None], row, 8, 3)
        plain = [([id for id in text if id != model.tokens.eot], score) for text, score in texts]
        text, score = max(plain, key=lambda one: one[1] / max(len(one[0]), 1))
        assert list(found.ids) == text
        assert found.avg_logprob == pytest.approx(score / (len(text) + 1), abs=1e-4)


@pytest.mark.parametrize(
    "options", [{}, {"beams": 3}, {"temperature": 0.7, "seed": 1, "best_of": 2}, {"language": None}], ids=str
)
def test_a_window_gets_in_a_batch_what_it_gets_alone(model, context, options):
    config = DecodingConfig(**{"language": "en", "max_initial_timestamp": 0.2, "max_new_tokens": 20, **options})
    prompts = [[], [500], [600, 601, 602], list(range(1000, 1050))]
    together = decode_windows(model, context, config, prompts=prompts)
    assert len({len(one.ids) for one in together}) > 1, "too easy"
    for i, found in enumerate(together):
        (alone,) = decode_windows(model, context[i : i + 1], config, prompts=prompts[i : i + 1])
        assert (found.ids, found.text, found.language) == (alone.ids, alone.text, alone.language)
        assert found.avg_logprob == pytest.approx(alone.avg_logprob, abs=1e-4)
        assert found.no_speech == pytest.approx(alone.no_speech, rel=1e-3)


def test_draws_follow_the_seed(model, context):
    def ids(seed):
        config = DecodingConfig(language="en", temperature=1.0, seed=seed, max_new_tokens=8)
        return [one.ids for one in decode_windows(model, context, config)]

    assert ids(0) == ids(0) != ids(1)
    assert ids(None) != ids(None)


def test_languages(model, context):
    found = detect_language(model, context)
    assert [list(odds) for odds in found] == [list(model.tokens.languages)] * N
    assert [sum(odds.values()) for odds in found] == pytest.approx([1.0] * N)
    logits = model.output(model.decode(torch.full((N, 1), model.tokens.sot), context))[:, 0]
    expected = logits[:, list(model.tokens.languages.values())].softmax(-1)
    torch.testing.assert_close(torch.tensor([list(odds.values()) for odds in found]), expected, atol=1e-5, rtol=1e-3)
    assert detect_language(model, context[:0]) == [] == decode_windows(model, context[:0])


def test_half_precision(model, context):
    half = tiny_whisper(positions=POSITIONS, length=64, seed=2).bfloat16()
    config = DecodingConfig(language="en", max_new_tokens=6, beams=2)
    found = decode_windows(half, context.bfloat16(), config)
    assert len(found) == N and all(math.isfinite(one.avg_logprob) for one in found)


def test_the_compression_ratio():
    assert compression_ratio("") == 0.0
    text = "again and " * 40
    assert compression_ratio(text) == len(text) / len(zlib.compress(text.encode())) > 10


def test_a_search_with_fewer_tokens_than_beams():
    search = Search(3, 3, room=2, eot=9)
    search.advance([(-1.0, -1.0, 0, 4), (-2.0, -2.0, 0, 9), (float("-inf"), float("-inf"), 0, 9)])
    assert [one.ids for one in search.running] == [(4,)] * 3 and [one.ids for one in search.finished] == [(9,)]
    assert [one.score for one in search.running] == [-1.0, float("-inf"), float("-inf")]
    search.advance([(-1.5, -0.5, 0, 5), (-3.0, -2.0, 0, 6)])
    assert search.done and [one.ids for one in search.finished] == [(9,), (4, 5), (4, 6)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"task": "transcripe"}, "task is 'transcripe'.*Did you mean"),
        ({"temperature": -1.0}, "temperature is -1.0; it must be at least 0"),
        ({"best_of": 3}, "all the same at temperature 0"),
        ({"beams": 3, "temperature": 0.5}, "beams search for the likeliest"),
        ({"beams": 0}, "beams is 0; it must be a whole number from 1"),
        ({"patience": 2.0}, "patience is 2.0 and beams None"),
        ({"beams": 2, "patience": 0.1}, "patience is 0.1 and beams 2"),
        ({"length_penalty": 2.0}, "length_penalty is 2.0; it must be from 0 to 1"),
        ({"max_new_tokens": 0}, "max_new_tokens is 0"),
        ({"max_initial_timestamp": -0.1}, "max_initial_timestamp is -0.1"),
    ],
)
def test_settings_that_cannot_be(options, message):
    with pytest.raises(ArgumentError, match=message):
        DecodingConfig(**options)


def test_errors(model, context):
    with pytest.raises(ArgumentError, match="There are 1 prompts and 4 windows"):
        decode_windows(model, context, prompts=[[1]])
    with pytest.raises(ArgumentError, match=r"Window 2 of 4 has 73 tokens .* the model reads up to 64"):
        decode_windows(model, context, DecodingConfig(language="en"), prefixes=[[], [5] * 70, [], []])
    with pytest.raises(ArgumentError, match="language is 'eng'"):
        decode_windows(model, context, DecodingConfig(language="eng"))
    with pytest.raises(ArgumentError, match="has no tokenizer"):
        decode_windows(whisper_config(60, positions=POSITIONS).build().eval(), context)
    with pytest.raises(ArgumentError, match="knows English alone"):
        detect_language(tiny_whisper("en", positions=POSITIONS), context)
    options: dict[str, Any]
    for options in ({}, {"beams": 2}, {"temperature": 1.0}):
        with pytest.raises(DataError, match="not numbers"):
            decode_windows(model, context * float("nan"), DecodingConfig(language="en", **options))

"""The tokens of `whisper.decode`: greedy, drawn, searched, with and without timestamps, behind prompts and prefixes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tiny_speech import clips, openai_twin, tiny_whisper

from multimodal.models.speech.decoding import DecodingConfig, decode_windows, detect_language
from multimodal.models.speech.fallback import decode_with_fallback

whisper = pytest.importorskip("whisper")

N, POSITIONS, LONGEST = 4, 32, 96
STEPS = 30 / POSITIONS  # seconds of a timestamp as openai-whisper counts from the positions, here too few


def pair(vocabulary: Any = "multilingual", seed=2):
    """Ours and theirs, with weights by which texts differ, have times in them and end."""
    ours = tiny_whisper(vocabulary, positions=POSITIONS, length=LONGEST, seed=seed)
    assert ours.tokens is not None
    with torch.no_grad():
        words = ours.embedding.words.weight
        words *= 2.5
        words[ours.tokens.eot] *= 8.0
        words[ours.tokens.timestamp_begin :] *= 1.3
    return ours, openai_twin(ours), clips(N, frames=2 * POSITIONS)


@pytest.fixture(scope="module")
def models():
    return pair()


def theirs_alone(model, mel, seed=0, prompts=(), **options):
    """Their results window by window, as openai-whisper searches and draws several texts of one window only."""
    found = []
    for i, window in enumerate(mel):
        torch.manual_seed(seed)
        prompt = list(prompts[i]) if prompts else None
        found.append(whisper.decode(model, window, whisper.DecodingOptions(fp16=False, prompt=prompt, **options)))
    return found


def same(ours, theirs):
    assert [list(one.ids) for one in ours] == [one.tokens for one in theirs]
    for mine, other in zip(ours, theirs, strict=True):
        assert mine.avg_logprob == pytest.approx(other.avg_logprob, abs=1e-4)
        assert mine.no_speech == pytest.approx(other.no_speech_prob, rel=1e-4)
        assert (mine.language, mine.temperature) == (other.language, other.temperature)
        assert len(mine.logprobs) == len(mine.ids)
        if all(id < 50_257 or id >= 50_364 for id in mine.ids):  # they write special tokens into the text, we do not
            assert (mine.text, mine.compression_ratio) == (other.text, other.compression_ratio)


@pytest.mark.parametrize("timestamps", [True, False])
@pytest.mark.parametrize("task", ["transcribe", "translate"])
def test_greedy_windows_in_a_batch(models, timestamps, task):
    model, twin, mel = models
    config = DecodingConfig(task=task, language="de", timestamps=timestamps, max_initial_timestamp=5 * 0.02)
    options = {"task": task, "language": "de", "without_timestamps": not timestamps, "max_initial_timestamp": 5 * STEPS}
    found = decode_windows(model, model.encode(mel), config)
    same(found, whisper.decode(twin, mel, whisper.DecodingOptions(fp16=False, **options)))
    assert len({one.ids for one in found}) == N and len({len(one.ids) for one in found}) > 1, "too easy"
    if timestamps:
        assert any(sum(id >= model.tokens.timestamp_begin for id in one.ids) > 2 for one in found), "too easy"


@pytest.mark.parametrize(
    "beams",
    [
        {"beams": 5},
        {"beams": 5, "patience": 2.0},
        {"beams": 3, "patience": 0.4},
        {"beams": 4, "length_penalty": 0.6},
        {"beams": 5, "timestamps": False},
        {"beams": 1},
    ],
    ids=str,
)
def test_beam_search_in_a_batch(models, beams):
    model, twin, mel = models
    config = DecodingConfig(language="en", max_initial_timestamp=None, max_new_tokens=24, **beams)
    found = decode_windows(model, model.encode(mel), config)
    options = {"beam_size": beams["beams"], "patience": beams.get("patience"), "sample_len": 24}
    options |= {"length_penalty": beams.get("length_penalty"), "without_timestamps": not beams.get("timestamps", True)}
    options["max_initial_timestamp"] = None
    same(found, theirs_alone(twin, mel, language="en", **options))


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("best_of", [None, 4])
def test_draws_with_the_same_seed(models, seed, best_of):
    model, twin, mel = models
    config = DecodingConfig(
        language="en", temperature=0.6, best_of=best_of, seed=seed, max_initial_timestamp=None, max_new_tokens=16
    )
    found = decode_windows(model, model.encode(mel), config)
    options: dict[str, Any] = {"temperature": 0.6, "best_of": best_of, "max_initial_timestamp": None, "sample_len": 16}
    same(found, theirs_alone(twin, mel, seed, language="en", **options))


def test_draws_of_a_batch_from_the_global_generator(models):
    model, twin, mel = models
    config = DecodingConfig(language="en", temperature=0.6, max_initial_timestamp=None)
    options = whisper.DecodingOptions(language="en", temperature=0.6, fp16=False, max_initial_timestamp=None)
    torch.manual_seed(3)
    theirs = whisper.decode(twin, mel, options)
    torch.manual_seed(3)
    same(decode_windows(model, model.encode(mel), config), theirs)


def test_prompts_of_different_length_and_a_prefix(models):
    model, twin, mel = models
    prompts, prefix = [[], [700], list(range(1000, 1009)), list(range(2000, 2100))], [300, 400]  # the last is cut
    for beams in (None, 3):
        config = DecodingConfig(language="en", beams=beams, max_initial_timestamp=None, max_new_tokens=20)
        found = decode_windows(model, model.encode(mel), config, prompts=prompts, prefixes=[prefix] * N)
        options = {"sample_len": 20, "beam_size": beams, "prefix": prefix, "max_initial_timestamp": None}
        same(found, theirs_alone(twin, mel, prompts=prompts, language="en", **options))


def test_a_long_prompt_leaves_less_room(models):
    model, twin, mel = models
    prompts = [list(range(1000, 1100))] * N
    config = DecodingConfig(language="en", max_initial_timestamp=None)
    found = decode_windows(model, model.encode(mel), config, prompts=prompts, prefixes=[[500] * 12] * N)
    options = {"language": "en", "prefix": [500] * 12, "max_initial_timestamp": None}
    same(found, theirs_alone(twin, mel, prompts=prompts, **options))


@pytest.mark.parametrize("vocabulary", ["multilingual", "v3"])
def test_languages_are_detected(vocabulary):
    model, twin, mel = pair(vocabulary, seed=0)
    context = model.encode(mel)
    tokenizer = whisper.tokenizer.get_tokenizer(True, num_languages=twin.num_languages, language="en", task="lang_id")
    _, theirs = twin.detect_language(mel, tokenizer)
    for mine, other in zip(detect_language(model, context), theirs, strict=True):
        assert mine == pytest.approx(other, rel=1e-4)
    options = whisper.DecodingOptions(fp16=False, max_initial_timestamp=None)
    found = decode_windows(model, context, DecodingConfig(max_initial_timestamp=None))
    same(found, whisper.decode(twin, mel, options))
    assert len({one.language for one in found}) > 1, "too easy"


def test_an_english_model():
    model, twin, mel = pair("en")
    options = whisper.DecodingOptions(language="en", fp16=False, max_initial_timestamp=None)
    found = decode_windows(model, model.encode(mel), DecodingConfig(max_initial_timestamp=None))
    assert [one.language for one in found] == ["en"] * N
    assert [list(one.ids) for one in found] == [one.tokens for one in whisper.decode(twin, mel, options)]


def test_blanks_may_come_first(models):
    model, twin, mel = models
    config = DecodingConfig(language="en", suppress_blank=False, timestamps=False)
    options = {"language": "en", "suppress_blank": False, "without_timestamps": True}
    same(decode_windows(model, model.encode(mel), config), theirs_alone(twin, mel, **options))


def test_fallback_tries_the_next_temperature(models):
    model, twin, mel = models
    thresholds = {"logprob": -2.5, "compression": 1.0}
    temperatures, expected, tries = (0.0, 0.4, 0.8), [], []
    for window in mel:
        for temperature in temperatures:
            torch.manual_seed(0)
            choice = {"best_of": 2} if temperature else {"beam_size": 2}
            options = whisper.DecodingOptions(
                language="en",
                fp16=False,
                temperature=temperature,
                max_initial_timestamp=None,
                sample_len=16,
                **choice,
            )
            one = whisper.decode(twin, window, options)
            if one.avg_logprob >= thresholds["logprob"] and one.compression_ratio <= thresholds["compression"]:
                break
        expected.append(one)
        tries.append(one.temperature)
    found = decode_with_fallback(
        model,
        model.encode(mel),
        DecodingConfig(language="en", seed=0, max_initial_timestamp=None, max_new_tokens=16),
        temperatures=temperatures,
        logprob_threshold=thresholds["logprob"],
        compression_threshold=thresholds["compression"],
        beams=2,
        best_of=2,
    )
    same(found, expected)
    assert len(set(tries)) > 1, tries

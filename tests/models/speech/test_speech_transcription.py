"""`transcribe`: what it takes, what it refuses, and recordings that nobody would expect."""

from __future__ import annotations

import io
import wave as wavfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from fake_speech import RATE, deaf_whisper, hearing, said, scripted, turns, voice
from tiny_speech import tiny_whisper

from multimodal.errors import ArgumentError
from multimodal.media import MediaError
from multimodal.models.speech import aligned, stream, transcription
from multimodal.models.speech.languages import language_code
from multimodal.models.speech.transcription import transcribe
from multimodal.models.speech.words import WordTime, words_of

ONE = "<0.00> One.<20.00>"


@pytest.fixture(scope="module")
def model():
    return deaf_whisper()


@pytest.fixture(autouse=True)
def english(monkeypatch):
    hearing(monkeypatch, lambda number: {"en": 0.9, "fr": 0.1})


def write(path: Path, wave: np.ndarray, rate: int = RATE) -> Path:
    soundfile.write(path, wave, rate)
    return path


# What is given


def test_every_kind_of_source(model, monkeypatch, tmp_path):
    wave = voice(20)
    path = write(tmp_path / "a.wav", wave)
    stereo = np.stack([wave, wave], axis=1)
    sources: list[Any] = [path, str(path), path.read_bytes(), io.BytesIO(path.read_bytes()), wave, stereo]
    sources += [(wave, RATE), torch.from_numpy(wave), (torch.from_numpy(wave), RATE)]
    scripted(monkeypatch, alone=[said(model, ONE) for _ in sources])
    for source in sources:
        found = transcribe(model, source)
        assert found.text == "One." and found.seconds == 20.0 and found.source is source


def test_one_window_is_decoded_alone_and_more_in_a_batch(model, monkeypatch):
    batch, _ = scripted(monkeypatch, batch=[said(model, ONE)] * 4, alone=[said(model, ONE)] * 5)
    assert [s.decoded for s in transcribe(model, turns(1)[: 30 * RATE]).segments] == ["sequential"]
    assert batch.asked == []
    assert [s.decoded for s in transcribe(model, turns(2)).segments] == ["batched"] * 2
    several = transcribe(model, [voice(20), voice(21)])
    assert [t.text for t in several] == ["One.", "One."] and len(batch.asked) == 2


def test_what_is_long_is_streamed(model, monkeypatch):
    monkeypatch.setattr(transcription, "WHOLE", 1.0)
    monkeypatch.setattr(transcription, "read_audio", None)
    scripted(monkeypatch, alone=[said(model, "<0.00> One.<30.00>"), said(model, "<0.00> Two.<10.00>")])
    found = transcribe(model, voice(40), batch_size=1)
    assert [(s.start, s.text) for s in found.segments] == [(0.0, "One."), (30.0, "Two.")] and found.seconds == 40.0


@pytest.mark.parametrize("size", [1, 2])
def test_words(size, model, monkeypatch):
    def half_a_second_each(model, context, ids, *, frames, **options):
        words = words_of(model.tokenizer, ids, eot=model.tokens.eot)
        return [WordTime(text, i / 2, i / 2 + 0.5, 0.5, tuple(part)) for i, (text, part) in enumerate(words)]

    monkeypatch.setattr(aligned, "word_times", half_a_second_each)
    answers = [said(model, "<0.00> One, two.<9.00><9.00> Three!<20.00>"), said(model, "<0.00> Four.<20.00>")]
    scripted(monkeypatch, batch=answers, alone=answers)
    found = transcribe(model, turns(2)[: 52 * RATE], batch_size=size, timestamps="word")
    texts = [[word.text for word in segment.words] for segment in found.segments]
    assert texts == [[" One,", " two."], [" Three!"], [" Four."]]
    for segment in found.segments:
        assert (segment.start, segment.end) == (segment.words[0].start, segment.words[-1].end)
        assert all(0 < word.end - word.start <= 1 for word in segment.words)
    assert found.segments[2].start == pytest.approx(30.0 if size == 1 else 31.8, abs=0.05)


def test_words_in_one_moment_do_not_take_their_text_with_them(model, monkeypatch):
    def at_once(model, context, ids, **options):
        return [WordTime(" One.", 0.0, 0.0, 0.5, tuple(ids))]

    monkeypatch.setattr(aligned, "word_times", at_once)
    scripted(monkeypatch, batch=[said(model, ONE)] * 2)
    found = transcribe(model, turns(2), timestamps="word")
    assert [s.text for s in found.segments] == ["One.", "One."] and found.segments[0].end == 20.0


def test_the_model_is_left_as_it_was(model, monkeypatch):
    scripted(monkeypatch, alone=[said(model, ONE)])
    model.train()
    try:
        transcribe(model, voice(20))
        assert model.training and model.decoder.training
    finally:
        model.eval()


def test_translation_and_the_language_given(model, monkeypatch):
    _, alone = scripted(monkeypatch, alone=[said(model, ONE)])
    found = transcribe(model, voice(20), language="German", task="translate", beams=3, prompt=" Ada ")
    config, prompts = alone.asked[0]
    assert (found.language, found.task) == ("de", "translate")
    assert (config.decoding.language, config.decoding.task, config.decoding.beams) == ("de", "translate", 3)
    assert model.tokenizer.decode(prompts[0]) == " Ada"


# What is refused


@pytest.mark.parametrize(
    "options, message",
    [
        ({"language": "Germn"}, r"language is 'Germn', which is none that this model knows\. Did you mean 'German'"),
        ({"language": "xx"}, r"language is 'xx'.*Give a code or an English name, such as en \(English\)"),
        ({"task": "translat"}, r"task is 'translat'.*Did you mean 'translate'"),
        ({"timestamps": "words"}, r"timestamps is 'words'; it must be one of 'segment', 'word', 'none'.*'word'"),
        ({"batch_size": 0}, "batch_size is 0; it must be at least 1"),
        ({"beams": 0}, "beams is 0"),
        ({"temperatures": ()}, "temperatures is empty"),
        ({"beam": 5}, r"beam is not an option of transcribing\. Did you mean 'beams'"),
    ],
)
def test_what_cannot_be_asked(options: dict[str, Any], message, model):
    with pytest.raises(ArgumentError, match=message):
        transcribe(model, voice(1), **options)


def test_english_alone():
    english = deaf_whisper("en")
    refused: list[dict[str, Any]] = [{"language": "de"}, {"task": "translate"}]
    for options in refused:
        with pytest.raises(ArgumentError):
            transcribe(english, voice(1), **options)


def test_languages_by_name():
    known = ["en", "zh", "de", "pt", "yue", "my"]
    for name, code in {
        "en": "en", "DE": "de", "german": "de", "Mandarin": "zh", "pt-BR": "pt", "zh_CN": "zh", "Burmese": "my",
        "Cantonese": "yue",
    }.items():  # fmt: skip
        assert language_code(name, known) == code
    with pytest.raises(ArgumentError, match="'Frnch'"):
        language_code("Frnch", known)


# What recordings may be


def test_silence_noise_and_one_sample_have_no_text(monkeypatch):
    model = tiny_whisper(length=48)  # it would say something
    rng = np.random.default_rng(0)
    silence = np.zeros(35 * RATE, dtype=np.float32)
    noise = (0.05 * rng.standard_normal(35 * RATE)).astype(np.float32)
    for wave in (silence, silence[: 10 * RATE], noise, voice(0.00007), np.zeros(1, dtype=np.float32)):
        found = transcribe(model, wave)
        assert found.text == "" and found.segments == () and found.seconds == len(wave) / RATE
    assert [t.text for t in transcribe(model, [silence, noise])] == ["", ""]
    assert transcribe(model, silence, batch_size=1).segments == ()


def test_eight_channels_and_192_khz(model, monkeypatch, tmp_path):
    wave = voice(20)
    times = np.arange(20 * 192_000) / 192_000
    fast = np.interp(times, np.arange(len(wave)) / RATE, wave)
    many = write(tmp_path / "many.wav", np.stack([wave] * 8, axis=1))
    scripted(monkeypatch, alone=[said(model, ONE)] * 2)
    for source in (many, write(tmp_path / "fast.flac", fast, 192_000)):
        found = transcribe(model, source)
        assert found.text == "One." and found.seconds == pytest.approx(20.0, abs=0.01)


def test_the_sound_of_a_video(model, monkeypatch, tmp_path):
    av = pytest.importorskip("av")
    path = tmp_path / "talk.mp4"
    with av.open(str(path), "w") as container:
        video = container.add_stream("mpeg4", rate=5)
        video.width = video.height = 32
        audio = container.add_stream("aac", rate=RATE)
        for _ in range(25):
            picture = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), dtype=np.uint8), format="rgb24")
            container.mux(video.encode(picture))
        samples = np.ascontiguousarray(voice(20)[None])
        for start in range(0, samples.shape[1], 1024):
            frame = av.AudioFrame.from_ndarray(samples[:, start : start + 1024], format="fltp", layout="mono")
            frame.sample_rate, frame.pts = RATE, start
            container.mux(audio.encode(frame))
        container.mux(audio.encode(None))
        container.mux(video.encode(None))
    scripted(monkeypatch, alone=[said(model, ONE)])
    found = transcribe(model, path)
    assert found.text == "One." and found.seconds == pytest.approx(20.0, abs=0.2)


def broken(tmp_path: Path) -> dict[str, Path]:
    """Recordings that cannot be read, by what is wrong with them."""
    text, empty, header = tmp_path / "notes.wav", tmp_path / "empty.wav", tmp_path / "header.wav"
    text.write_text("This is no sound.\n" * 10)
    empty.write_bytes(b"")
    with wavfile.open(str(header), "wb") as file:
        file.setparams((1, 2, RATE, 0, "NONE", ""))
    flac = write(tmp_path / "cut.flac", voice(20))
    flac.write_bytes(flac.read_bytes()[: flac.stat().st_size // 2])
    bad = np.full(RATE, np.nan, dtype=np.float32)
    soundfile.write(tmp_path / "nan.wav", bad, RATE, subtype="FLOAT")
    return {"text": text, "empty": empty, "zero-length": header, "cut": flac, "nan": tmp_path / "nan.wav"}


@pytest.mark.parametrize("size", [1, None])
def test_what_cannot_be_read_is_named_and_left_out(size, model, monkeypatch, tmp_path):
    bad = broken(tmp_path)
    good = [write(tmp_path / "a.wav", voice(20)), write(tmp_path / "z.wav", voice(20))]
    missing = tmp_path / "missing.wav"
    errors: list[tuple[Any, str]] = []
    scripted(monkeypatch, batch=[said(model, ONE)] * 9, alone=[said(model, ONE)] * 9)
    sources = [good[0], *bad.values(), missing, good[1]]
    found = transcribe(model, sources, batch_size=size, errors=errors)
    assert [t.source for t in found] == good and {t.text for t in found} == {"One."}
    assert sorted(str(source) for source, _ in errors) == sorted(map(str, [*bad.values(), missing]))
    for source, reason in errors:
        assert Path(source).name in reason and reason.endswith(".") and "\n" not in reason


def test_without_a_list_of_errors_the_first_is_raised(model, tmp_path):
    for path in broken(tmp_path).values():
        with pytest.raises(MediaError, match=path.name):
            transcribe(model, path)
    assert transcribe(model, tmp_path / "none.wav", errors=[]) is None


def test_progress_counts_seconds_of_audio(model, monkeypatch):
    counted: list[int] = []

    def track(items, total, what, *, size):
        assert (total, what) == (64 + 20, "seconds of audio")
        for item in items:
            counted.append(size(item))
            yield item

    monkeypatch.setattr(stream, "track", track)
    scripted(monkeypatch, batch=[said(model, ONE)] * 3)
    transcribe(model, [turns(2), voice(20)])
    assert sum(counted) == 84 and all(count >= 0 for count in counted)
    counted.clear()
    scripted(monkeypatch, alone=[said(model, "<0.00> One.<30.00>")] * 4)
    transcribe(model, [turns(2), voice(20)], batch_size=1)
    assert sum(counted) == 84


def test_thresholds_reach_the_decoder(model, monkeypatch):
    _, alone = scripted(monkeypatch, alone=[said(model, ONE)])
    transcribe(model, voice(20), logprob_threshold=None, compression_threshold=3.0, no_speech_threshold=0.9)
    config = alone.asked[0][0]
    assert (config.logprob, config.compression, config.no_speech) == (None, 3.0, 0.9)

"""One window after the other: where each begins, what it is told, and what is dropped."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from fake_speech import RATE, deaf_whisper, hearing, said, scripted, voice

from multimodal.models.speech import windows
from multimodal.models.speech.options import DecodingConfig
from multimodal.models.speech.segments import cut, text_of
from multimodal.models.speech.sequential import LongFormConfig, sequential
from multimodal.models.speech.windows import StreamedWindows, WholeWindows

CONFIG = LongFormConfig(decoding=DecodingConfig(language="en"))
MINUTE = voice(60)


@pytest.fixture(scope="module")
def model():
    return deaf_whisper()


def run(model, monkeypatch, *answers, wave=MINUTE, config=CONFIG, prompt=()):
    """The steps, and what the windows were told, as texts."""
    _, alone = scripted(monkeypatch, alone=[said(model, a) if isinstance(a, str) else a for a in answers])
    steps = list(sequential(model, WholeWindows(model, wave), config, prompt=prompt))
    assert alone.answers == [], "every window was decoded"
    return steps, [text_of(model, prompts[0]) for _, prompts in alone.asked]


B = 100  # <|0.00|>


@pytest.mark.parametrize(
    "ids, pieces, advance, closed",
    [
        # (start, end, first, last) in seconds; frames of 10 ms to the next window
        ([B, 1, 2, B + 100], [(0.0, 2.0, 0, 4)], 2500, True),
        ([B + 50, 1, B + 100, B + 100, 2, B + 200], [(1.0, 2.0, 0, 3), (2.0, 4.0, 3, 6)], 2500, True),
        ([B, 1, B + 100, B + 120], [(0.0, 2.0, 0, 3)], 200, False),
        ([B, 1, B + 100, B + 120, 2, 3], [(0.0, 2.0, 0, 3)], 200, False),
        ([B, 1, B + 9, B + 9, 2, B + 50, B + 60], [(0.0, 0.18, 0, 3), (0.18, 1.0, 3, 6)], 100, False),
        ([B, 1, 2], [(0.0, 25.0, 0, 3)], 2500, False),
        ([1, 2], [(0.0, 25.0, 0, 2)], 2500, False),
        ([B + 50, 1], [(0.0, 1.0, 0, 2)], 2500, False),
        ([], [(0.0, 25.0, 0, 0)], 2500, False),
        ([B], [(0.0, 25.0, 0, 1)], 2500, False),
    ],
)
def test_where_segments_begin_and_end(ids, pieces, advance, closed):
    found = cut(ids, B, frames=2500)
    assert [tuple(piece) for piece in found.pieces] == [pytest.approx(piece) for piece in pieces]
    assert (found.advance, found.closed) == (advance, closed)


def test_a_window_begins_where_the_last_segment_ended(model, monkeypatch):
    answers = "<0.00> One.<12.00><12.00> Tw", "<0.00> Two.<10.00><11.00> Three.<29.00>", "<0.00> Four.<5.00>"
    steps, told = run(model, monkeypatch, *answers)
    found = [(s.start, s.end, s.text, s.decoded) for step in steps for s in step.segments]
    assert found == [
        (0.0, 12.0, "One.", "sequential"), (12.0, 22.0, "Two.", "sequential"), (23.0, 41.0, "Three.", "sequential"),
        (42.0, 47.0, "Four.", "sequential"),
    ]  # fmt: skip
    assert [step.seconds for step in steps] == [12.0, 42.0, 60.0]
    assert told == ["", "One.", "One. Two. Three."], "and is told what was said before"


def test_windows_that_are_not_told_the_text_before(model, monkeypatch):
    answers = "<0.00> One.<30.00>", "<0.00> Two.<30.00>"
    assert run(model, monkeypatch, *answers, config=replace(CONFIG, condition=False))[1] == ["", ""]
    hint = list(model.tokenizer.encode(" Ada", special=False).ids)
    assert run(model, monkeypatch, *answers, prompt=hint)[1] == ["Ada", "Ada One."]
    told = run(model, monkeypatch, *answers, prompt=hint, config=replace(CONFIG, condition=False))[1]
    assert told == ["Ada", ""], "a prompt is for the first window"


@pytest.mark.parametrize("temperature, expected", [(0.4, "One. Two."), (0.6, "")])
def test_a_guess_is_not_told(temperature, expected, model, monkeypatch):
    guess = said(model, "<0.00> Two.<30.00>", temperature=temperature)
    wave = voice(85)
    told = run(model, monkeypatch, "<0.00> One.<30.00>", guess, "<0.00> Three.<25.00>", wave=wave)[1]
    assert told == ["", "One.", expected]


@pytest.mark.parametrize(
    "figures, config, dropped",
    [
        ({"no_speech": 0.7, "logprob": -1.1}, {}, True),
        ({"no_speech": 0.7, "logprob": -0.9}, {}, False),
        ({"no_speech": 0.5, "logprob": -1.1}, {}, False),
        ({"no_speech": 0.7, "logprob": -0.9}, {"logprob": None}, True),
        ({"no_speech": 0.7, "logprob": -1.1}, {"no_speech": None}, False),
    ],
)
def test_windows_in_which_nobody_speaks(figures, config, dropped, model, monkeypatch):
    silent = said(model, "<0.00> Thanks for watching!<3.00><3.00>", **figures)
    answers = [silent, "<0.00> Two.<30.00>"] if dropped else [silent, "<0.00> Two.<30.00>", "<0.00> Three.<20.00>"]
    steps, told = run(model, monkeypatch, *answers, config=replace(CONFIG, **config))
    texts = [s.text for step in steps for s in step.segments]
    assert texts == (["Two."] if dropped else ["Thanks for watching!", "Two.", "Three."])
    assert told[1] == ("" if dropped else "Thanks for watching!")


def test_segments_without_text_or_length_are_dropped_and_not_told(model, monkeypatch):
    steps, told = run(model, monkeypatch, "<0.00> <2.00><2.00> A.<2.00><2.00> B.<30.00>", "<0.00> C.<30.00>")
    assert [s.text for step in steps for s in step.segments] == ["B.", "C."] and told[1] == "B."


def test_digital_silence_is_not_decoded(model, monkeypatch):
    wave = np.concatenate([voice(30), np.zeros(60 * RATE, dtype=np.float32), voice(10)])
    steps, _ = run(model, monkeypatch, "<0.00> One.<30.00>", "<0.00> Two.<10.00>", wave=wave)
    assert [(s.start, s.text) for step in steps for s in step.segments] == [(0.0, "One."), (90.0, "Two.")]
    assert [step.seconds for step in steps] == [30.0, 60.0, 90.0, 100.0]


def test_the_language_is_that_of_the_first_window_with_sound(model, monkeypatch):
    hearing(monkeypatch, lambda number: {"de": 0.9} if number == 0 else {"fr": 0.9})
    wave = np.concatenate([np.zeros(30 * RATE, dtype=np.float32), MINUTE])
    _, alone = scripted(monkeypatch, alone=[said(model, "<0.00> Eins.<30.00>"), said(model, "<0.00> Zwei.<30.00>")])
    steps = list(sequential(model, WholeWindows(model, wave), LongFormConfig()))
    assert [step.language for step in steps] == [None, "de", "de"]
    assert [config.decoding.language for config, _ in alone.asked] == ["de", "de"]


# Windows


@pytest.mark.parametrize("size", [RATE * 30, 12_345])
def test_streamed_windows_hold_the_same_sound(size, model):
    wave = np.concatenate([MINUTE, np.zeros(5 * RATE + 77, dtype=np.float32)])
    pieces = (wave[i : i + size] for i in range(0, len(wave), size))
    whole, streamed = WholeWindows(model, wave), StreamedWindows(model, pieces)
    for frame in (0, 1, 1234, 3000, 4500, 6499):
        assert streamed.silent(frame) == whole.silent(frame)
        a, b = whole.at(frame), streamed.at(frame)
        assert a is not None and b is not None and a[1] == b[1]
        same = windows.window_features(model, [wave[frame * 160 : frame * 160 + 480_000]])
        assert torch.equal(b[0][:, :, : b[1]], same[:, :, : b[1]]), "features of the window alone"
        assert torch.all(b[0][:, :, b[1] :] == 0), "and zeros behind, as openai's"
    assert whole.at(6500) is None and streamed.at(6500) is None
    assert streamed.seconds == whole.seconds == len(wave) / RATE


def test_features_are_relative_to_the_whole_recording(model):
    wave = np.concatenate([voice(35, loud=0.01), voice(5, loud=0.9)])
    found = WholeWindows(model, wave).at(0)
    assert found is not None
    padded = torch.from_numpy(np.pad(wave, (0, 480_000)))[None]
    assert torch.equal(found[0], model.features(padded)[:, :, :3000])
    late = WholeWindows(model, wave).at(3900)
    assert late is not None and late[1] == 100 and torch.all(late[0][:, :, 100:] == 0)


def test_of_ten_hours_a_minute_is_held(model, monkeypatch):
    monkeypatch.setattr(windows, "window_features", lambda model, waves: torch.zeros(1, 80, 3000))
    piece = np.full(30 * RATE, 0.1, dtype=np.float32)
    streamed = StreamedWindows(model, (piece for _ in range(1200)))
    frame = 0
    while streamed.at(frame) is not None:
        assert len(streamed._wave) <= 61 * RATE
        frame += 2900
    assert streamed.seconds == 36_000.0

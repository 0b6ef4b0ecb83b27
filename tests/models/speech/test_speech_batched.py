"""Batches of windows: what is trusted stays, and each known fault of batches has its window decoded again."""

from __future__ import annotations

from dataclasses import replace

import pytest
from fake_speech import deaf_whisper, hearing, said, scripted, turns

from multimodal.models.speech.transcription import stream, transcribe

# Three windows, which begin at 0, 32 and 64 s.
TEXTS = (
    "<0.00> My name is Ada.<9.80><10.00> I write programs.<20.00>",
    "<0.00> They are for a machine that was never built.<20.00>",
    "<0.00> It would have weaved patterns of numbers.<20.00>",
)
SPOKEN = (
    "My name is Ada. I write programs.",
    "They are for a machine that was never built.",
    "It would have weaved patterns of numbers.",
)
CORRECTED = "<0.00> What was really said<12.00><12.00> and goes"


@pytest.fixture(scope="module")
def model():
    return deaf_whisper()


@pytest.fixture(autouse=True)
def english(monkeypatch):
    hearing(monkeypatch, lambda number: {"en": 0.9, "fr": 0.1})


def test_windows_that_are_trusted(model, monkeypatch):
    batch, alone = scripted(monkeypatch, batch=[said(model, text) for text in TEXTS])
    found = transcribe(model, turns(3))
    assert found.text == " ".join(SPOKEN) and found.language == "en" and found.seconds == 96.0
    assert [(round(s.start, 1), round(s.end, 1), s.text) for s in found.segments] == [
        (0.0, 9.8, "My name is Ada."), (10.0, 20.0, "I write programs."),
        (31.8, 51.8, SPOKEN[1]), (63.8, 83.8, SPOKEN[2]),
    ]  # fmt: skip
    assert {(s.decoded, s.why) for s in found.segments} == {("batched", None)}
    assert found.segments[0].confidence == pytest.approx(0.9048, abs=1e-4)
    assert len(batch.asked) == 1 and alone.asked == [], "all at once, and never again"
    assert batch.asked[0][0].temperatures == (0.0,) and batch.asked[0][0].decoding.language == "en"


FAULTS = {
    "loses the first half": ("<10.00> a machine that was never built.<20.00>", {}, "no text for 10.4 of 20.4 s"),
    "loses the middle": ("<0.00> They are<3.00><8.00> for a machine.<20.00>", {}, "no text for 5.4 of 20.4 s"),
    "loses all": ("<0.00><0.00>", {}, "no text for 20"),
    "breaks off": ("<0.00> They are for a machine that<18.50><18.50>", {}, "no text for the last 1.9 s"),
    "hears nothing": (TEXTS[1], {"no_speech": 0.9, "logprob": -1.5}, "no text for 20"),
    "repeats a phrase": (f"<0.00>{' for a machine' * 5}<20.00>", {}, "repeats 'for a machine'"),
    "repeats itself": (TEXTS[1], {"compression": 2.7}, "repeats itself (compression ratio 2.7)"),
    "repeats the window before": (TEXTS[0], {}, "repeats the window before"),
    "repeats the prompt": ("<0.00> Glossary: Ada, Babbage. They are<20.00>", {}, "repeats the prompt"),
    "is not sure": (TEXTS[1], {"logprob": -1.2}, "unsure (mean log-probability -1.2)"),
    "says too much": (f"<0.00> {' '.join(map(str, range(300)))}<20.00>", {}, "1089 letters in 20"),
    "changes its letters": ("<0.00> Они для машины, которую не построили.<20.00>", {}, "written in Cyrillic letters"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_suspect_window_is_decoded_again(fault, model, monkeypatch):
    text, figures, why = FAULTS[fault]
    batch = [said(model, TEXTS[0]), said(model, text, **figures), said(model, TEXTS[2])]
    end = said(model, "<0.00> The end.<7.50>")
    batched, alone = scripted(monkeypatch, batch=batch, alone=[said(model, CORRECTED), end])
    found = transcribe(model, turns(3), prompt="Glossary: Ada, Babbage.")
    assert [s.decoded for s in found.segments] == ["batched", "batched", "again", "again", "batched"]
    assert [s.text for s in found.segments[2:4]] == ["What was really said", "The end."]
    assert [(round(s.start, 1), round(s.end, 1)) for s in found.segments[2:4]] == [(31.8, 43.8), (43.8, 51.3)]
    assert {s.why for s in found.segments[2:4]} == {found.segments[2].why}
    assert str(found.segments[2].why).startswith(why)
    assert {s.why for s in found.segments} == {None, found.segments[2].why}
    assert len(batched.asked) == 1 and len(alone.asked) == 2 and alone.asked[0][0].temperatures[-1] == 1.0
    first = model.tokenizer.decode([id for id in alone.asked[0][1][0] if id < model.tokens.eot]).strip()
    assert first == ("" if "prompt" in fault else SPOKEN[0]), "it is told the trusted text before it"


def test_a_window_that_sounds_like_another_language_is_decoded_again(model, monkeypatch):
    hearing(monkeypatch, lambda number: {"en": 0.02, "fr": 0.95} if number == 1 else {"en": 0.9})
    scripted(monkeypatch, batch=[said(model, text) for text in TEXTS], alone=[said(model, "<0.00> Right.<20.00>")])
    found = transcribe(model, turns(3))
    assert [s.decoded for s in found.segments] == ["batched", "batched", "again", "batched"]
    assert found.segments[2].why == "sounds like 'fr' (0.95), the recording like 'en'" and found.language == "en"


def test_a_window_without_text_in_the_end_is_dropped(model, monkeypatch):
    silent = said(model, TEXTS[1], no_speech=0.9, logprob=-1.5)
    scripted(monkeypatch, batch=[said(model, TEXTS[0]), silent, said(model, TEXTS[2])], alone=[silent])
    assert transcribe(model, turns(3)).text == f"{SPOKEN[0]} {SPOKEN[2]}"


def test_after_a_window_that_was_not_trusted_only_the_prompt_is_told(model, monkeypatch):
    bad = said(model, "<10.00> half<20.00>")
    _, alone = scripted(monkeypatch, batch=[bad, bad, bad], alone=[said(model, text) for text in TEXTS])
    transcribe(model, turns(3), prompt="Ada")
    told = model.tokenizer.encode(" Ada", special=False).ids
    assert [prompts for _, prompts in alone.asked] == [[list(told)]] * 3


def test_without_conditioning_nothing_is_told(model, monkeypatch):
    batch = [said(model, TEXTS[0]), said(model, "<10.00> half<20.00>")]
    _, alone = scripted(monkeypatch, batch=batch, alone=[said(model, TEXTS[1])])
    transcribe(model, turns(2), condition=False)
    assert [prompts for _, prompts in alone.asked] == [[[]]]


def test_the_language_is_the_likeliest_over_the_windows_of_the_batch(model, monkeypatch):
    odds = [{"fr": 0.6, "en": 0.4}, {"fr": 0.1, "en": 0.9}, {"fr": 0.2, "en": 0.8}]
    hearing(monkeypatch, lambda number: odds[number])
    scripted(monkeypatch, batch=[said(model, text) for text in TEXTS])
    assert transcribe(model, turns(3)).language == "en"


def test_recordings_share_batches_and_keep_their_languages(model, monkeypatch):
    hearing(monkeypatch, lambda number: {"de": 0.9} if number == 2 else {"en": 0.9})
    german = said(model, "<0.00> Sie sind für eine Maschine.<20.00>")
    batch, _ = scripted(monkeypatch, batch=[said(model, TEXTS[0]), said(model, TEXTS[1]), german])
    found = list(stream(model, [turns(2), turns(1)]))
    assert [place for place, _ in found] == [0, 1]
    assert [t.language for _, t in found] == ["en", "de"] and found[1][1].text == "Sie sind für eine Maschine."
    assert [config.decoding.language for config, _ in batch.asked] == ["en", "de"]


@pytest.mark.parametrize("size, calls", [(2, 2), (3, 1), (None, 1)])
def test_a_batch_has_as_many_windows_as_asked(size, calls, model, monkeypatch):
    batch, _ = scripted(monkeypatch, batch=[said(model, text) for text in TEXTS])
    assert transcribe(model, turns(3), batch_size=size).text == " ".join(SPOKEN)
    assert len(batch.asked) == calls


def test_what_lies_behind_the_window_is_cut_off(model, monkeypatch):
    text = "<0.00> They are for a machine.<24.00><25.00> Thanks for watching!<29.00>"
    scripted(monkeypatch, batch=[said(model, text), said(model, TEXTS[1])])
    found = transcribe(model, turns(2))
    assert [s.text for s in found.segments] == ["They are for a machine.", SPOKEN[1]]
    assert found.segments[0].end == pytest.approx(20.2, abs=0.05)


def test_without_timestamps_a_window_is_a_segment(model, monkeypatch):
    scripted(monkeypatch, batch=[said(model, f" {text}") for text in SPOKEN])
    found = transcribe(model, turns(3), timestamps="none")
    assert [s.text for s in found.segments] == list(SPOKEN)
    assert [round(s.start) for s in found.segments] == [0, 32, 64]


def test_english_alone_needs_no_detection(monkeypatch):
    english = deaf_whisper("en")
    monkeypatch.undo()
    scripted(monkeypatch, batch=[replace(said(english, text)) for text in TEXTS])
    assert transcribe(english, turns(3)).language == "en"

"""Transcriptions as files: subtitles are read back by a parser that knows the format's rules and nothing of ours."""

from __future__ import annotations

import json
import random
import re
from typing import Any

import numpy as np
import pytest

from multimodal.errors import ArgumentError
from multimodal.models.speech.formats import FORMATS, apart, clock, render
from multimodal.models.speech.result import Segment, Transcription, Word

HOUR = 3600.0


def transcription(*segments: Segment, source: Any = "talk.wav") -> Transcription:
    text = " ".join(segment.text for segment in segments)
    return Transcription(source=source, text=text, language="en", seconds=2 * HOUR, segments=segments)


def said(start: float, end: float, text: str) -> Segment:
    """A segment whose words share its time evenly."""
    words = text.split()
    edges = np.linspace(start, end, len(words) + 1).tolist()
    parts = zip(words, edges[:-1], edges[1:], strict=True)
    return Segment(start=start, end=end, text=text, words=tuple(Word(f" {w}", a, b, 0.9) for w, a, b in parts))


TALK = transcription(said(0.0, 1.9996, "Hello there."), said(2.5, HOUR + 62.0034, "A & B <i> --> C\n\n7"))

_SRT = re.compile(r"(\d\d):([0-5]\d):([0-5]\d),(\d{3}) --> (\d\d):([0-5]\d):([0-5]\d),(\d{3})")


def read_srt(text: str) -> list[tuple[int, int, str]]:
    """Cues of a SubRip file in milliseconds; anything against the rules fails."""
    cues = []
    assert not text or (text.endswith("\n") and not text.endswith("\n\n"))
    for number, block in enumerate(text.rstrip("\n").split("\n\n") if text else [], start=1):
        head, times, *lines = block.split("\n")
        assert head == str(number)
        match = _SRT.fullmatch(times)
        assert match, times
        h, m, s, x, H, M, S, X = map(int, match.groups())
        assert lines and all(line.strip() and "-->" not in line for line in lines)
        start, end = ((h * 60 + m) * 60 + s) * 1000 + x, ((H * 60 + M) * 60 + S) * 1000 + X
        assert start < end and (not cues or cues[-1][1] <= start)
        cues.append((start, end, "\n".join(lines)))
    return cues


def test_srt():
    assert read_srt(render(TALK, "srt")) == [(0, 2000, "Hello there."), (2500, 3662003, "A & B <i> -> C 7")]
    assert render(TALK, "srt").startswith(
        "1\n00:00:00,000 --> 00:00:02,000\nHello there.\n\n2\n00:00:02,500 --> 01:01:0"
    )


def test_srt_of_words_has_one_word_a_cue():
    cues = read_srt(render(transcription(said(1.0, 2.0, "one two")), "srt", words=True))
    assert cues == [(1000, 1500, "one"), (1500, 2000, "two")]


def test_cues_never_overlap_whatever_the_times_are():
    rng = random.Random(0)
    for _ in range(50):
        starts = [rng.choice([0.0, 1.0, 1.0004, rng.uniform(0, 5)]) for _ in range(rng.randrange(12))]
        segments = [said(start, start + rng.choice([0.0, 0.0003, 1.0, -1.0, 9.0]), f"word{i}")
                    for i, start in enumerate(starts)]  # fmt: skip
        cues = read_srt(render(transcription(*segments), "srt"))
        assert sorted(text for _, _, text in cues) == sorted(segment.text for segment in segments)
        assert len(render(transcription(*segments), "vtt").split("\n\n")) == 1 + len(segments)


def test_the_earlier_of_two_overlapping_cues_ends_early():
    assert apart([(5, 9, "b"), (0, 7, "a"), (20, 30, "c")]) == [(0, 5, "a"), (5, 9, "b"), (20, 30, "c")]
    assert apart([(0, 0, "a"), (0, 3, "b")]) == [(0, 1, "a"), (1, 3, "b")]


def test_clock():
    assert clock(0) == "00:00:00.000" and clock(3_599_999) == "00:59:59.999" and clock(36_000_000) == "10:00:00.000"


def test_vtt_escapes_its_markup():
    expected = (
        "WEBVTT\n\n00:00:00.000 --> 00:00:02.000\nHello there.\n\n"
        "00:00:02.500 --> 01:01:02.003\nA &amp; B &lt;i&gt; --&gt; C 7\n"
    )
    assert render(TALK, "vtt") == expected


def test_vtt_has_the_time_of_each_word_inside_its_line():
    words = (Word(" one", 1.0, 1.2), Word(" <two>", 1.2, 1.5), Word("three", 1.1, 1.6), Word(" four", 2.0, 2.0))
    segment = Segment(start=1.0, end=2.0, text="one <two>three four", words=words)
    cue = render(transcription(segment), "vtt", words=True).split("\n")[3]
    assert cue == "one <00:00:01.200>&lt;two&gt;three four", "times rise and lie inside of the cue"


def test_txt_and_tsv():
    assert render(TALK, "txt") == "Hello there.\nA & B <i> --> C 7\n"
    tabbed = transcription(said(0.0, 1.25, "a\tb"), Segment(start=2.0, end=3.0, text=" "))
    assert render(tabbed, "tsv") == "start\tend\ttext\n0\t1250\ta b\n"
    assert render(tabbed, "tsv", words=True) == "start\tend\ttext\n0\t625\ta\n625\t1250\tb\n"


def test_json_says_all_that_is_known():
    segment = Segment(
        start=0.0, end=1.0, text="Ünïcode", ids=(50364, 7), words=(Word(" Ünïcode", 0.0, 1.0, 0.25),), confidence=0.5,
        avg_logprob=float("nan"), no_speech=0.123456, compression_ratio=0.9, temperature=0.2, decoded="again", why="x",
    )  # fmt: skip
    text = render(transcription(segment), "json", words=True)
    assert "Ünïcode" in text
    found = json.loads(text)
    assert {name: found[name] for name in ("source", "language", "task", "seconds", "text")} == {
        "source": "talk.wav", "language": "en", "task": "transcribe", "seconds": 7200.0, "text": "Ünïcode"
    }  # fmt: skip
    assert found["segments"] == [
        {"id": 0, "start": 0.0, "end": 1.0, "text": "Ünïcode", "ids": [50364, 7], "confidence": 0.5,
         "avg_logprob": None, "no_speech": 0.1235, "compression_ratio": 0.9, "temperature": 0.2,
         "decoded": "again", "why": "x",
         "words": [{"text": " Ünïcode", "start": 0.0, "end": 1.0, "probability": 0.25}]}
    ]  # fmt: skip
    assert "words" not in json.loads(render(transcription(segment), "json"))["segments"][0]
    assert json.loads(render(transcription(source=np.zeros(3)), "json"))["source"] is None


@pytest.mark.parametrize("format", FORMATS)
def test_silence_is_an_empty_file(format):
    text = render(transcription(), format, words=True)
    expected = {"txt": "", "srt": "", "vtt": "WEBVTT\n", "tsv": "start\tend\ttext\n"}
    assert json.loads(text)["segments"] == [] if format == "json" else text == expected[format]


def test_what_cannot_be_written_is_refused():
    with pytest.raises(ArgumentError, match=r"format is 'src'.* Did you mean 'srt'\?"):
        render(TALK, "src")
    with pytest.raises(ArgumentError, match=r"format is 'docx'.* Give one of txt, srt"):
        render(TALK, "docx")
    with pytest.raises(ArgumentError, match="has none; transcribe with timestamps='word'"):
        render(transcription(Segment(start=0.0, end=1.0, text="a")), "srt", words=True)


def test_a_segment_without_words_is_kept_whole():
    mixed = transcription(said(0.0, 1.0, "a b"), Segment(start=1.0, end=2.0, text="c d"))
    assert [text for _, _, text in read_srt(render(mixed, "srt", words=True))] == ["a", "b", "c d"]

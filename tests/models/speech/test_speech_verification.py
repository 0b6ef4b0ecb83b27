"""What makes the text of a window suspect, and that ordinary texts are not."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from multimodal.models.speech.verification import flipped, missed, repeated, scripts, strange_script, too_much

SPEECH = np.zeros(2000, dtype=bool)
SPEECH[100:1100], SPEECH[1500:1800] = True, True  # 10 and 3 seconds

TALK = (
    "Well, the the point is that we never, never said so. We said that it would be done, and it was done. "
    "No, no, no. That is not what I said."
)


@pytest.mark.parametrize(
    "spans, message",
    [
        ([(0.0, 20.0)], None),
        ([(1.2, 11.0), (15.1, 17.9)], None),
        ([(1.0, 10.0), (15.0, 18.0)], None),
        ([(1.0, 11.0)], "no text for 3.0 of 13.0 s of speech"),
        ([(1.0, 8.0), (15.0, 18.0)], "no text for 3.0 of 13.0 s"),
        ([(i, i + 0.5) for i in range(20)], "no text for 6"),
        ([], "no text for 13.0 of 13.0 s"),
        ([(-1.0, 0.5), (19.0, 99.0)], "no text for 13.0"),
    ],
)
def test_speech_without_a_segment(spans, message):
    found = missed(SPEECH, [(float(a), float(b)) for a, b in spans])
    assert found is None if message is None else str(found).startswith(message)


def test_where_nobody_speaks_nothing_is_missed():
    assert missed(np.zeros(500, dtype=bool), []) is None and missed(np.zeros(0, dtype=bool), []) is None
    short = np.zeros(500, dtype=bool)
    short[:40] = True
    assert missed(short, []) is None, "a cough"


def test_more_text_than_can_be_said():
    assert too_much("x" * 400, SPEECH) is None
    assert too_much("x" * 500, SPEECH) == "500 letters in 13.0 s of speech"
    assert too_much("Thanks for watching!", np.zeros(100, dtype=bool)) is None


@pytest.mark.parametrize(
    "text, message",
    [
        (TALK, None),
        ("", None),
        ("Yes. Yes. Yes. Yes.", None),
        ("yes " * 6, "repeats 'yes'"),
        ("Thank you very much. " * 4, "repeats 'thank you very much'"),
        ("Thank you, thank you! Thank you very much.", None),
        (f"And so on. {'I do not know. ' * 4} Then", "repeats 'i do not know'"),
        ("是的" * 5, "repeats"),
        ("我们今天来谈谈这个问题", None),
    ],
)
def test_phrases_that_repeat(text, message):
    found = repeated(text)
    assert found is None if message is None else str(found).startswith(message)


def test_the_prompt_and_the_window_before():
    assert repeated("Glossary: Ada, Grace, Alan. Hello.", prompt="glossary ada grace alan") == "repeats the prompt"
    assert repeated("Ada spoke.", prompt="Ada") is None and repeated(TALK, prompt="Glossary: Ada, Grace.") is None
    assert repeated("It was done, and done.", before="it was done and done") == "repeats the window before"
    assert repeated("Yes, it is.", before="Yes, it is.") is None, "short answers come twice"


def test_another_language_by_ear():
    assert flipped({"en": 0.05, "fr": 0.9, "de": 0.05}, "en") == "sounds like 'fr' (0.90), the recording like 'en'"
    assert flipped({"en": 0.05, "fr": 0.9}, "fr") is None and flipped({"en": 0.3, "fr": 0.7}, "en") is None
    assert flipped(None, "en") is None and flipped({"fr": 1.0}, None) is None


def test_another_script():
    usual = scripts("Bonjour tout le monde, ça va?")
    assert usual == Counter(LATIN=22)
    assert strange_script("Привет, как дела?", usual) == "written in Cyrillic letters, the rest in Latin"
    assert strange_script("Comment ça va?", usual) is None and strange_script("Да.", usual) is None
    assert strange_script("The word привет, he said, is Russian.", usual) is None
    japanese = scripts("これは日本語のテキストです。カタカナもあります。")
    assert set(japanese) == {"HAN"} and strange_script("漢字と かな を まぜた文", japanese) is None
    assert strange_script("Thank you for watching", japanese) == "written in Latin letters, the rest in Han"
    assert strange_script("Привет, как дела?", Counter(LATIN=5)) is None, "too little is known"
    assert strange_script("Привет, как дела?", Counter(LATIN=50, CYRILLIC=40)) is None, "a mixed recording"

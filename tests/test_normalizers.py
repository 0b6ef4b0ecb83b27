"""Normalisers: equal to openai-whisper's where they say so, and each with an id."""

from __future__ import annotations

import random

import pytest

from multimodal.metrics import NORMALIZERS, normalizer

TEXTS = (
    "Hello, World!",
    "  two   spaces\tand\na line ",
    "it's [noise] (laughs) <unk> fine",
    "a (b [c) d] e",
    "Ça coûte 5€, n\u2019est-ce pas?",
    "İstanbul ẞ \ufb01ne Ⅳ ½",
    "日本語の文です。今日は",
    "ภาษาไทย ที่นี่ น้ำ",
    "हिन्दी में",
    "한국어 텍스트",
    "e\u0301 combining, zero\u200bwidth \u200djoin",
    "",
    "...",
)


def drawn(count=200):
    """Texts of characters from all over Unicode."""
    chance = random.Random(0)
    ranges = ((32, 0x17F), (0x300, 0x52F), (0x900, 0xDFF), (0x1F00, 0x206F), (0x3040, 0x30FF), (0xAC00, 0xACFF))
    return ["".join(chr(chance.randint(*chance.choice(ranges))) for _ in range(20)) for _ in range(count)]


@pytest.mark.parametrize(("name", "split"), [("basic", False), ("basic-split", True)])
def test_basic_is_whispers(name, split):
    basic = pytest.importorskip("whisper.normalizers.basic")
    theirs = basic.BasicTextNormalizer(split_letters=split)
    for text in (*TEXTS, *drawn()):
        if not split or text in TEXTS:
            assert normalizer(name)(text) == theirs(text), text


def test_letters_keeps_letters_digits_and_apostrophes():
    assert normalizer("letters")(" It\u2019s 5 O'CLOCK, snake_case\u2014now! ") == "it's 5 o'clock snake case now"
    assert normalizer("letters")("Ünïcode 日本") == "ünïcode 日本"


def test_none_changes_nothing():
    assert normalizer("none")(" A,b ") == " A,b "


def test_each_has_an_id_with_a_version():
    assert {one.id for one in NORMALIZERS.values()} == {"none-1", "basic-1", "basic-split-1", "letters-1"}


def test_an_unknown_name_is_refused_with_the_nearest():
    with pytest.raises(ValueError, match=r"'basik' is not a normaliser; there are none, basic.*Did you mean 'basic'"):
        normalizer("basik")

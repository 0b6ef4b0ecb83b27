"""Word errors: equal to jiwer's and to a plain edit distance; empty texts, speakers, intervals, doubts."""

from __future__ import annotations

import math
import random

import jiwer
import numpy as np
import pytest

from multimodal.metrics import word_error_rate
from multimodal.metrics.alignment import align
from multimodal.metrics.speech import doubts

WORDS = ("one", "two", "three", "for", "Five,")


def distance(ours, theirs):
    """Levenshtein's, written out."""
    row = list(range(len(theirs) + 1))
    for i, a in enumerate(ours, 1):
        before, row[0] = row[0], i
        for j, b in enumerate(theirs, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (a != b))
    return row[-1]


@pytest.fixture(scope="module")
def texts():
    chance = random.Random(1)

    def draw(least):
        return [" ".join(chance.choices(WORDS, k=chance.randint(least, 8))) for _ in range(60)]

    return draw(1), draw(0)


def test_rates_are_those_of_jiwer_and_of_the_definition(texts):
    references, hypotheses = texts
    errors = word_error_rate(references, hypotheses, normalizer="none")
    words = [text.split() for text in references]
    counted = sum(distance(a, text.split()) for a, text in zip(words, hypotheses, strict=True))
    assert errors.wer == counted / sum(map(len, words)) == jiwer.wer(references, hypotheses)
    assert errors.substitutions + errors.deletions + errors.insertions == counted
    letters = sum(distance(a, b) for a, b in zip(references, hypotheses, strict=True))
    assert errors.cer == letters / sum(map(len, references)) == jiwer.cer(references, hypotheses)
    assert (errors.words, errors.utterances, errors.empty) == (sum(map(len, words)), 60, 0)


def test_the_normaliser_is_applied_to_both_and_named():
    errors = word_error_rate(["Hello, World!"], ["hello world"], normalizer="basic")
    assert (errors.wer, errors.cer, errors.normalizer) == (0.0, 0.0, "basic-1")
    assert word_error_rate(["Hello, World!"], ["hello world"], normalizer="none").wer == 1.0


def test_what_is_heard_in_an_empty_reference_counts_as_added():
    errors = word_error_rate(["one two", "", "..."], ["one two", "three", ""])
    assert (errors.wer, errors.insertions, errors.words, errors.empty) == (0.5, 1, 2, 2)
    assert word_error_rate([""], [""]).wer == 0.0
    assert word_error_rate([""], ["a"]).wer == math.inf


def test_an_alignment_can_be_read():
    (one,) = align([["the", "cat", "sat", "on", "the", "mat"]], [["so", "the", "cat", "sit", "on", "mat"]])
    lines = str(one).split("\n")
    assert lines[0] == "REF  ** the cat sat on the mat"
    assert lines[1] == "HYP  so the cat sit on *** mat"
    assert lines[2] == "     I          S      D"
    assert (one.substitutions, one.deletions, one.insertions, one.words) == (1, 1, 1, 6)


def test_long_alignments_are_wrapped_and_wide_letters_take_two_columns():
    (one,) = align([["word"] * 60], [["word"] * 60])
    assert max(map(len, str(one).split("\n"))) <= 100
    assert str(one).count("REF") == 4
    (wide,) = align([["日本", "a"]], [["x", "a"]])
    assert str(wide).split("\n")[:2] == ["REF  日本 a", "HYP  x    a"]


def test_confusions_are_counted():
    errors = word_error_rate(["four", "four", "six"], ["for", "for", ""])
    assert errors.confusions == (("four", "for", 2), ("six", "", 1))
    assert errors.worst(1) == [0]
    assert errors.worst() == [0, 1, 2]
    assert word_error_rate(["a"], ["a"]).worst() == []


def test_speakers_have_rates_and_are_resampled_whole(texts):
    references, hypotheses = texts
    errors = word_error_rate(references, hypotheses, speakers=["ann"] * 30 + ["bob"] * 30)
    assert errors.speakers["ann"] == word_error_rate(references[:30], hypotheses[:30]).wer
    rates = list(errors.speakers.values())
    assert rates == sorted(rates, reverse=True)
    assert errors.interval == (min(rates), max(rates)), "of two speakers, both extremes"


def test_the_interval_holds_the_rate_and_narrows_with_more(texts):
    references, hypotheses = texts
    few = word_error_rate(references[:15], hypotheses[:15])
    many = word_error_rate(references * 4, hypotheses * 4)
    assert few.interval[0] < few.wer < few.interval[1]
    assert np.ptp(many.interval) < np.ptp(few.interval)
    assert many.interval == word_error_rate(references * 4, hypotheses * 4).interval


def test_errors_that_are_ways_of_writing_are_doubted():
    references, hypotheses = ["Hello, World!"] * 3, ["hello world"] * 3
    errors = word_error_rate(references, hypotheses, normalizer="none")
    told = " ".join(doubts(errors, references, hypotheses))
    assert "above 90%" in told
    assert "'basic' it would be 0.0% instead of 100.0%" in told
    assert doubts(word_error_rate(references, hypotheses), references, hypotheses) == []


def test_languages_without_spaces_are_told_of_basic_split():
    references, hypotheses = ["今日は晴れです", "明日は雨でしょう"], ["今日は晴れでず", "明日は雨でしょ"]
    errors = word_error_rate(references, hypotheses)
    assert "'basic-split'" in " ".join(doubts(errors, references, hypotheses))


def test_a_letter_in_a_word_with_spaces_is_no_way_of_writing():
    references, hypotheses = ["the cat sat", "hello world"], ["the cat sad", "hello world"]
    errors = word_error_rate(references, hypotheses)
    assert errors.cer < errors.wer / 2 and doubts(errors, references, hypotheses) == []


def test_a_single_speaker_has_an_interval_over_utterances():
    references, hypotheses = ["one two", "three", "four"], ["one two", "tree", "four"]
    alone = word_error_rate(references, hypotheses, speakers=["x"] * 3)
    assert alone.interval == word_error_rate(references, hypotheses).interval
    assert alone.interval[0] < alone.wer < alone.interval[1]


def test_a_normaliser_that_takes_the_text_away_is_not_recommended():
    references, hypotheses = ["[one two three]"], ["four"]
    errors = word_error_rate(references, hypotheses, normalizer="none")
    assert not any("'basic'" in told for told in doubts(errors, references, hypotheses))


def test_wrong_numbers_are_refused():
    with pytest.raises(ValueError, match="2 references and 1 hypotheses"):
        word_error_rate(["a", "b"], ["a"])
    with pytest.raises(ValueError, match="1 references and 2 speakers"):
        word_error_rate(["a"], ["a"], speakers=["x", "y"])
    with pytest.raises(ValueError, match="no utterance"):
        word_error_rate([], [])

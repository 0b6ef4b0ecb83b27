"""The special tokens are those of openai-whisper, in all of its vocabularies."""

from __future__ import annotations

from typing import Any

import pytest
from tiny_speech import whisper_tokenizer
from tiny_text_models import bytelevel

from multimodal.errors import ArgumentError
from multimodal.models.speech.tokens import SpeechTokens, suppressed, suppressed_first
from multimodal.tokenizers.text import TextTokenizer

whisper = pytest.importorskip("whisper.tokenizer")
theirs_of = whisper.get_tokenizer
VOCABULARIES = {"multilingual": (True, 99), "v3": (True, 100), "en": (False, 99)}


@pytest.fixture(params=VOCABULARIES)
def both(request: Any) -> tuple[TextTokenizer, Any]:
    multilingual, languages = VOCABULARIES[request.param]
    return whisper_tokenizer(request.param), theirs_of(multilingual, num_languages=languages)


def test_ids_equal_openai(both: tuple[TextTokenizer, Any]) -> None:
    tokenizer, theirs = both
    tokens = SpeechTokens.of(tokenizer)
    for name in ("sot", "eot", "translate", "transcribe", "sot_lm", "sot_prev", "no_speech", "no_timestamps"):
        assert getattr(tokens, name) == getattr(theirs, name), name
    assert tokens.timestamp_begin == theirs.timestamp_begin
    codes = list(whisper.LANGUAGES)[: theirs.num_languages]  # theirs come in the order of a set
    assert list(tokens.languages) == codes and set(codes) == set(theirs.all_language_codes)
    assert list(tokens.languages.values()) == [theirs.to_language_token(code) for code in codes]
    assert tokens.multilingual == (theirs.language is not None)


def test_suppressed_ids_equal_openai(both: tuple[TextTokenizer, Any]) -> None:
    tokenizer, theirs = both
    special = (theirs.transcribe, theirs.translate, theirs.sot, theirs.sot_prev, theirs.sot_lm, theirs.no_speech)
    assert suppressed(tokenizer) == tuple(sorted({*theirs.non_speech_tokens, *special}))
    assert suppressed_first(tokenizer) == (*theirs.encode(" "), theirs.eot)


@pytest.mark.parametrize("task", ["transcribe", "translate"])
def test_the_start_of_a_transcript(task: Any) -> None:
    tokens, theirs = SpeechTokens.of(whisper_tokenizer()), theirs_of(True, language="de", task=task)
    assert tokens.start("de", task) == theirs.sot_sequence
    assert tokens.start("de", task, timestamps=False) == theirs.sot_sequence_including_notimestamps
    assert tokens.start() == theirs_of(True, language="en").sot_sequence


def test_english_only_models_are_told_nothing() -> None:
    tokens = SpeechTokens.of(whisper_tokenizer("en"))
    assert tokens.start() == tokens.start("en") == theirs_of(False).sot_sequence
    assert tokens.start(timestamps=False) == theirs_of(False).sot_sequence_including_notimestamps
    with pytest.raises(ArgumentError, match="only writes down English"):
        tokens.start("de")
    with pytest.raises(ArgumentError, match="only writes down English"):
        tokens.start(task="translate")


def test_what_is_unknown_is_named() -> None:
    tokens = SpeechTokens.of(whisper_tokenizer())
    with pytest.raises(ArgumentError, match="language is 'english', which this model does not know"):
        tokens.start("english")
    with pytest.raises(ArgumentError, match="task is 'summarize'"):
        tokens.start("en", "summarize")
    with pytest.raises(ArgumentError, match=r"no <\|startoftranscript\|>"):
        SpeechTokens.of(bytelevel())


def test_the_vocabulary_reads_and_writes_as_openai(both: tuple[TextTokenizer, Any]) -> None:
    tokenizer, theirs = both
    for text in (" Hello there, it's 3:45!", "don't   stop\n\n now", "日本語とpunctuation", " naïve 🎵 café", "x" * 40):
        ids = tokenizer.rows([text], special=False)[0]
        assert ids == theirs.encode(text) and tokenizer.decode(ids) == text
    torn = theirs.encode("🎵")[:1]  # a part of a letter
    assert tokenizer.decode(torn) == theirs.decode(torn)

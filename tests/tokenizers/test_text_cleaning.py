"""Cleaning of texts: as open_clip does it, character by character, and ids equal to its tokenizers'."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from texts import CORPUS, NASTY, sentencepiece

from multimodal.tokenizers.text import TextTokenizer
from multimodal.tokenizers.text_cleaning import cleaner
from multimodal.tokenizers.text_files import load_tokenizer

open_clip = pytest.importorskip("open_clip")
TEXTS = (
    *(*NASTY, CORPUS, "a photo of a &amp;amp; cat", "schÃ¶n _under_score_", "(brackets) [and] {more}! #1 @home ~50%"),
    *(
        "“quotes” — dashes…",
        "&lt;b&gt;bold&lt;/b&gt;",
        "ﬁne ﬂuﬀ",
        "\tTabs\u2028and lines\n",
        "_",
        "...",
        "日本語、テスト。",
    ),
)


@pytest.mark.parametrize("cleaning", ["lower", "whitespace", "canonicalize"])
def test_as_open_clip_cleans(cleaning: Any) -> None:
    theirs, ours = open_clip.tokenizer.get_clean_fn(cleaning), cleaner(cleaning)
    for text in TEXTS:
        assert ours(text) == theirs(text), text
        assert ours(text.encode()) == theirs(text), text


def test_without_cleaning_a_text_stays_as_it_is() -> None:
    assert cleaner(None)("  A &amp; B ") == "  A &amp; B "
    assert cleaner("lower")(b"\xffA") == "\ufffda"


@pytest.mark.parametrize("cleaning", ["lower", "whitespace", "canonicalize"])
def test_ids_as_of_open_clips_tokenizer_of_the_hub(cleaning: Any, tmp_path) -> None:
    transformers = pytest.importorskip("transformers")
    sentencepiece(tmp_path / "spiece.model", "unigram", pad_id=0, eos_id=1, unk_id=2, bos_id=-1)
    settings = {"tokenizer_class": "T5Tokenizer", "extra_ids": 0, "pad_token": "</s>"}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    transformers.T5TokenizerFast.from_pretrained(tmp_path).save_pretrained(tmp_path / "saved")
    theirs = open_clip.tokenizer.HFTokenizer(str(tmp_path / "saved"), context_length=24, clean=cleaning)
    found = load_tokenizer(tmp_path / "saved")
    ours = TextTokenizer(found.tokenizer, replace(found.settings, cleaning=cleaning))
    expected = theirs(list(TEXTS))
    assert ours.batch(TEXTS, max_length=24, length=24).ids.tolist() == expected.tolist()
    ours.save(tmp_path / "ours")
    assert json.loads((tmp_path / "ours" / "tokenizer_config.json").read_text())["text_cleaning"] == cleaning
    assert TextTokenizer.load(tmp_path / "ours").rows(TEXTS) == ours.rows(TEXTS)

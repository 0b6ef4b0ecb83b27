"""Text for tests of tokenizers: a small corpus in many scripts, and sentences that go wrong easily."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer

from multimodal.tokenizers.text import TextTokenizer

CORPUS = (
    """The quick brown fox jumps over the lazy dog. It's 2024, isn't it? We've 1234567 of them, they'll say I'm late.
Ünïcödé naïve café, Zürich. Привет, мир! Это тест. مرحبا بالعالم هذا اختبار. שלום עולם. 你好，世界。
日本語のテキスト。한국어 문장.
def f(x):\n\treturn x + 1    # comment\n\n    if x == 2:   pass\n हिन्दी में वाक्य ไทย ภาษา 👩‍👩‍👧 😀 é e\u0301
"""
    * 8
)

NASTY = (
    "",
    " ",
    "Hello world",
    " Hello world",
    "It's 2024, isn't it? don't DON'T I'LL",
    "👩‍👩‍👧‍👦 family 😀🏳️‍🌈",
    "e\u0301 Å ﬁ ① Ⅷ aé\u0328\u0301z",
    "مرحبا بالعالم، هذا",
    "שלום עולם",
    "你好，世界。这是一个测试 日本語 テスト 한국어 हिन्दी ไทย",
    "tab\there\n\nnew\r\nline\x0bvt\x0cff\n",
    "a\x00b\x01c\x7fd\x85e",
    "non\u00a0breaking\u2003space\u200bzero\ufeffbom",
    "a    b          c  ",
    "   lead",
    "1234567 3.14 1,000",
    "<s> hi </s> <|endoftext|> [MASK] <pad>[CLS] x <extra_id_0> and <extra_id_99>",
    "ΟΔΟΣ İstanbul ẞ",
    "x" * 300,
    "``quoted'' text",
    "\ue000 private ▁under",
)


def plain_ids(tokenizer: TextTokenizer | Tokenizer, text: str) -> list[int]:
    """The ids of a text, in a list."""
    return list(tokenizer.encode(text).ids)


def sentencepiece(path: Path, kind: str, corpus: str = CORPUS, **options: Any) -> Any:
    module = pytest.importorskip("sentencepiece")
    model = io.BytesIO()
    lines = iter(corpus.splitlines())
    fixed = {"minloglevel": 2, "hard_vocab_limit": False, "num_threads": 1, "vocab_size": 400}
    module.SentencePieceTrainer.train(
        sentence_iterator=lines, model_writer=model, model_type=kind, **{**fixed, **options}
    )
    path.write_bytes(model.getvalue())
    return module.SentencePieceProcessor(model_proto=model.getvalue())

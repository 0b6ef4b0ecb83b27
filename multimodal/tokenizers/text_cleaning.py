"""What is done to a text before its characters are looked at, where a model was trained on text that was cleaned.

The three ways are those of open_clip, and have its names. None of them is a part of `tokenizer.json`: they put mojibake
and HTML entities right, which the tokenizers library cannot. Offsets of tokens are in the cleaned text.

Refs: CLIP arXiv:2103.00020 · SigLIP arXiv:2303.15343
"""

from __future__ import annotations

import html
import re
import string
from collections.abc import Callable
from typing import Literal

from multimodal.errors import ArgumentError

Text = str | bytes
# whitespace: spaces single. lower: also lower case (CLIP). canonicalize: also without ASCII punctuation (SigLIP)
Cleaning = Literal["lower", "whitespace", "canonicalize"]

_SURROGATE = re.compile("[\ud800-\udfff]")
_PUNCTUATION = str.maketrans("_", " ", string.punctuation.replace("_", ""))


def clean(text: Text) -> str:
    """Text that UTF-8 can hold: invalid bytes and lone surrogates become U+FFFD, each surrogate one character.

    Raises:
        ArgumentError: something else than text.
    """
    if isinstance(text, bytes):
        return text.decode("utf-8", errors="replace")
    if not isinstance(text, str):
        raise ArgumentError(
            f"{text!r} is of type {type(text).__name__} and no text; give a str, or the bytes of UTF-8."
        )
    return text if text.isascii() else _SURROGATE.sub("\ufffd", text)


def cleaner(cleaning: Cleaning | None) -> Callable[[Text], str]:
    """The function that cleans a text; None: `clean` alone."""
    functions: dict[Cleaning | None, Callable[[Text], str]] = {
        None: clean,
        "lower": _lower,
        "whitespace": _whitespace,
        "canonicalize": _canonicalize,
    }
    return functions[cleaning]


def _lower(text: Text) -> str:
    return _whitespace(text).lower()


def _whitespace(text: Text) -> str:
    return " ".join(_mended(text).split())


def _canonicalize(text: Text) -> str:
    return " ".join(_mended(text).translate(_PUNCTUATION).lower().split())


def _mended(text: Text) -> str:
    """Mojibake and HTML entities put right; entities are often escaped twice."""
    import ftfy

    return html.unescape(html.unescape(ftfy.fix_text(clean(text)))).strip()

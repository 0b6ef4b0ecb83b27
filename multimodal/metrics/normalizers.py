"""Named ways to make texts comparable before their words are counted: case, punctuation, spacing.

A score of errors means something only beside the name of its normaliser, so each has an id that changes with what it
does. "basic" is equal to openai-whisper's `BasicTextNormalizer`, "basic-split" to that with `split_letters`, for
languages that are written without spaces.

Refs: Whisper arXiv:2212.04356, appendix C
"""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass

_BRACKETS = re.compile(r"[<\[][^>\]]*[>\]]")  # <noise>, [laughter]
_PARENTHESES = re.compile(r"\(([^)]+?)\)")
_SPACES = re.compile(r"\s+")
_OTHER_THAN_LETTERS = re.compile(r"[^\w']|_")
_JOINERS = "\u200c\u200d"  # belong to the letter before them, as marks do


@dataclass(frozen=True)
class Normalizer:
    """A way to make texts comparable; call it."""

    name: str
    version: int  # counts up when a text may come out in another way
    change: Callable[[str], str]

    @property
    def id(self) -> str:
        """What is stored beside a score: "basic-1"."""
        return f"{self.name}-{self.version}"

    def __call__(self, text: str) -> str:
        """`text`, ready to be compared."""
        return self.change(text)


def normalizer(name: str) -> Normalizer:
    """The normaliser of that name: one of `NORMALIZERS`.

    Raises:
        ValueError: there is none.
    """
    if name in NORMALIZERS:
        return NORMALIZERS[name]
    close = difflib.get_close_matches(name, NORMALIZERS, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    raise ValueError(f"{name!r} is not a normaliser; there are {', '.join(NORMALIZERS)}.{hint}")


def _none(text: str) -> str:
    return text


def _basic(text: str) -> str:
    return _SPACES.sub(" ", _plain(text))


def _basic_split(text: str) -> str:
    """As "basic", each character a word; marks that are not characters of their own stay with the one before."""
    return _SPACES.sub(" ", "".join(c if c in _JOINERS else f" {c}" for c in _plain(text))[1:])


def _letters(text: str) -> str:
    """Lower-case letters, digits and apostrophes, one space between words."""
    plain = unicodedata.normalize("NFKC", text).lower().replace("\u2019", "'")
    return " ".join(_OTHER_THAN_LETTERS.sub(" ", plain).split())


def _plain(text: str) -> str:
    """Lower case, without what stands in brackets; a space in the place of each mark, symbol and punctuation."""
    text = _PARENTHESES.sub("", _BRACKETS.sub("", text.lower()))
    marks = (" " if unicodedata.category(c)[0] in "MSP" else c for c in unicodedata.normalize("NFKC", text))
    return "".join(marks).lower()


NORMALIZERS = {
    one.name: one
    for one in (
        Normalizer("none", 1, _none),
        Normalizer("basic", 1, _basic),
        Normalizer("basic-split", 1, _basic_split),
        Normalizer("letters", 1, _letters),
    )
}

"""The words behind `multimodal chat MODEL`: which are files to show, and which is the question."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Sequence
from pathlib import Path

from multimodal.errors import ArgumentError, nearest


def shown_and_asked(model: str, words: Sequence[str]) -> tuple[list[Path], str | None]:
    """The files to show, and the question, if any; - reads it from stdin.

    Raises:
        ArgumentError: a file that is not there, or words in another order.
    """
    from multimodal.media import AUDIO_SUFFIXES, IMAGE_SUFFIXES

    suffixes = IMAGE_SUFFIXES | AUDIO_SUFFIXES
    if _is_file(model) and Path(model).suffix.lower() in suffixes:
        raise ArgumentError(f"{model} is no model; the model comes first: multimodal chat MODEL IMAGE QUESTION.")
    files: list[Path] = []
    for place, word in enumerate(words):
        last = place == len(words) - 1
        if _is_file(word):
            files.append(Path(word))
        elif Path(word).suffix.lower() in suffixes and not any(map(str.isspace, word)):
            raise ArgumentError(_missing(word))
        elif last and not _is_folder(word):
            return files, _question(word)
        elif _is_folder(word):
            raise ArgumentError(f"{word} is a folder; give the images or recordings to show one by one.")
        else:
            raise ArgumentError(
                f"{word!r} is no file, and after it comes {words[place + 1]!r}: give what to show first, then the "
                "question in quotes."
            )
    return files, None


def _question(word: str) -> str:
    text = sys.stdin.buffer.read().decode("utf-8", errors="replace").strip() if word == "-" else word
    if not text.strip():
        raise ArgumentError("The question is empty; write something, or leave it out for a talk.")
    return text


def existing(word: str) -> Path:
    """The file that a word names.

    Raises:
        ArgumentError: there is none.
    """
    if not _is_file(word):
        raise ArgumentError(_missing(word))
    return Path(word)


def _missing(word: str) -> str:
    path = Path(word)
    beside = [other.name for other in path.parent.iterdir()] if path.parent.is_dir() else []
    return f"{word} does not exist.{nearest(path.name, beside) or ' Give the path of a file.'}"


def _is_file(word: str) -> bool:
    with contextlib.suppress(OSError):  # a question may be longer than any name
        return Path(word).is_file()
    return False


def _is_folder(word: str) -> bool:
    with contextlib.suppress(OSError):
        return bool(word) and Path(word).is_dir()
    return False

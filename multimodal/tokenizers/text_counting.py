"""Text for a tokenizer to be trained on: read in pieces, and counted, so that it is never all in memory."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from multimodal.errors import DataError
from multimodal.progress import track
from multimodal.tokenizers.text_cleaning import Text, clean

CHUNK = 1 << 16  # characters of a file that are read at once
RUN = 20  # characters without a space: most such runs are of a script that writes none, and each occurs only once
RUNS = 1_000_000  # characters of such runs that are all taken; of the next as many every second run, and so on
LONG = 256  # characters of a word at most; longer ones are counted in pieces


def read_chunks(path: str | Path) -> Iterator[str]:
    """The text of a file in pieces of about `CHUNK` characters that end at a line's end, or in a long line anywhere.

    Together they are the file, but for invalid UTF-8, which becomes U+FFFD.

    Raises:
        DataError: it cannot be read.
    """
    try:
        with Path(path).open("r", encoding="utf-8", errors="replace", newline="") as file:
            while piece := file.read(CHUNK):
                yield piece if piece.endswith("\n") else piece + file.readline(CHUNK)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error}.") from error


def texts_of(sources: str | Path | Sequence[str | Path] | Iterable[Text]) -> Iterator[str]:
    """The texts, cleaned; those of files under a progress bar."""
    sources = [sources] if isinstance(sources, str | Path) else sources
    if not isinstance(sources, Sequence):
        return (clean(text) for text in sources)
    files = [Path(os.fsdecode(source)) for source in sources]
    try:
        total = sum(file.stat().st_size for file in files) // CHUNK + 1
    except (OSError, ValueError) as error:  # a text in place of a path can be too long for one
        raise DataError(f"{error!s:.200}. Give text files, or texts through an iterator: iter(texts).") from error
    return iter(track((piece for file in files for piece in read_chunks(file)), total, "Reading text"))


def nonempty(texts: Iterator[str], read: Callable[[], None]) -> Iterator[str]:
    """The same texts; `read` is called behind the last. An error if there is none."""
    found = False
    for text in texts:
        found = found or bool(text)
        yield text
    if not found:
        raise DataError("There is no text to train on: nothing could be read, or all of it is empty.")
    read()


def thinned(texts: Iterable[str]) -> Iterator[str]:
    """The same texts with fewer and fewer of their long runs, which would all be kept: none is like another."""
    seen = number = 0

    def kept(run: re.Match[str]) -> str:
        nonlocal seen, number
        share, number = 1 + seen // RUNS, number + 1
        seen += len(run[0])
        return run[0] if number % share == 0 else ""

    for text in texts:
        longest = max(map(len, text.split()), default=0)
        yield re.sub(rf"\S{{{RUN + 1},}}", kept, text) if longest > RUN else text


def counted(texts: Iterable[str]) -> Counter[str]:
    """How often each word occurs; long ones in pieces.

    Raises:
        DataError: there is none.
    """
    words: Counter[str] = Counter()
    for text in texts:
        for word in text.split():
            words.update((word,) if len(word) <= LONG else (word[i : i + LONG] for i in range(0, len(word), LONG)))
    if not words:
        raise DataError("There is no text to train on: all of it is white space.")
    return words


def in_proportion(counts: Mapping[str, int], most: int) -> dict[str, int]:
    """The counts of words divided so that they stand for `most` characters, about; a word that occurs stays."""
    share = min(1.0, most / max(1, sum(len(word) * count for word, count in counts.items())))
    return {word: max(1, round(count * share)) for word, count in counts.items()}

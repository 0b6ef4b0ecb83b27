"""How many words a recognizer got wrong: word and character error rates under a named normaliser.

All rates are shares (0.05 is 5%) and may exceed 1, where more was added than there was. They say little without the
normaliser, whose id stays with them (normalizers.py); the words beside each other are in alignment.py.

Axes: u utterances or speakers · r resamples
Refs: the bootstrap for recognizers: Bisani and Ney, ICASSP 2004
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from multimodal.metrics.alignment import Aligned, align, confusions
from multimodal.metrics.normalizers import NORMALIZERS
from multimodal.metrics.normalizers import normalizer as normalizer_called

RESAMPLES = 1000
HOPELESS = 0.9  # word error rate beyond which labels or normaliser are wrong more often than the model
OFTEN = 20  # confusions kept
UNSPACED = ("CJK", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR", "TIBETAN")  # names of letters begin so


@dataclass(frozen=True, kw_only=True)
class WordErrors:
    """How far hypotheses are from references, over all utterances together."""

    wer: float  # (substitutions + deletions + insertions) / words
    cer: float  # the same of characters, single spaces included
    interval: tuple[float, float]  # 95% of `wer` over resampled utterances; of whole speakers where several are known
    substitutions: int
    deletions: int
    insertions: int
    words: int  # of the references
    utterances: int
    empty: int  # references without a word: what is heard there counts as insertions
    normalizer: str  # id: "basic-1"
    speakers: dict[str, float]  # word error rate of each, the worst first; empty where they are not known
    confusions: tuple[tuple[str, str, int], ...]  # reference, hypothesis, times; "" where a side has no word
    aligned: tuple[Aligned, ...]  # of each utterance, in the order given

    def worst(self, count: int = 5) -> list[int]:
        """The utterances with most errors, as places in the order given; none without an error."""
        order = sorted(range(len(self.aligned)), key=lambda i: -self.aligned[i].errors)
        return [i for i in order[:count] if self.aligned[i].errors]


def word_error_rate(
    references: Sequence[str],
    hypotheses: Sequence[str],
    *,
    normalizer: str = "basic",
    speakers: Sequence[str] | None = None,
    seed: int = 0,
) -> WordErrors:
    """Word and character errors of `hypotheses`.

    Args:
        references: what was said in each utterance; may be empty.
        hypotheses: what was heard.
        normalizer: what is done to both before; see `NORMALIZERS`.
        speakers: of each utterance, for rates of each speaker, and an interval over whole speakers if they are several.
        seed: of the resampling.

    Raises:
        ValueError: the arguments differ in number, there is no utterance, or no such normaliser.
    """
    _same_number(len(references), hypotheses=len(hypotheses))
    _same_number(len(references), speakers=len(references if speakers is None else speakers))
    change = normalizer_called(normalizer)
    ours, theirs = [change(text).split() for text in references], [change(text).split() for text in hypotheses]
    aligned = align(ours, theirs)
    errors, words = np.array([one.errors for one in aligned]), np.array([one.words for one in aligned])
    names = sorted(set(speakers)) if speakers is not None else []
    group = np.array([names.index(name) for name in speakers]) if speakers is not None else np.arange(len(aligned))
    rows = group if len(names) > 1 else np.arange(len(aligned))  # one speaker says nothing of others
    rates = {
        name: _rate(int(errors[group == place].sum()), int(words[group == place].sum()))
        for place, name in enumerate(names)
    }
    return WordErrors(
        wer=_rate(int(errors.sum()), int(words.sum())),
        cer=_character_rate([" ".join(words) for words in ours], [" ".join(words) for words in theirs]),
        interval=_interval(np.bincount(rows, errors), np.bincount(rows, words), seed),
        substitutions=sum(one.substitutions for one in aligned),
        deletions=sum(one.deletions for one in aligned),
        insertions=sum(one.insertions for one in aligned),
        words=int(words.sum()),
        utterances=len(aligned),
        empty=int((words == 0).sum()),
        normalizer=change.id,
        speakers=dict(sorted(rates.items(), key=lambda item: (-item[1], item[0]))),
        confusions=tuple((a, b, count) for (a, b), count in confusions(aligned).most_common(OFTEN)),
        aligned=tuple(aligned),
    )


def doubts(errors: WordErrors, references: Sequence[str], hypotheses: Sequence[str]) -> list[str]:
    """Sentences about why `errors` of these texts may say more of labels and spelling than of a recognizer."""
    found = []
    if errors.empty:
        found.append(f"{errors.empty} of {errors.utterances} references have no word; what was heard there is added.")
    if errors.wer > HOPELESS:
        found.append(
            f"The word error rate is {errors.wer:.0%}: above {HOPELESS:.0%} texts are usually out of order, in another "
            "language, or written in another way."
        )
    for name in NORMALIZERS:
        if errors.words == 0 or NORMALIZERS[name].id == errors.normalizer:
            continue
        change = NORMALIZERS[name]
        aligned = align([change(text).split() for text in references], [change(text).split() for text in hypotheses])
        words = sum(one.words for one in aligned)
        if words < errors.words / 2:
            continue  # it takes the text itself away
        rate = _rate(sum(one.errors for one in aligned), words)
        if name == "basic-split" and not _without_spaces(references):
            continue  # its words are characters, of which fewer are wrong in every language
        if rate < errors.wer / 2:
            found.append(
                f"Under the normaliser {name!r} it would be {rate:.1%} instead of {errors.wer:.1%}: more than half of "
                "the errors are ways of writing."
            )
    return found


def _without_spaces(texts: Sequence[str]) -> bool:
    """Whether most of the letters are of scripts that put no spaces between words."""
    letters = [letter for text in texts for letter in text if letter.isalpha()]
    joined = sum(unicodedata.name(letter, "").startswith(UNSPACED) for letter in letters)
    return 2 * joined > len(letters)


def _rate(errors: int, words: int) -> float:
    return errors / words if words else math.inf if errors else 0.0


def _character_rate(references: list[str], hypotheses: list[str]) -> float:
    import jiwer

    found = jiwer.process_characters(references, hypotheses)
    errors = found.substitutions + found.deletions + found.insertions
    return _rate(errors, found.hits + found.substitutions + found.deletions)


def _interval(errors: np.ndarray, words: np.ndarray, seed: int) -> tuple[float, float]:
    """The middle 95% of the rates of resampled rows; of a single row, or without words, no more than the rate."""
    rate = _rate(int(errors.sum()), int(words.sum()))
    if len(errors) < 2 or not words.sum():
        return rate, rate
    generator, rates = np.random.default_rng(seed), []
    for _ in range(RESAMPLES):
        rows = generator.integers(0, len(errors), len(errors))
        if total := words[rows].sum():
            rates.append(errors[rows].sum() / total)
    low, high = np.quantile(rates, (0.025, 0.975))
    return float(low), float(high)


def _same_number(count: int, **others: int) -> None:
    if not count:
        raise ValueError("There is no utterance to compare.")
    for name, other in others.items():
        if other != count:
            raise ValueError(f"There are {count} references and {other} {name}; give one for each reference.")

"""Scores of answers to questions about images and recordings, each with the interval that a bootstrap gives it.

"exact": the same words after the normalisation of VQA. "vqa": the same, where several people answered and some agree.
"yes-no": accuracy, precision, recall and F1 of yes. "caption" is in captions.py, the intervals are in scored.py.
All figures are shares, in 0..1. Answers that are spans of a text are scored in text.py.

Refs: VQA arXiv:1505.00468 §3, and the rules on visualqa.org/evaluation · POPE arXiv:2305.10355 §5.1 (yes and no)
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor

from multimodal.metrics.captions import caption_scores
from multimodal.metrics.scored import Scored, Sums, check_answers

_COUNTED = "zero one two three four five six seven eight nine ten".split()  # noqa: SIM905
_NUMBERS = {"none": "0", **{word: str(number) for number, word in enumerate(_COUNTED)}}
_ARTICLES = {"a", "an", "the"}
_SHORTENED = (  # contractions that are no other words without their apostrophe, as "were" and "well" are
    "ain't aren't can't couldn't didn't doesn't don't hadn't hasn't haven't isn't mightn't mustn't needn't shan't "
    "shouldn't wasn't weren't won't wouldn't could've might've must've should've would've he's how's it'll it'd ma'am "
    "o'clock that's that'd there's there'd they'd they'll they're they've what's what'll what're where's who's who'll "
    "who're why's y'all you'd you'll you're you've"
)
_CONTRACTIONS = {whole.replace("'", ""): whole for whole in _SHORTENED.split()}
_PERIOD = re.compile(r"(?<!\d)\.|\.(?!\d)")  # not the point of 2.5
_THOUSANDS = re.compile(r"(?<=\d),(?=\d)")
_PUNCTUATION = str.maketrans(dict.fromkeys(';/[]"{}()=+\\_-<>@`,?!', " "))  # ' and : stay: girl's, 2:50
_SENTENCE = re.compile(r"[.!?\n]")
_YES, _NO = {"yes", "yeah", "yep", "true"}, {"no", "not", "nope", "none", "false"}


def normalize_vqa(text: str) -> str:
    """`text` as VQA compares it.

    Lower case; no punctuation but apostrophes, colons and the point of a number; digits for words up to ten; no
    articles; apostrophes where contractions lack them; single spaces.
    """
    text = _THOUSANDS.sub("", text.lower().replace("\u2019", "'"))
    words = _PERIOD.sub("", text.translate(_PUNCTUATION)).split()
    words = [_NUMBERS.get(word, word) for word in words]
    return " ".join(_CONTRACTIONS.get(word, word) for word in words if word not in _ARTICLES)


def yes_or_no(answer: str) -> Literal["yes", "no"] | None:
    """What `answer` says in its first sentence; None where it says neither.

    A word that denies makes it "no", as POPE has it. Unlike there, an answer with neither is not taken for a yes.
    """
    first = next((part for part in _SENTENCE.split(answer) if part.strip()), "")
    words = normalize_vqa(first).replace(":", " ").split()
    raw = set(first.lower().translate(_PUNCTUATION).split())  # in which "none" is still a word
    if any(word in _NO or word.endswith("n't") for word in (*words, *raw)):
        return "no"
    return "yes" if _YES & raw else None


def exact_scores(answers: Sequence[str], wanted: Sequence[Sequence[str]]) -> Scored:
    """Whether each answer is one of those wanted, after `normalize_vqa`.

    Raises:
        ValueError: no answers, not as many as there are questions, or a question without one that is wanted.
    """
    check_answers(answers, wanted)
    pairs = zip(answers, wanted, strict=True)
    hits = [float(normalize_vqa(answer) in map(normalize_vqa, right)) for answer, right in pairs]
    return _mean("exact-1", "accuracy", hits)


def vqa_scores(answers: Sequence[str], wanted: Sequence[Sequence[str]]) -> Scored:
    """How many of the people who answered gave the same answer: three of ten or more make it right.

    As the official script has it, min(n / 3, 1) is averaged over all ways to leave one person out; where fewer than
    three remain, all of them must agree. Of one person it is the exact match.

    Raises:
        ValueError: as for `exact_scores`.
    """
    check_answers(answers, wanted)
    shares = []
    for answer, right in zip(answers, wanted, strict=True):
        agree = [normalize_vqa(answer) == normalize_vqa(one) for one in right]
        others = [sum(agree) - one for one in agree] if len(agree) > 1 else [sum(agree)]
        enough = min(3, max(1, len(agree) - 1))
        shares.append(sum(min(count / enough, 1.0) for count in others) / len(others))
    return _mean("vqa-1", "accuracy", shares)


def yes_no_scores(answers: Sequence[str], wanted: Sequence[Sequence[str]]) -> Scored:
    """Accuracy, precision, recall and F1 of "yes", the share of yes, and the share of answers that say neither.

    Raises:
        ValueError: as for `exact_scores`; or what is wanted is neither yes nor no.
    """
    check_answers(answers, wanted)
    true = [yes_or_no(right[0]) for right in wanted]
    if None in true:
        place = true.index(None)
        raise ValueError(f"Question {place + 1} wants {wanted[place][0]!r}, which is neither yes nor no.")
    said = [yes_or_no(answer) for answer in answers]
    each = [float(ours == theirs) for ours, theirs in zip(said, true, strict=True)]
    rows = [
        (hit, hit * (theirs == "yes"), ours == "yes", theirs == "yes", ours is None, 1)
        for hit, ours, theirs in zip(each, said, true, strict=True)
    ]

    def rates(sums: Sums) -> dict[str, Tensor]:
        right, found, claimed, actual, unclear, count = sums.unbind(1)
        return {
            "accuracy": right / count,
            "precision": found / claimed.clamp(min=1),
            "recall": found / actual.clamp(min=1),
            "f1": 2 * found / (claimed + actual).clamp(min=1),
            "yes": claimed / count,
            "unclear": unclear / count,
        }

    counts = torch.tensor(rows, dtype=torch.float64)
    return Scored(metric="yes-no-1", each=tuple(each), counts=counts, rates=rates)


ANSWER_METRICS: Mapping[str, Callable[[Sequence[str], Sequence[Sequence[str]]], Scored]] = {
    "exact": exact_scores,
    "vqa": vqa_scores,
    "yes-no": yes_no_scores,
    "caption": caption_scores,
}


def _mean(metric: str, name: str, values: Sequence[float]) -> Scored:
    def rates(sums: Sums) -> dict[str, Tensor]:
        return {name: sums[:, 0] / sums[:, 1]}

    counts = torch.tensor([(value, 1.0) for value in values], dtype=torch.float64)
    return Scored(metric=metric, each=tuple(values), counts=counts, rates=rates)

"""Scores of answers to questions about images and recordings, each with the interval that a bootstrap gives it.

"exact": the same words after the normalisation of VQA. "vqa": the same, where several people answered and some agree.
"yes-no": accuracy, precision, recall and F1 of yes. "caption": chrF and BLEU, computed by torchmetrics with sacrebleu's
rules; CIDEr is left out, since no library has it without a hundred megabytes and a Java for its word splitter.
All figures are shares, in 0..1. Answers that are spans of a text are scored in text.py.

Axes: n samples · k counts that are summed over samples · r resamples
Refs: VQA arXiv:1505.00468 §3, and the rules on visualqa.org/evaluation · POPE arXiv:2305.10355 §5.1 (yes and no) · BLEU
arXiv:1804.08771 · chrF (Popović, WMT 2015) · paired bootstrap (Koehn, EMNLP 2004)
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor

from multimodal.metrics.classification import wilson_interval

RESAMPLES = 1000

Sums: TypeAlias = Float[Tensor, "r k"]

_NUMBERS = {
    word: str(number)
    for number, word in enumerate(
        ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
    )
} | {"none": "0"}
_ARTICLES = {"a", "an", "the"}
# Contractions that are no other words without their apostrophe, as "were" and "well" are.
_CONTRACTIONS = {
    whole.replace("'", ""): whole
    for whole in [
        "ain't",
        "aren't",
        "can't",
        "couldn't",
        "didn't",
        "doesn't",
        "don't",
        "hadn't",
        "hasn't",
        "haven't",
        "isn't",
        "mightn't",
        "mustn't",
        "needn't",
        "shan't",
        "shouldn't",
        "wasn't",
        "weren't",
        "won't",
        "wouldn't",
        "could've",
        "might've",
        "must've",
        "should've",
        "would've",
        "he's",
        "how's",
        "it'll",
        "it'd",
        "ma'am",
        "o'clock",
        "that's",
        "that'd",
        "there's",
        "there'd",
        "they'd",
        "they'll",
        "they're",
        "they've",
        "what's",
        "what'll",
        "what're",
        "where's",
        "who's",
        "who'll",
        "who're",
        "why's",
        "y'all",
        "you'd",
        "you'll",
        "you're",
        "you've",
    ]
}
_PERIOD = re.compile(r"(?<!\d)\.|\.(?!\d)")  # not the point of 2.5
_THOUSANDS = re.compile(r"(?<=\d),(?=\d)")
_PUNCTUATION = str.maketrans(dict.fromkeys(';/[]"{}()=+\\_-<>@`,?!', " "))  # ' and : stay: girl's, 2:50
_SENTENCE = re.compile(r"[.!?\n]")
_YES, _NO = {"yes", "yeah", "yep", "true"}, {"no", "not", "nope", "none", "false"}


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A number and the 95% interval of it over resampled samples."""

    value: float
    interval: tuple[float, float]


@dataclass(frozen=True, kw_only=True, eq=False)
class Scored:
    """What answers are worth by one metric. The first of its figures is *the* score, the one to compare by."""

    metric: str  # id, with a number that counts up when a score may come out in another way: "exact-1"
    each: tuple[float, ...]  # of each sample, in 0..1
    counts: Float[Tensor, "n k"]
    rates: Callable[[Sums], dict[str, Float[Tensor, " r"]]]  # figures of sums of `counts`

    def figures(self, seed: int = 0) -> dict[str, Figure]:
        """Every figure by name, the score first, with its interval.

        Where all samples are equally right or wrong a bootstrap has no width; the interval is Wilson's then.
        """
        whole, drawn = self.rates(self.counts.sum(0)[None]), self.rates(self._drawn(seed))
        same = len(set(self.each)) == 1 and self.each[0] in (0, 1)
        found = {}
        for name, value in whole.items():
            right = round(float(value) * len(self.each))
            interval = (
                wilson_interval(right, len(self.each)) if same and float(value) in (0, 1) else _middle(drawn[name])
            )
            found[name] = Figure(value=float(value), interval=interval)
        return found

    def above(self, other: Scored, seed: int = 0) -> Figure:
        """How far the score lies above that of `other` answers to the same questions; both are resampled together.

        Raises:
            ValueError: other questions, or another metric.
        """
        if (self.metric, len(self.each)) != (other.metric, len(other.each)):
            ours, theirs = f"{len(self.each)} by {self.metric}", f"{len(other.each)} by {other.metric}"
            raise ValueError(f"{ours} cannot be compared with {theirs}: give answers to the same questions.")
        whole, drawn = [], []
        for one in (self, other):
            name, value = next(iter(one.rates(one.counts.sum(0)[None]).items()))
            whole.append(float(value))
            drawn.append(one.rates(one._drawn(seed))[name])
        return Figure(value=whole[0] - whole[1], interval=_middle(drawn[0] - drawn[1]))

    def _drawn(self, seed: int) -> Sums:
        generator = torch.Generator().manual_seed(seed)
        n = len(self.counts)
        return torch.stack([self.counts[torch.randint(n, (n,), generator=generator)].sum(0) for _ in range(RESAMPLES)])


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
    _check(answers, wanted)
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
    _check(answers, wanted)
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
    _check(answers, wanted)
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


def caption_scores(answers: Sequence[str], wanted: Sequence[Sequence[str]]) -> Scored:
    """chrF and BLEU-4 of captions against those that people wrote, in lower case.

    chrF is the score, since BLEU-4 is 0 for captions of three words. Of one caption it is chrF as well.

    Raises:
        ValueError: as for `exact_scores`.
    """
    from torchmetrics.text import CHRFScore, SacreBLEUScore

    _check(answers, wanted)
    # Sums are scored again and again for the interval, so nothing may be remembered.
    chrf = CHRFScore(n_word_order=0, lowercase=True, compute_with_cache=False)
    bleu = SacreBLEUScore(tokenize="13a", lowercase=True, compute_with_cache=False)
    rows, each = [], []
    for answer, right in zip(answers, wanted, strict=True):
        rows.append(torch.cat([_state_after(metric, answer, right) for metric in (chrf, bleu)]))
        each.append(float(chrf.compute()))
    width = _state(chrf).numel()

    def rates(sums: Sums) -> dict[str, Tensor]:
        parts = {"chrf": (chrf, sums[:, :width]), "bleu": (bleu, sums[:, width:])}
        return {name: torch.stack([_of_state(metric, row) for row in rows]) for name, (metric, rows) in parts.items()}

    return Scored(metric="caption-1", each=tuple(each), counts=torch.stack(rows), rates=rates)


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


def _middle(values: Float[Tensor, " r"]) -> tuple[float, float]:
    low, high = values.double().quantile(torch.tensor([0.025, 0.975], dtype=torch.float64)).tolist()
    return low, high


def _state(metric: Any) -> Float[Tensor, " k"]:
    """What a metric of torchmetrics has counted, end to end."""
    return torch.cat([value.double().flatten() for value in metric.metric_state.values()])


def _state_after(metric: Any, answer: str, wanted: Sequence[str]) -> Float[Tensor, " k"]:
    metric.reset()
    metric.update([answer], [list(wanted)])
    return _state(metric)


def _of_state(metric: Any, counts: Float[Tensor, " k"]) -> Float[Tensor, ""]:
    """What the metric makes of such counts."""
    sizes = {name: value.numel() for name, value in metric.metric_state.items()}
    for name, part in zip(sizes, counts.split(list(sizes.values())), strict=True):
        setattr(metric, name, part.reshape(getattr(metric, name).shape))
    return metric.compute().double()


def _check(answers: Sequence[str], wanted: Sequence[Sequence[str]]) -> None:
    if not answers or len(answers) != len(wanted):
        raise ValueError(f"There are {len(answers)} answers to {len(wanted)} questions; give one to each.")
    for place, right in enumerate(wanted):
        if isinstance(right, str) or not right:
            raise ValueError(f"wanted[{place}] is {right!r}; it must be a list of at least one right answer.")

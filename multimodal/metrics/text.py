"""Scores of text models: perplexity, entities in tagged sentences, answers to questions.

Plain functions on Python values. All shares are in 0..1, where the official scripts print percent. Translation is
scored with BLEU of `torchmetrics`.

Refs: tags: CoNLL-2003 (Tjong Kim Sang and De Meulder), section 3, and the rules of its script for tags out of order ·
answers: SQuAD arXiv:1606.05250 §6.1; questions without an answer: SQuAD 2.0 arXiv:1806.03822
"""

from __future__ import annotations

import math
import re
import string
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


class Entity(NamedTuple):
    """Words `start` to `end` - 1 of a sentence, and what kind of thing they name."""

    kind: str
    start: int
    end: int


@dataclass(frozen=True, kw_only=True)
class EntityScores:
    """How well entities were found; a ratio with an empty denominator is 0."""

    precision: float  # share of the claimed entities that are right, in kind and in both ends
    recall: float  # share of the true ones that were found
    f1: float
    support: int  # true entities


@dataclass(frozen=True, kw_only=True)
class AnswerScores:
    """Means over all questions."""

    exact_match: float
    f1: float
    questions: int


def perplexity(loss: float) -> float:
    """exp of the mean cross-entropy per token, in nats; infinity beyond what a float holds."""
    return math.exp(loss) if loss < 709 else math.inf


def entities(tags: Sequence[str], *, rule: Literal["conll", "strict"] = "conll") -> list[Entity]:
    """The entities that the tags of one sentence (B-PER, I-PER, O ...) mark, from left to right.

    With "conll" an entity begins at B, or at an I whose kind differs from that of the word before; so IOB1, IOB2 and
    what a model predicts out of order are all read as the CoNLL script does. S (alone) and E (last) are known too. With
    "strict" only B begins an entity, and an I that continues none is nothing: IOB2 to the letter.

    Raises:
        ValueError: a tag is neither O nor one of B, I, E, S, then "-", then a kind.
    """
    found: list[Entity] = []
    before, kind, start = "O", "", 0
    for place, tag in enumerate([*tags, "O"]):
        mark, dash, name = tag.partition("-")
        if (mark, dash) != ("O", "") and not (mark in ("B", "I", "E", "S") and dash and name):
            raise ValueError(f"{tag!r} is not a tag; tags are O, or B, I, E or S, then a dash, then a kind: B-PER.")
        goes_on = mark in ("I", "E") and name == kind and before in ("B", "I")
        if not goes_on:
            if kind:
                found.append(Entity(kind, start, place))
            begins = mark in ("B", "S") or (mark != "O" and rule == "conll")
            kind, start = (name if begins else ""), place
        before = mark if kind else "O"
    return found


def entity_scores(
    predicted: Sequence[Sequence[str]], true: Sequence[Sequence[str]], *, rule: Literal["conll", "strict"] = "conll"
) -> dict[str, EntityScores]:
    """Scores of each kind of entity, by name, and under "" of all kinds together (micro average).

    Raises:
        ValueError: the sentences differ in number or length, or a tag is none.
    """
    hits: Counter[str] = Counter()
    claimed: Counter[str] = Counter()
    actual: Counter[str] = Counter()
    if len(predicted) != len(true):
        raise ValueError(f"{len(predicted)} predicted sentences cannot be compared with {len(true)} true ones.")
    for number, (ours, theirs) in enumerate(zip(predicted, true, strict=True)):
        if len(ours) != len(theirs):
            raise ValueError(f"Sentence {number} has {len(ours)} predicted tags and {len(theirs)} true ones.")
        found, wanted = entities(ours, rule=rule), entities(theirs, rule=rule)
        for counter, those in ((claimed, found), (actual, wanted), (hits, set(found) & set(wanted))):
            counter.update(entity.kind for entity in those)
            counter[""] += len(those)
    return {kind: _scores(hits[kind], claimed[kind], actual[kind]) for kind in sorted({"", *claimed, *actual})}


def _scores(hits: int, claimed: int, actual: int) -> EntityScores:
    return EntityScores(
        precision=hits / max(claimed, 1),
        recall=hits / max(actual, 1),
        f1=2 * hits / max(claimed + actual, 1),
        support=actual,
    )


def normalize_answer(text: str) -> str:
    """`text` as SQuAD compares it: lower case, no ASCII punctuation, no English articles, single spaces."""
    words = text.lower().translate(_PUNCTUATION)
    return " ".join(_ARTICLES.sub(" ", words).split())


def exact_match(answer: str, wanted: str) -> float:
    """1 where both are the same after `normalize_answer`, else 0."""
    return float(normalize_answer(answer) == normalize_answer(wanted))


def answer_f1(answer: str, wanted: str) -> float:
    """F1 of the words that both share, counted with repetition; where either has none: whether neither has."""
    ours, theirs = normalize_answer(answer).split(), normalize_answer(wanted).split()
    if not ours or not theirs:
        return float(ours == theirs)
    return 2 * (Counter(ours) & Counter(theirs)).total() / (len(ours) + len(theirs))


def answer_scores(predicted: Mapping[str, str], true: Mapping[str, Sequence[str]]) -> AnswerScores:
    """Exact match and F1, each against the best of a question's true answers.

    Args:
        predicted: question id to answer; a missing one counts as no answer, "".
        true: question id to its true answers; a question without any is one that should not be answered.

    Raises:
        ValueError: an answer to a question that is not among `true`.
    """
    unknown = sorted(predicted.keys() - true.keys())
    if unknown:
        raise ValueError(f"{len(unknown)} answers are to questions that are not there, for example {unknown[0]!r}.")

    def mean(score: Callable[[str, str], float]) -> float:
        best = (max(score(predicted.get(key, ""), answer) for answer in [*wanted] or [""]) for key, wanted in pairs)
        return sum(best) / max(len(pairs), 1)

    # A true answer of nothing but articles and punctuation cannot be given; where others remain, it is left out.
    pairs = [(key, [answer for answer in answers if normalize_answer(answer)]) for key, answers in true.items()]
    return AnswerScores(exact_match=mean(exact_match), f1=mean(answer_f1), questions=len(pairs))

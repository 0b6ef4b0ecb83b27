"""From texts to rows of tokens and from logits to answers for people: labels, named spans, pieces of a context.

Plain functions on what a tokenizer gives and on tensors; the models are in `text_heads.py`.

Axes: t length, another for each row (_) · n classes or tags
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor

from multimodal.errors import ArgumentError
from multimodal.metrics import entities
from multimodal.models.prediction import Prediction
from multimodal.tokenizers.encoded import Encoded
from multimodal.tokenizers.text import TextTokenizer
from multimodal.tokenizers.text_engine import Truncation

TextOrPair: TypeAlias = str | tuple[str, str]

OVERLAP = 128  # tokens that windows of a long context share, so that hardly an answer is cut in two
_CANDIDATES = 20  # of each window


@dataclass(frozen=True)
class Span:
    """A piece of a text and what it is: text[start:end]."""

    label: str
    text: str
    start: int  # in characters
    end: int
    probability: float  # of its words' tags, their mean


@dataclass(frozen=True)
class Answer:
    """A piece of the context, context[start:end]; without text: it is not answered there."""

    text: str
    start: int  # in characters
    end: int
    probability: float  # among all pieces that were considered


def text_rows(
    tokenizer: TextTokenizer, texts: Any, longest: int, truncation: Truncation
) -> tuple[list[TextOrPair], list[Encoded]]:
    """`texts`, a text or pair or several of them, as a list; and their tokens.

    Raises:
        ArgumentError: what is neither text nor pair, or has no tokens, or is too long ("refuse").
    """
    single = isinstance(texts, str) or (isinstance(texts, tuple) and len(texts) == 2)
    given: list[TextOrPair] = [texts] if single else list(texts)
    rows = []
    for i, text in enumerate(given):
        pair = text if isinstance(text, tuple) else (text, None)
        if not all(isinstance(part, str) for part in pair[: 1 if pair[-1] is None else 2]) or len(pair) != 2:
            raise ArgumentError(f"Text {i + 1} of {len(given)} is {text!r}; give a text, or a tuple of two.")
        row = tokenizer.encode(*pair, max_length=longest, truncation=truncation)
        if not row.ids:
            raise ArgumentError(f"Text {i + 1} of {len(given)} is empty: it has no tokens that the model could read.")
        rows.append(row)
    return given, rows


def ranked(source: TextOrPair, chances: Float[Tensor, " n"], labels: tuple[str, ...], top: int) -> Prediction:
    """The `top` likeliest labels."""
    best = chances.topk(min(top, len(labels)))
    return Prediction(source, tuple(labels[i] for i in best.indices.tolist()), tuple(best.values.tolist()))


def word_rows(tokenizer: TextTokenizer, text: str | Sequence[str], longest: int) -> list[Encoded]:
    """The tokens of a text in overlapping pieces; one piece of a text that is split into words. No text: no piece.

    Raises:
        ArgumentError: the words are too many for one piece.
    """
    if not isinstance(text, str):
        row = tokenizer.encode_words(text, max_length=longest, truncation="refuse")
        starts = list(accumulate((len(word) + 1 for word in text), initial=0))
        shifts = [0 if word is None else starts[word] for word in row.words]
        rows = [row._replace(offsets=tuple((a + n, b + n) for (a, b), n in zip(row.offsets, shifts, strict=True)))]
    else:
        room = longest - len(tokenizer.encode("").ids)
        rows = tokenizer.windows(text, max_length=longest, overlap=max(0, min(OVERLAP, room // 4)))
    return [row for row in rows if any(word is not None for word in row.words)]


def entity_spans(
    text: str | Sequence[str], rows: Sequence[Encoded], chances: Sequence[Float[Tensor, "_ n"]], labels: Sequence[str]
) -> list[Span]:
    """What the tags of the words mark. A word in two pieces is judged in the one where it is farther from the edge."""
    words: dict[int, tuple[int, int, int, int]] = {}  # word -> its distance from the edge, piece, first token, end
    for piece, row in enumerate(rows):
        real = [i for i, word in enumerate(row.words) if word is not None]
        for i in real:
            word, margin = row.words[i], min(i - real[0], real[-1] - i)
            assert word is not None
            start = i == 0 or row.words[i - 1] != word
            if start and (word not in words or margin > words[word][0]):
                words[word] = margin, piece, i, 0
    whole = text if isinstance(text, str) else " ".join(text)
    tags, places, certain = [], [], []
    for word, (_, piece, i, _) in sorted(words.items()):
        row = rows[piece]
        ends = [end for (_, end), other in zip(row.offsets, row.words, strict=True) if other == word]
        best = chances[piece][i].max(-1)
        tags.append(labels[int(best.indices)])
        certain.append(float(best.values))
        places.append((row.offsets[i][0], max(ends)))
    spans = []
    for label, first, end in _groups(tags):
        a, b = places[first][0], places[end - 1][1]
        found = whole[a:b]
        a, found = a + len(found) - len(found.lstrip()), found.strip()
        spans.append(Span(label, found, a, a + len(found), sum(certain[first:end]) / (end - first)))
    return spans


def _groups(tags: Sequence[str]) -> list[tuple[str, int, int]]:
    """(label, first word, end) of what is marked: by B-, I- and so on, else by every tag but O for itself."""
    if all(tag == "O" or (tag[:2] in ("B-", "I-", "E-", "S-") and tag[2:]) for tag in tags):
        return [tuple(entity) for entity in entities(tags)]  # pyright: ignore
    return [(tag, i, i + 1) for i, tag in enumerate(tags) if tag != "O"]


def choice_rows(
    tokenizer: TextTokenizer, question: str, choices: Sequence[str], context: str, longest: int
) -> list[Encoded]:
    """Each choice as the second text of a pair: behind the question, or with the question behind the context."""
    pairs = [(context, f"{question} {choice}") if context else (question, choice) for choice in choices]
    return [tokenizer.encode(*pair, max_length=longest) for pair in pairs]


def question_rows(tokenizer: TextTokenizer, question: str, context: str, longest: int) -> list[Encoded]:
    """The question with each window of the context.

    Raises:
        ArgumentError: an empty context, or a question that leaves no room for it.
    """
    if not context.strip():
        raise ArgumentError("The context is empty, so nothing in it can answer a question.")
    room = longest - len(tokenizer.encode(question, "").ids)
    if room < 1:
        raise ArgumentError(
            f"The question has {longest - room:,} tokens, special ones included, and the model reads {longest:,} of "
            "question and context: shorten the question."
        )
    return tokenizer.windows(question, context, max_length=longest, overlap=max(0, min(OVERLAP, room // 2)))


def best_answers(
    context: str, rows: Sequence[Encoded], logits: Sequence[Float[Tensor, "_ 2"]], *, longest: int, null: bool
) -> list[Answer]:
    """The pieces of `context` by the sum of the logits of their ends, best first, each piece once.

    The null answer scores what the first token does in the window that is least sure of it (arXiv:1810.04805 §4.3).
    """
    scores: dict[tuple[int, int], float] = {}
    for row, (starts, ends) in zip(rows, (logit.float().unbind(-1) for logit in logits), strict=True):
        inside = torch.tensor([part == 1 for part in row.parts])
        pairs = torch.where(inside, starts, -torch.inf)[:, None] + torch.where(inside, ends, -torch.inf)  # t t
        ordered = torch.ones_like(pairs, dtype=torch.bool).triu().tril(longest - 1)
        best = torch.where(ordered, pairs, -torch.inf).flatten().topk(min(_CANDIDATES, pairs.numel()))
        for value, place in zip(best.values.tolist(), best.indices.tolist(), strict=True):
            i, j = divmod(place, len(row.ids))
            span = row.offsets[i][0], row.offsets[j][1]
            if value > scores.get(span, -torch.inf):
                scores[span] = value
    if null:
        scores[0, 0] = min(float(logit[0].float().sum()) for logit in logits)
    chances = torch.tensor(list(scores.values()), dtype=torch.float64).softmax(-1).tolist()
    found = sorted(zip(chances, scores, strict=True), key=lambda pair: -pair[0])
    answers: dict[tuple[int, int], Answer] = {}
    for chance, (a, b) in found:
        text = context[a:b]
        a, text = a + len(text) - len(text.lstrip()), text.strip()
        if text or (a, b) == (0, 0):
            answers.setdefault((a, a + len(text)), Answer(text, a, a + len(text), chance))
    return list(answers.values())

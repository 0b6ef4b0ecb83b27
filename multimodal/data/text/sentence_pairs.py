"""Pairs for next-sentence prediction: half of them follow each other, half are of two documents.

Axes: n ids of one sentence or segment
Refs: BERT arXiv:1810.04805 §3.1 and appendix A.2
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int, Integer
from numpy.random import Generator

from multimodal.data.text.noise import noise_generator
from multimodal.errors import ArgumentError

IS_NEXT, IS_RANDOM = 0, 1  # as published models number the two classes


@dataclass(frozen=True, kw_only=True, eq=False)
class SentencePair:
    """Two segments of text, without special tokens."""

    first: Int[np.ndarray, " n"]
    second: Int[np.ndarray, " m"]
    next_sentence: int  # IS_NEXT or IS_RANDOM


def next_sentence_pairs(
    documents: Sequence[Sequence[Integer[np.ndarray, ...]]], *, length: int, seed: int = 0, short: float = 0.1
) -> list[SentencePair]:
    """Segments of whole sentences, in order, each with what follows it or with a piece of another document.

    Sentences of a document are gathered until they fill a pair; its first segment is a random number of them. What a
    random second segment leaves unused of the gathered ones begins the next pair, so nothing of the text is lost. Pairs
    of one document depend on (seed, number of the document) alone.

    Args:
        documents: sentences of each, as ids without special tokens; empty ones are passed over.
        length: ids of both segments together at most, which is the model's length less its three special tokens.
        seed: for another set of pairs of the same text.
        short: the share of pairs that aim at a random smaller length.

    Raises:
        ArgumentError: fewer than two documents with text, or `length` is below 2.
    """
    if length < 2:
        raise ArgumentError(f"length is {length}; two segments need at least 2 ids.")
    texts = [[sentence for sentence in document if len(sentence)] for document in documents]
    texts = [document for document in texts if document]
    if len(texts) < 2:
        raise ArgumentError(
            f"Next-sentence prediction takes the wrong sentence from another document, and {len(texts)} with text was "
            "given; give two or more."
        )
    pairs: list[SentencePair] = []
    for number, document in enumerate(texts):
        generator = noise_generator(seed, 0, number)
        others = _Others(texts, number, generator)
        place = 0
        while place < len(document):
            goal = int(generator.integers(2, length + 1)) if generator.random() < short else length
            end = _gather(document, place, goal)
            pair, used = _pair(document[place:end], others, goal, length, generator)
            pairs.append(pair)
            place += used
    return pairs


@dataclass(frozen=True)
class _Others:
    """All documents but one."""

    documents: Sequence[Sequence[np.ndarray]]
    number: int
    generator: Generator

    def draw(self, goal: int) -> list[np.ndarray]:
        """Sentences of one of them from a random one on, until they have `goal` ids."""
        other = int(self.generator.integers(len(self.documents) - 1))
        document = self.documents[other + (other >= self.number)]
        start = int(self.generator.integers(len(document)))
        return list(document[start : _gather(document, start, goal)])


def _gather(document: Sequence[np.ndarray], start: int, goal: int) -> int:
    """The end of the sentences from `start` on that have `goal` ids together, or of the document."""
    total, end = 0, start
    while end < len(document) and total < goal:
        total += len(document[end])
        end += 1
    return end


def _pair(
    sentences: Sequence[np.ndarray], others: _Others, goal: int, length: int, generator: Generator
) -> tuple[SentencePair, int]:
    """A pair, and how many of the sentences are in it."""
    cut = int(generator.integers(1, len(sentences))) if len(sentences) > 1 else 1
    first, second, label = list(sentences[:cut]), list(sentences[cut:]), IS_NEXT
    if not second or generator.random() < 0.5:
        label = IS_RANDOM
        second = others.draw(max(1, goal - sum(map(len, first))))
    a, b = _cut(np.concatenate(first), np.concatenate(second), length, generator)
    return SentencePair(first=a, second=b, next_sentence=label), cut if label == IS_RANDOM else len(sentences)


def _cut(a: np.ndarray, b: np.ndarray, length: int, generator: Generator) -> tuple[np.ndarray, np.ndarray]:
    """Both with ids taken off the longer one, at its front or back by chance, until they have `length` together."""
    ends = [[0, len(a)], [0, len(b)]]
    while (over := ends[0][1] - ends[0][0] + ends[1][1] - ends[1][0] - length) > 0:
        for front in generator.random(over) < 0.5:
            longer = ends[0] if ends[0][1] - ends[0][0] > ends[1][1] - ends[1][0] else ends[1]
            if front:
                longer[0] += 1
            else:
                longer[1] -= 1
    return a[slice(*ends[0])].astype(np.int64), b[slice(*ends[1])].astype(np.int64)

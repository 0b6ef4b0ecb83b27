"""Noise that self-supervised objectives put on text: masked words, corrupted spans, BART's five, random prefixes.

Pure functions of ids (without the special tokens that frame a text) and a generator; `noise_generator` makes that from
(seed, epoch, index), so that a run can be repeated and gone on with. Batches are made of this in batches.py,
sentence pairs in sentence_pairs.py.

Axes: n, m ids of one text
Refs: masked LM: BERT arXiv:1810.04805 §3.1; drawn anew each epoch: RoBERTa arXiv:1907.11692 §4.1 · span corruption and
prefix-LM: T5 arXiv:1910.10683 §3.1.4, §3.2.2 · masking to rotation: BART arXiv:1910.13461 §2.2
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int, Integer
from numpy.random import Generator

from multimodal.errors import ArgumentError
from multimodal.losses import IGNORE
from multimodal.tokenizers.text import TextTokenizer


@dataclass(frozen=True, kw_only=True, eq=False)
class NoiseTokens:
    """What noise may put in the place of tokens, and what it leaves alone."""

    mask: int
    special: Integer[np.ndarray, " n"]  # never chosen
    ordinary: Integer[np.ndarray, " m"]  # random words are among these

    @classmethod
    def of(cls, tokenizer: TextTokenizer) -> NoiseTokens:
        """Those of a vocabulary.

        Raises:
            ArgumentError: it has no mask token.
        """
        if tokenizer.mask_id is None:
            raise ArgumentError("This objective hides words behind a mask token, and the tokenizer has none; add one.")
        special = np.array(sorted(tokenizer.special_ids), dtype=np.int64)
        ordinary = np.setdiff1d(np.arange(tokenizer.vocabulary), special)
        return cls(mask=tokenizer.mask_id, special=special, ordinary=ordinary)


def noise_generator(seed: int, epoch: int, index: int) -> Generator:
    """The generator of one sample in one epoch; with epoch 0 always, the noise of a sample never changes (static)."""
    return np.random.default_rng((seed % 2**64, epoch, index))


def masked_words(
    ids: Integer[np.ndarray, " n"],
    generator: Generator,
    tokens: NoiseTokens,
    *,
    share: float = 0.15,
    mask: float = 0.8,
    random: float = 0.1,
    words: Integer[np.ndarray, " n"] | None = None,
) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, " n"]]:
    """BERT's noise: the ids with some changed, and the targets: what stood at the chosen places, elsewhere `IGNORE`.

    Args:
        ids: special ones among them are never chosen.
        generator: see `noise_generator`.
        tokens: see `NoiseTokens`.
        share: of the ordinary tokens that is chosen, rounded, one at least.
        mask: the share of the chosen that becomes the mask token.
        random: the share that becomes a random word; the rest stays.
        words: number of the word that each token belongs to; words are then chosen whole, while they fit in `share`.
    """
    ids = ids.astype(np.int64)
    free = np.flatnonzero(~np.isin(ids, tokens.special))
    budget = max(1, round(share * len(free)))
    if words is None:
        chosen = generator.permutation(free)[:budget]
    else:
        chosen = _whole_words(free, words[free], budget, generator)
    targets = np.full(len(ids), IGNORE)
    targets[chosen] = ids[chosen]
    fate = generator.random(len(chosen))
    swapped = chosen[(fate >= mask) & (fate < mask + random)]
    ids[chosen[fate < mask]] = tokens.mask
    ids[swapped] = generator.choice(tokens.ordinary, len(swapped))
    return ids, targets


def _whole_words(free: np.ndarray, words: np.ndarray, budget: int, generator: Generator) -> np.ndarray:
    groups = np.split(free, np.flatnonzero(np.diff(words)) + 1)
    chosen: list[int] = []
    for place in generator.permutation(len(groups)):
        if len(chosen) == budget:
            break
        if len(chosen) + len(groups[place]) <= budget:
            chosen += groups[place].tolist()
    return np.array(chosen, dtype=np.int64)


def span_corruption(
    ids: Integer[np.ndarray, " n"],
    generator: Generator,
    sentinels: Sequence[int],
    *,
    density: float = 0.15,
    mean_span: float = 3.0,
) -> tuple[Int[np.ndarray, " s"], Int[np.ndarray, " t"]]:
    """T5's noise: the text with a sentinel in place of each span, and the sentinels with what they stand for.

    The first span gets `sentinels[0]`. As in T5's own data the text never begins with a span and always ends with one,
    so no sentinel closes the targets. Neither result has an end-of-text id. Fewer than two ids are all kept.

    Args:
        ids: of one text, or of a window of several.
        generator: see `noise_generator`.
        sentinels: as many spans as there are of these at most.
        density: the share of the ids that is replaced.
        mean_span: ids a span.
    """
    ids = ids.astype(np.int64)
    if len(ids) < 2:
        return ids, ids[:0]
    noise, spans = _span_counts(len(ids), density, mean_span)
    spans = min(spans, len(sentinels))
    hidden, kept = _parts(noise, spans, generator), _parts(len(ids) - noise, spans, generator)
    source, target, place = [], [], 0
    for sentinel, stay, go in zip(sentinels, kept, hidden, strict=False):
        source += [ids[place : place + stay], [sentinel]]
        target += [[sentinel], ids[place + stay : place + stay + go]]
        place += stay + go
    return np.concatenate(source), np.concatenate(target)


def _span_counts(n: int, density: float, mean_span: float) -> tuple[int, int]:
    noise = min(max(round(n * density), 1), n - 1)
    return noise, min(max(round(noise / mean_span), 1), noise, n - noise)


def _parts(total: int, parts: int, generator: Generator) -> list[int]:
    """`total` as the sum of `parts` positive numbers, all ways equally likely."""
    cuts = np.sort(generator.permutation(total - 1)[: parts - 1]) + 1
    return np.diff([0, *cuts.tolist(), total]).tolist()


def rejoin_spans(
    source: Integer[np.ndarray, " s"], target: Integer[np.ndarray, " t"], sentinels: Sequence[int]
) -> Int[np.ndarray, " n"]:
    """The text that `span_corruption` made both from; of a model's answer, what it says stood there."""
    spans: dict[int, list[int]] = {}
    current: list[int] = []
    for id in target.tolist():
        if id in sentinels:
            current = spans.setdefault(id, [])
        else:
            current.append(id)
    whole = [spans.get(id, []) if id in sentinels else [id] for id in source.tolist()]
    return np.array([id for part in whole for id in part], dtype=np.int64)


def span_corruption_lengths(length: int, *, density: float = 0.15, mean_span: float = 3.0) -> tuple[int, int]:
    """How many ids `span_corruption` brings to `length`, end-of-text id included, and how long the targets then are.

    T5's 512 come from 568 ids, and make 114 targets.

    Raises:
        ArgumentError: `length` is below 3.
    """
    if length < 3:
        raise ArgumentError(f"length is {length}; a kept id, a sentinel and an end-of-text id need 3.")
    n = 2
    while _source_length(n + 1, density, mean_span) <= length:
        n += 1
    noise, spans = _span_counts(n, density, mean_span)
    return n, noise + spans + 1


def _source_length(n: int, density: float, mean_span: float) -> int:
    noise, spans = _span_counts(n, density, mean_span)
    return n - noise + spans + 1


def masked_tokens(
    ids: Integer[np.ndarray, " n"], generator: Generator, tokens: NoiseTokens, *, share: float = 0.15
) -> Int[np.ndarray, " n"]:
    """BART's token masking: random tokens become the mask token."""
    ids = ids.astype(np.int64)
    ids[_chosen(ids, generator, tokens, share)] = tokens.mask
    return ids


def deleted_tokens(
    ids: Integer[np.ndarray, " n"], generator: Generator, tokens: NoiseTokens, *, share: float = 0.15
) -> Int[np.ndarray, " m"]:
    """BART's token deletion: random tokens are gone, and the model must find where."""
    return np.delete(ids.astype(np.int64), _chosen(ids, generator, tokens, share))


def _chosen(ids: np.ndarray, generator: Generator, tokens: NoiseTokens, share: float) -> np.ndarray:
    free = np.flatnonzero(~np.isin(ids, tokens.special))
    return generator.permutation(free)[: round(share * len(free))]


def infilled(
    ids: Integer[np.ndarray, " n"], generator: Generator, mask: int, *, share: float = 0.3, mean_span: float = 3.0
) -> Int[np.ndarray, " m"]:
    """BART's text infilling: spans of Poisson length become one mask token each, one of length 0 is put in between.

    Spans are drawn until `share` of the ids is replaced; the last is cut to that.
    """
    ids = ids.astype(np.int64)
    budget = round(share * len(ids))
    spans: list[int] = []
    while sum(spans) < budget:
        spans.append(min(int(generator.poisson(mean_span)), budget - sum(spans)))
    kept = len(ids) - budget
    # How many kept ids stand before each span.
    before = np.sort(generator.integers(0, kept + 1, len(spans)))
    out: list[int] = []
    place = gone = 0
    for stay, span in zip(before.tolist(), spans, strict=True):
        out += [*ids[place : stay + gone].tolist(), mask]
        gone += span
        place = stay + gone
    return np.array([*out, *ids[place:].tolist()], dtype=np.int64)


def permuted_sentences(
    ids: Integer[np.ndarray, " n"], generator: Generator, ends: Bool[np.ndarray, " v"]
) -> Int[np.ndarray, " n"]:
    """BART's sentence permutation; `ends` says of each id of the vocabulary whether a sentence ends with it."""
    ids = ids.astype(np.int64)
    sentences = [part for part in np.split(ids, np.flatnonzero(ends[ids]) + 1) if len(part)]
    return np.concatenate([ids[:0], *(sentences[place] for place in generator.permutation(len(sentences)))])


def rotated(ids: Integer[np.ndarray, " n"], generator: Generator) -> Int[np.ndarray, " n"]:
    """BART's document rotation: the text begins at a random token, and what was before it comes last."""
    return np.roll(ids.astype(np.int64), -int(generator.integers(max(len(ids), 1))))


def prefix_length(n: int, generator: Generator) -> int:
    """Of `n` ids, how many of a prefix-LM's see each other both ways: 1 to n - 1, all equally likely.

    Raises:
        ArgumentError: fewer than two ids, of which none could be predicted.
    """
    if n < 2:
        raise ArgumentError(f"A prefix and something to predict were asked of {n} ids; there must be two.")
    return int(generator.integers(1, n))

"""CTC's loss against the sum over all paths, written out."""

import itertools
import math

import pytest
import torch

from multimodal.losses import ctc_loss, fits

BLANK = 3


def likelihood(probabilities, ids):
    """The sum of the probabilities of all paths that are `ids` once repeats and blanks are gone."""
    total = 0.0
    for path in itertools.product(range(4), repeat=len(probabilities)):
        if tuple(id for id, _ in itertools.groupby(path) if id != BLANK) == tuple(ids):
            total += math.prod(float(probabilities[t, id]) for t, id in enumerate(path))
    return total


def test_equal_to_the_sum_over_all_paths():
    logits = torch.randn(2, 5, 4, generator=torch.Generator().manual_seed(0))
    ids, keep = torch.tensor([[0, 0, 2], [1, 0, 0]]), torch.tensor([[1, 1, 1], [1, 0, 0]]).bool()
    frames = torch.tensor([5, 4])
    probabilities = logits.softmax(-1)
    lost = [-math.log(likelihood(probabilities[0], [0, 0, 2])), -math.log(likelihood(probabilities[1, :4], [1]))]
    found = ctc_loss(logits, frames, ids, keep, blank=BLANK)
    assert float(found) == pytest.approx(sum(lost) / 4, rel=1e-5)


def test_what_does_not_fit_counts_nothing():
    logits = torch.randn(2, 5, 4, generator=torch.Generator().manual_seed(0))
    ids, keep = torch.tensor([[0, 0, 2], [1, 0, 2]]), torch.ones(2, 3, dtype=torch.bool)
    frames = torch.tensor([3, 3])  # two equal tokens need a blank between them
    assert fits(frames, ids, keep).tolist() == [False, True]
    both = ctc_loss(logits, frames, ids, keep, blank=BLANK)
    alone = ctc_loss(logits[1:], frames[1:], ids[1:], keep[1:], blank=BLANK)
    assert torch.isfinite(both) and float(both) == pytest.approx(float(alone), rel=1e-6)

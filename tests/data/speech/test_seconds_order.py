"""Batches by seconds: none too long, every clip once an epoch, resumed anywhere, shared among processes in step."""

from __future__ import annotations

import numpy as np
import pytest
from torch.utils.data import Dataset

from multimodal.data.loader import ResumableLoader
from multimodal.data.speech.order import SecondsOrder
from multimodal.errors import ArgumentError

LENGTHS = np.random.default_rng(0).uniform(0.5, 15, 300).tolist()


class Places(Dataset):
    """Gives back what it was asked for."""

    def __len__(self):
        return len(LENGTHS)

    def __getitem__(self, place):
        return place


def order(**options):
    return SecondsOrder(LENGTHS, options.pop("seconds", 60.0), **{"shuffle": True, "seed": 3, **options})


def loader(workers=0, **options):
    return ResumableLoader(Places(), order(**options), collate=list, workers=workers)


def test_every_clip_comes_once_and_no_batch_is_too_long():
    one = order()
    for epoch in range(3):
        one.set_epoch(epoch)
        batches = one.batches()
        assert sorted(i for batch in batches for i in batch) == list(range(300))
        assert max(len(batch) * max(LENGTHS[i] for i in batch) for batch in batches) <= 60
        assert len(batches) == len(one), "as many in every epoch"


def test_padding_is_little_and_is_told_as_it_is():
    one = order()
    full = sum(len(batch) * max(LENGTHS[i] for i in batch) for batch in one.batches())
    assert one.padding() == pytest.approx(1 - sum(LENGTHS) / full)
    assert one.padding() < 0.1
    batches = [list(range(at, min(at + 6, 300))) for at in range(0, 300, 6)]
    by_count = 1 - sum(LENGTHS) / sum(len(batch) * max(LENGTHS[i] for i in batch) for batch in batches)
    assert one.padding() < by_count / 3, "of batches by count a third and more is padding"


def test_epochs_differ_in_order_and_in_company():
    one = order()
    first = one.batches()
    one.set_epoch(1)
    second = one.batches()
    assert first != second
    assert len({frozenset(b) for b in first} & {frozenset(b) for b in second}) < len(first) / 4
    longest = [max(LENGTHS[i] for i in batch) for batch in first]
    assert longest != sorted(longest), "short batches do not all come first"


def test_the_order_follows_from_seed_and_epoch_alone():
    assert order().batches() == order().batches()
    assert order(seed=4).batches() != order().batches()


def test_without_shuffling_the_longest_come_first():
    batches = order(shuffle=False).batches()
    longest = [max(LENGTHS[i] for i in batch) for batch in batches]
    assert longest == sorted(longest, reverse=True)
    assert sorted(i for batch in batches for i in batch) == list(range(300))


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("stop", [1, 7, 20])
def test_resumed_after_any_batch(stop, workers):
    whole = list(loader())
    one = loader(workers=workers)
    iterator = iter(one)
    before = [next(iterator) for _ in range(stop)]
    other = loader(workers=workers)
    other.load_state_dict(one.state_dict())
    assert before + list(other) == whole
    assert list(other) == whole, "the epoch after a resumed one is whole again"


def test_resumed_in_the_epoch_that_was_left():
    one = loader()
    one.sampler.set_epoch(5)
    iterator = iter(one)
    next(iterator)
    other = loader()
    other.load_state_dict(one.state_dict())
    assert list(other) == list(iterator)


def test_with_other_batches_as_large_a_part_of_the_epoch_is_behind():
    one = loader()
    iterator = iter(one)
    for _ in range(len(one) // 2):
        next(iterator)
    other = loader(seconds=30.0)
    other.load_state_dict(one.state_dict())
    assert len(list(other)) == pytest.approx(len(other) / 2, abs=2)


@pytest.mark.parametrize("world", [2, 3])
def test_processes_have_as_many_batches_of_clips_of_like_length(world):
    ranks = [order(rank=rank, world=world) for rank in range(world)]
    together = [rank.batches() for rank in ranks]
    assert len({len(batches) for batches in together}) == 1
    assert {len(rank) for rank in ranks} == {len(together[0])}
    given = [i for batches in together for batch in batches for i in batch]
    assert len(given) == len(set(given)) > 300 - world
    for step in zip(*together, strict=True):
        assert max(len(batch) * max(LENGTHS[i] for i in batch) for batch in step) <= 60
        longest = [max(LENGTHS[i] for i in batch) for batch in step]
        assert max(longest) < 2 * min(longest), "nobody waits for the others"


def test_evaluation_by_several_processes_covers_every_clip_once():
    ranks = [order(shuffle=False, rank=rank, world=7) for rank in range(7)]
    assert sorted(i for rank in ranks for batch in rank.batches() for i in batch) == list(range(300))


def test_a_clip_that_is_too_long_is_a_batch_of_its_own():
    batches = SecondsOrder([1.0, 1.0, 100.0], 10.0).batches()
    assert [2] in batches


def test_no_seconds_are_refused():
    with pytest.raises(ArgumentError, match="seconds_per_batch is 0"):
        SecondsOrder([1.0], 0.0)

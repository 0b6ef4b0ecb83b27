"""The loader: each epoch every image once, the same order again, stopped anywhere and gone on with."""

import pytest
import torch
from torch.utils.data import Dataset, Subset

from multimodal.data.loader import EpochOrder, ResumableLoader
from multimodal.data.resumable import ResumableData
from multimodal.errors import DataError


class Places(Dataset):
    """Gives back what it was asked for."""

    def __len__(self):
        return 23

    def __getitem__(self, place):
        return place


def loader(**options):
    options = {"batch_size": 4, "shuffle": True, "seed": 3, **options}
    workers = options.pop("workers", 0)
    return ResumableLoader(
        Places(), EpochOrder(23, options.pop("batch_size"), **options), collate=list, workers=workers
    )


def indices(batches):
    return [index for batch in batches for _, index in batch]


def test_an_epoch_has_every_image_once_and_epochs_differ():
    one = loader()
    first = indices(one)
    one.sampler.set_epoch(1)
    second = indices(one)
    assert sorted(first) == sorted(second) == list(range(23))
    assert first != second != list(range(23))


def test_the_order_follows_from_seed_and_epoch_alone():
    assert list(loader()) == list(loader())
    assert indices(loader(seed=4)) != indices(loader())
    assert indices(loader(shuffle=False)) == list(range(23))


def test_the_dataset_is_told_the_epoch():
    one = loader()
    one.sampler.set_epoch(7)
    assert {epoch for batch in one for epoch, _ in batch} == {7}


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("stop", [1, 3, 6])
def test_resumed_after_any_batch(stop, workers):
    whole = list(loader())
    one = loader(workers=workers)
    iterator = iter(one)
    before = [next(iterator) for _ in range(stop)]
    state = one.state_dict()
    other = loader(workers=workers)
    other.load_state_dict(state)
    rest = list(other)
    assert before + (rest if stop < len(whole) else []) == whole
    assert list(other) == whole, "the epoch after a resumed one is whole again"


def test_a_state_from_the_end_of_an_epoch_starts_the_next():
    one = loader()
    for _ in one:
        last = one.state_dict()
    other = loader()
    other.load_state_dict(last)
    assert list(other) == list(loader())


def test_an_epoch_that_was_left_early_is_not_gone_on_with():
    one = loader()
    for _, _batch in zip(range(2), one, strict=False):
        pass
    assert list(one) == list(loader())


def test_the_incomplete_batch_is_dropped_on_request():
    assert [len(batch) for batch in loader(drop_last=True)] == [4] * 5
    assert len(loader(drop_last=True)) == 5 and len(loader()) == 6
    assert [len(batch) for batch in loader()] == [4] * 5 + [3]


def test_ranks_share_the_batches_of_one_process():
    whole = [sorted(index for _, index in batch) for batch in loader(drop_last=True)]
    ranks = [list(loader(batch_size=2, drop_last=True, rank=rank, world=2)) for rank in range(2)]
    joined = [sorted(index for _, index in a + b) for a, b in zip(*ranks, strict=True)]
    assert joined == whole


def test_evaluation_ranks_cover_every_image_once():
    ranks = [indices(loader(shuffle=False, rank=rank, world=3)) for rank in range(3)]
    assert sorted(index for rank in ranks for index in rank) == list(range(23))


def test_the_global_random_state_is_left_alone():
    state = torch.get_rng_state()
    list(loader(workers=0))
    # DataLoader itself draws one seed for its workers; the order must not depend on it.
    torch.manual_seed(99)
    a = indices(loader())
    torch.set_rng_state(state)
    assert a == indices(loader())


def sized(**options):
    sizes = [(7 * i) % 23 for i in range(23)]
    return loader(sizes=sizes, **options), sizes


def test_batches_of_like_size_hold_every_item_once_and_are_shuffled():
    one, sizes = sized()
    first = [[index for _, index in batch] for batch in one]
    assert sorted(index for batch in first for index in batch) == list(range(23))
    assert [len(batch) for batch in first] == [4] * 5 + [3]
    spread = [max(sizes[i] for i in batch) - min(sizes[i] for i in batch) for batch in first[:-1]]
    assert max(spread) < 8, "one pool: neighbours in size stand together"
    least = [min(sizes[i] for i in batch) for batch in first]
    assert least != sorted(least), "short batches do not all come first"
    one.sampler.set_epoch(1)
    second = [[index for _, index in batch] for batch in one]
    assert second != first
    assert set(second[-1]) != set(first[-1]), "no item is always in the incomplete batch, which training drops"


def test_batches_of_like_size_are_resumed_and_shared():
    whole = list(sized()[0])
    other = sized()[0]
    other.load_state_dict({"given": 3})
    assert list(other) == whole[3:]
    whole = [sorted(index for _, index in batch) for batch in sized(drop_last=True)[0]]
    ranks = [list(sized(batch_size=2, drop_last=True, rank=rank, world=2)[0]) for rank in range(2)]
    assert [sorted(index for _, index in a + b) for a, b in zip(*ranks, strict=True)] == whole


def test_resumed_with_other_batches_nothing_is_left_out():
    before = loader(batch_size=2, world=2)
    iterator = iter(before)
    for _ in range(4):
        next(iterator)  # of this rank; the other one's as well: 16 items
    for size, world, again in ((4, 1, 0), (5, 1, 1), (8, 2, 0)):
        ranks = [loader(batch_size=size, rank=rank, world=world) for rank in range(world)]
        for one in ranks:
            one.load_state_dict(before.state_dict())
        rest = [index for one in ranks for index in indices(one)]
        (whole,) = ([index for _, index in batch] for batch in loader(batch_size=23))
        assert sorted(rest) == sorted(whole[16 - again :]), "from the same place of the same order"


class OfThree:
    """As much of a Trainer of three processes as data modules look at."""

    world_size, global_rank = 3, 0


def test_fewer_items_than_processes_are_one_sentence():
    data = ResumableData(batch_size=2, workers=0, seed=0)
    data.trainer = OfThree()
    with pytest.raises(DataError, match="validation or test split has 2 of its items for 3 processes"):
        data.evaluation(Subset(Places(), [1, 2]), list)
    with pytest.raises(DataError, match="training split has 2 of its items for 3 processes"):
        data.training(Subset(Places(), [1, 2]), list)


def test_a_trainer_that_counts_the_stopped_epoch_as_done_goes_on_in_it():
    one = loader()
    one.sampler.set_epoch(3)
    iterator = iter(one)
    for _ in range(2):
        next(iterator)
    state = one.state_dict()
    rest = list(iterator)
    one.sampler.set_epoch(4)
    following = list(one)
    other = loader()
    other.load_state_dict(state)
    other.sampler.set_epoch(4)
    assert list(other) == rest
    other.sampler.set_epoch(5)
    assert list(other) == following
    third = loader()
    third.load_state_dict(other.state_dict())  # at the end of an epoch the count stays corrected
    third.sampler.set_epoch(5)
    assert list(third) == following

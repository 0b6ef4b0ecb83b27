from __future__ import annotations

import random
from collections import Counter

import pytest

from multimodal.data.images.samples import Sample
from multimodal.data.images.split import stratified
from multimodal.errors import ArgumentError, DataError


def samples_of(*counts: int) -> list[Sample]:
    """So many samples of each class, mixed."""
    samples = [Sample(f"{label}/{i}", (label,)) for label, count in enumerate(counts) for i in range(count)]
    random.Random(0).shuffle(samples)
    return samples


def per_class(samples) -> Counter:
    return Counter(label for sample in samples for label in sample.labels)


def test_each_class_gives_its_share():
    samples = samples_of(100, 50, 10, 7, 2, 1)
    train, val = stratified(samples, 0.2, 0)
    assert per_class(val) == {0: 20, 1: 10, 2: 2, 3: 1, 4: 1}
    assert sorted((*train, *val), key=samples.index) == samples
    assert list(train) == sorted(train, key=samples.index)  # the order is kept


def test_the_same_seed_gives_the_same_split_and_another_another():
    samples = samples_of(40, 40)
    assert stratified(samples, 0.2, 1) == stratified(samples, 0.2, 1)
    assert stratified(samples, 0.2, 1) != stratified(samples, 0.2, 2)


def test_a_class_of_two_is_on_both_sides_and_of_one_in_train():
    train, val = stratified(samples_of(2, 1, 3), 0.1, 0)
    assert per_class(train) == {0: 1, 1: 1, 2: 2}
    assert per_class(val) == {0: 1, 2: 1}
    train, val = stratified(samples_of(2, 3, 1), 0.9, 0)
    assert per_class(train) == {0: 1, 1: 1, 2: 1}


@pytest.mark.parametrize("seed", range(20))
def test_groups_are_never_torn(seed):
    chance = random.Random(seed)
    samples = samples_of(*(chance.randint(1, 40) for _ in range(6)))
    groups = {s.path: 100 * s.labels[0] + chance.randrange(12) for s in samples if chance.random() < 0.8}
    fraction = chance.choice([0.1, 0.2, 0.5])
    train, val = stratified(samples, fraction, seed, groups)
    on_train, on_val = ({groups.get(s.path, s.path) for s in side} for side in (train, val))
    assert not on_train & on_val
    for label, total in per_class(samples).items():
        members = [s for s in samples if s.labels == (label,)]
        sizes = Counter(groups.get(s.path, s.path) for s in members)
        held_out = per_class(val)[label]
        if len(sizes) > 1:
            assert 0 < held_out < total
        # off by no more than a group, or than what having an image on both sides takes
        assert abs(held_out - fraction * total) <= max(sizes.values()) or len(sizes) == 2


def test_two_large_groups_go_to_either_side():
    samples = samples_of(10, 10)
    groups = {s.path: s.labels[0] * 2 + int(s.path[-1]) % 2 for s in samples}  # two groups of five in each class
    _, val = stratified(samples, 0.1, 0, groups)
    assert per_class(val) == {0: 5, 1: 5}


def test_large_groups_stay_in_train_when_small_ones_suffice():
    samples = samples_of(10)
    groups = {f"0/{i}": 0 for i in range(8)}
    _, val = stratified(samples, 0.2, 0, groups)
    assert {s.path for s in val} == {"0/8", "0/9"}


def test_a_group_across_classes_stays_whole():
    samples = samples_of(6, 6)
    groups = {"0/0": 0, "1/0": 0}
    for seed in range(10):
        _, val = stratified(samples, 0.3, seed, groups)
        paths = {s.path for s in val}
        assert ("0/0" in paths) == ("1/0" in paths)
        assert per_class(val) == {0: 2, 1: 2}


def test_several_labels_are_all_shared_out():
    chance = random.Random(0)
    samples = [Sample(str(i), tuple(k for k in range(5) if chance.random() < 0.5 / (k + 1))) for i in range(600)]
    train, val = stratified(samples, 0.25, 0)
    total, held_out = per_class(samples), per_class(val)
    assert len(train) + len(val) == 600
    for label in range(5):
        assert abs(held_out[label] / total[label] - 0.25) < 0.03
    unlabelled = [s for s in samples if not s.labels]
    assert abs(len([s for s in val if not s.labels]) / len(unlabelled) - 0.25) < 0.03


def test_a_rare_label_among_several_is_on_both_sides():
    samples = [Sample(str(i), (0, 1) if i < 2 else (0,)) for i in range(50)]
    train, val = stratified(samples, 0.1, 0)
    assert per_class(train)[1] == per_class(val)[1] == 1


def test_when_nothing_can_be_held_out():
    with pytest.raises(DataError, match="Nothing can be held out"):
        stratified(samples_of(1, 1), 0.2, 0)
    copies = samples_of(3, 3)
    with pytest.raises(DataError, match="versions of one picture count as one"):
        stratified(copies, 0.2, 0, {s.path: s.labels[0] for s in copies})


@pytest.mark.parametrize("fraction", [0.0, 1.0, -1.0, float("nan")])
def test_a_fraction_out_of_range(fraction):
    with pytest.raises(ArgumentError, match="between 0 and 1"):
        stratified(samples_of(5, 5), fraction, 0)

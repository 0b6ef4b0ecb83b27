"""A validation split: stratified, seeded, and with the versions of one picture on one side.

Iterative stratification (Sechidis, Tsoumakas and Vlahavas, "On the stratification of multi-label data", 2011) over
groups of images instead of single ones: rare classes are dealt first, each group to the side that lacks most of that
class. With one label an image and no groups this is ordinary stratification.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence

from multimodal.data.images.samples import Sample
from multimodal.errors import ArgumentError, DataError

TRAIN, VAL = 0, 1


def stratified(
    samples: Sequence[Sample], fraction: float, seed: int, groups: Mapping[str, int] | None = None
) -> tuple[tuple[Sample, ...], tuple[Sample, ...]]:
    """`samples` as (train, val), each in the order given; the same for the same samples, fraction and seed.

    A class of one group stays in train. One of several is on both sides, as far as groups that hold several classes
    allow it. `fraction` of each class goes to val, as near as whole groups come to it.

    Args:
        samples: what to split.
        fraction: part of the images to hold out, above 0 and below 1.
        seed: of the order among equal choices.
        groups: sample path to group number; samples of one group stay together. Paths not named stand alone.

    Raises:
        ArgumentError: `fraction` out of range.
        DataError: nothing can be held out, because no class has images of two groups.
    """
    if not 0 < fraction < 1:
        raise ArgumentError(f"The fraction to hold out is {fraction}; it must lie between 0 and 1.")
    members = _grouped(samples, groups or {})
    counts = [Counter(label for i in group for label in _strata(samples[i])) for group in members]
    side = _deal(counts, fraction, random.Random(seed))
    _repair(counts, side)
    held_out = {i for group, place in zip(members, side, strict=True) if place == VAL for i in group}
    if not held_out:
        raise DataError(
            "Nothing can be held out for validation: every class has a single file (versions of one picture count as "
            "one). Add files, or give a validation folder."
        )
    train = tuple(sample for i, sample in enumerate(samples) if i not in held_out)
    return train, tuple(sample for i, sample in enumerate(samples) if i in held_out)


def _grouped(samples: Sequence[Sample], groups: Mapping[str, int]) -> list[list[int]]:
    """Indices of the samples of each group, in order of appearance."""
    members: dict[object, list[int]] = {}
    for i, sample in enumerate(samples):
        members.setdefault(groups.get(sample.path, sample.path), []).append(i)
    return list(members.values())


def _strata(sample: Sample) -> tuple[int, ...]:
    """The labels of a sample; one without labels counts as a class of its own."""
    return sample.labels or (-1,)


def _deal(counts: list[Counter[int]], fraction: float, chance: random.Random) -> list[int]:
    """A side for every group. `counts[g][label]` is how many images of that label group g holds."""
    total: Counter[int] = Counter()
    holders: dict[int, list[int]] = {}
    for g, count in enumerate(counts):
        total.update(count)
        for label in count:
            holders.setdefault(label, []).append(g)
    wanted = {label: _shares(total[label], fraction, len(holders[label])) for label in total}
    tie = [chance.random() for _ in counts]
    side: list[int | None] = [None] * len(counts)
    open_groups = {label: len(groups) for label, groups in holders.items()}
    while open_groups:
        label = min(open_groups, key=lambda label: (open_groups[label], label))
        waiting = [g for g in holders[label] if side[g] is None]
        for g in sorted(waiting, key=lambda g: (-counts[g][label], tie[g])):  # large groups first: small ones even out
            place = _neediest(wanted, label, counts[g])
            side[g] = place
            for other, count in counts[g].items():
                wanted[other][place] -= count
                if other in open_groups:
                    open_groups[other] -= 1
        del open_groups[label]
    return [TRAIN if place is None else place for place in side]


def _shares(images: int, fraction: float, groups: int) -> list[float]:
    """How many images of a class train and val should get, by its share; a class of one group is all for train."""
    val = round(fraction * images) if groups > 1 else 0
    return [float(images - val), float(val)]


def _neediest(wanted: dict[int, list[float]], label: int, count: Counter[int]) -> int:
    """The side that lacks more of `label`; of equal ones that which lacks more of the group's other labels."""
    train, val = ((wanted[label][side], sum(wanted[other][side] for other in count)) for side in (TRAIN, VAL))
    return VAL if val > train else TRAIN


def _repair(counts: list[Counter[int]], side: list[int]) -> None:
    """Give each class of two groups or more an image on both sides, where that takes none from another class."""
    on: list[Counter[int]] = [Counter(), Counter()]  # groups of each class on each side
    for count, place in zip(counts, side, strict=True):
        on[place].update(count.keys())
    for label in sorted(on[TRAIN] | on[VAL]):
        for empty in (TRAIN, VAL):
            full = 1 - empty
            if on[empty][label] or on[full][label] < 2:
                continue
            movable = [
                g
                for g, count in enumerate(counts)
                if side[g] == full and label in count and all(on[full][other] > 1 for other in count)
            ]
            if movable:
                g = min(movable, key=lambda g: counts[g].total())
                side[g] = empty
                on[full].subtract(counts[g].keys())
                on[empty].update(counts[g].keys())

"""The validation split: an image, or a copy of it, is never on both sides."""

from __future__ import annotations

from pathlib import Path

import pytest
from pair_files import pictures, png, tar, write

from multimodal.data.images.shards import read_bytes
from multimodal.data.pairs.read import read_pairs
from multimodal.data.pairs.samples import Pair, PairedImages
from multimodal.data.pairs.split import TAIL, copies, hold_out
from multimodal.errors import ArgumentError, DataError


def paired(folder: Path, **splits: list[str]) -> PairedImages:
    parts = {name: tuple(Pair(str(folder / path), (path,)) for path in paths) for name, paths in splits.items()}
    return PairedImages(str(folder), parts, ())


@pytest.fixture
def twenty(tmp_path):
    """Twenty images, of which the first five are one picture."""
    names = [f"{i:02d}.png" for i in range(20)]
    pictures(tmp_path, *names)
    for name in names[1:5]:
        write(tmp_path / name, png(0))
    return tmp_path, names


def test_a_seeded_part_is_held_out_and_copies_stay_together(twenty):
    folder, names = twenty
    images = paired(folder, train=names)
    for seed in range(12):
        parts = hold_out(images, 0.3, seed).splits
        train, val = ([pair.captions[0] for pair in parts[name]] for name in ("train", "val"))
        assert sorted([*train, *val]) == names
        assert train == sorted(train)
        assert val == sorted(val)
        assert 4 <= len(val) <= 8
        assert len({name in val for name in names[:5]}) == 1
    assert hold_out(images, 0.3, 1) == hold_out(images, 0.3, 1) != hold_out(images, 0.3, 2)


def test_a_part_that_is_given_stays_and_its_copies_are_not_trained_on(twenty):
    folder, names = twenty
    images = hold_out(paired(folder, train=names[2:10], val=[names[0], names[11]], test=[names[1]]), 0.5, 0)
    assert [pair.captions[0] for pair in images.splits["train"]] == names[5:10]
    assert [pair.captions[0] for pair in images.splits["val"]] == [names[0], names[11]]
    assert [one.path for one in images.skipped] == [str(folder / name) for name in names[2:5]]
    assert "a copy of" in images.skipped[0].reason


def test_a_test_part_alone_leaves_validation_to_be_held_out(twenty):
    folder, names = twenty
    images = hold_out(paired(folder, train=names[:15], test=names[15:]), 0.3, 0)
    assert list(images.splits) == ["train", "val", "test"]
    assert len(images.splits["test"]) == 5
    only = paired(folder, test=names)
    assert hold_out(only, 0.3, 0) is only


def test_copies_are_equal_to_the_last_byte(tmp_path):
    same = b"x" * (2 * TAIL)
    contents = {"a": same, "b": same, "c": b"y" + same[1:], "d": same[:-1] + b"y", "e": same[:-1], "f": b"", "g": b""}
    for name, content in contents.items():
        write(tmp_path / name, content)
    shard = tar(tmp_path / "0.tar", {"h.png": same, "i.png": same[:-1], "j.png": b"y" + same[1:]})
    paths = [str(tmp_path / name) for name in contents] + [f"{shard}::{name}.png" for name in "hij"]
    found = copies([*paths, str(tmp_path / "gone"), f"{shard}::gone.png", paths[3]])
    groups: dict[int, set[str]] = {}
    for path, number in found.items():
        groups.setdefault(number, set()).add(path.rpartition("/")[2])
    assert sorted(map(sorted, groups.values())) == sorted(
        [["0.tar::h.png", "a", "b"], ["0.tar::i.png", "e"], ["0.tar::j.png", "c"], ["f", "g"]]
    )
    by_hand = {path: read_bytes(path) for path in paths}
    for one in paths:
        for two in paths:
            together = one in found and two in found and found[one] == found[two]
            assert together == (by_hand[one] == by_hand[two] and (one != two or one in found))


def test_too_few_images_or_a_wrong_part(twenty):
    folder, names = twenty
    with pytest.raises(DataError, match=r"too few different training files \(5\)"):
        hold_out(paired(folder, train=names[:5]), 0.5, 0)
    with pytest.raises(DataError, match=r"All 4 training files .* are copies"):
        hold_out(paired(folder, train=names[1:5], val=names[:1]), 0.5, 0)
    for fraction in (0.0, 1.0, -1.0):
        with pytest.raises(ArgumentError, match="val_fraction is"):
            hold_out(paired(folder, train=names), fraction, 0)


def test_two_spellings_of_one_path_are_one_image(tmp_path):
    pictures(tmp_path, "a.png", "b.png")
    table = write(tmp_path / "x.csv", "file,caption\na.png,x\n./a.png,y\nimages/../a.png,z\nb.png,w\n")
    images = hold_out(read_pairs(table), 0.5, 0)
    assert sorted(len(pair.captions) for part in images.splits.values() for pair in part) == [1, 3]

from __future__ import annotations

import pytest

from multimodal.data.images.samples import Row, Sample, Skipped, assemble, parse_labels, sorted_labels, split_of
from multimodal.errors import DataError

SPLITS = {
    "train": ("train", "Training"),
    "val": ("val", "valid", "validation", "dev", "VAL", " val "),
    "test": ("test", "testing"),
    None: ("cats", "trains", ""),
}


@pytest.mark.parametrize(("name", "split"), [(name, split) for split, names in SPLITS.items() for name in names])
def test_split_names(name, split):
    assert split_of(name) == split


@pytest.mark.parametrize(
    ("value", "labels"),
    [
        ("cat", ("cat",)),
        (" cat | dog ", ("cat", "dog")),
        ("cat|cat", ("cat",)),
        ("|", ()),
        ("", ()),
        (None, ()),
        (3, ("3",)),
        (["dog", "cat"], ("dog", "cat")),
        ("cafe\u0301", ("caf\u00e9",)),  # two spellings of é
    ],
)
def test_labels_of_a_cell(value, labels):
    assert parse_labels(value, "|") == labels


def test_without_separator_a_cell_is_one_label():
    assert parse_labels("cat|dog", None) == ("cat|dog",)


@pytest.mark.parametrize("value", [{"name": "cat"}, [["cat"]], [None]])
def test_a_label_that_is_no_name_is_refused(value):
    with pytest.raises(DataError, match="not a class name"):
        parse_labels(value, "|")


def test_numbers_are_sorted_as_numbers_and_names_as_names():
    assert sorted_labels({"10", "9", "1", "01"}) == ("01", "1", "9", "10")
    assert sorted_labels({"10", "9", "b"}) == ("10", "9", "b")


def test_training_alone_decides_the_indices():
    rows = [Row("val", "v", ("b",)), Row("train", "1", ("c",)), Row("train", "2", ("b",)), Row("train", "3", ("a",))]
    images = assemble("root", rows, [])
    assert images.labels == ("a", "b", "c")
    assert images.splits["val"] == (Sample("v", (1,)),)
    assert images.splits["train"] == (Sample("1", (2,)), Sample("2", (1,)), Sample("3", (0,)))


def test_a_validation_class_that_training_lacks_is_refused_with_the_nearest():
    rows = [Row("train", "1", ("cats",)), Row("train", "2", ("dogs",)), Row("val", "v.jpg", ("cat",))]
    with pytest.raises(DataError, match=r"val part .* 'cat' .*v\.jpg.* Did you mean 'cats'\?"):
        assemble("root", rows, [])


def test_several_labels_make_it_multi_label_and_allow_none():
    rows = [Row("train", "1", ("a", "b")), Row("train", "2", ()), Row("train", "3", ("b",))]
    images = assemble("root", rows, [])
    assert images.multi_label
    assert [sample.labels for sample in images.splits["train"]] == [(0, 1), (), (1,)]


def test_a_missing_label_is_left_out_and_counted():
    images = assemble("root", [Row("train", "1", ("a",)), Row("train", "2", ()), Row("train", "3", ("b",))], [])
    assert not images.multi_label
    assert images.skipped == (Skipped("2", "no label"),)
    assert len(images.splits["train"]) == 2


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "holds no labelled images"),
        ([Row("val", "1", ("a",))], "none for training"),
        ([Row("train", "1", ("a",))], r"one class, 'a' \(1 training images\)"),
        ([Row("train", "1", ())], "No training image of root has a label"),
    ],
)
def test_what_cannot_be_learnt_from_is_refused(rows, message):
    with pytest.raises(DataError, match=message):
        assemble("root", rows, [])

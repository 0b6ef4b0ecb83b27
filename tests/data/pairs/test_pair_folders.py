"""Folders with a text file beside each image."""

from __future__ import annotations

import os

import pytest
from pair_files import pictures, plain, write

from multimodal.data.pairs.read import read_pairs
from multimodal.errors import DataError


def test_each_line_is_a_caption_at_any_depth(tmp_path):
    pictures(tmp_path, "a.png", "b/c.JPG", "b/d e.v2.png")
    write(tmp_path / "a.txt", "\ufeffone\r\n\r\n  two  \r\none\r\n")
    write(tmp_path / "b" / "c.txt", "[three]")
    write(tmp_path / "b" / "d e.v2.txt", "ünï 文")
    write(tmp_path / "notes.txt", "of no image")
    images = read_pairs(tmp_path)
    assert plain(images) == {"train": {"a.png": ("one", "two"), "c.JPG": ("[three]",), "d e.v2.png": ("ünï 文",)}}
    assert images.skipped == ()


def test_folders_are_the_splits(tmp_path):
    for place in ("train/1", "valid/2", "test/x/3", "other/4"):
        pictures(tmp_path, f"{place}.png")
        write(tmp_path / f"{place}.txt", place)
    images = read_pairs(tmp_path)
    assert plain(images) == {
        "train": {"1.png": ("train/1",)},
        "val": {"2.png": ("valid/2",)},
        "test": {"3.png": ("test/x/3",)},
    }
    assert [one.reason for one in images.skipped] == ["not in a training, validation or test folder"]


def test_what_cannot_be_used_is_named_and_counted(tmp_path):
    pictures(tmp_path, "a.png", "b.png", "c.png", "d.png", "e.png")
    write(tmp_path / "a.txt", "good")
    write(tmp_path / "b.txt", b"caf\xe9")
    write(tmp_path / "c.txt", "\n \n")
    (tmp_path / "d.txt").mkdir()
    write(tmp_path / "e.txt", b"x" * (2 << 20))
    images = read_pairs(tmp_path)
    assert plain(images) == {"train": {"a.png": ("good",)}}
    assert [one.reason for one in images.skipped] == [
        "not UTF-8 (byte 3); save it as UTF-8",
        "empty text",
        "no such file, so what it belongs to has no caption",
        "too large to be captions",
    ]


def test_names_with_quotes_and_line_breaks(tmp_path):
    for name in ('it\'s "one"', "two\nlines"):
        pictures(tmp_path, f"{name}.png")
        write(tmp_path / f"{name}.txt", name)
    write(tmp_path / "three\nlines.jpg", b"no text")
    images = read_pairs(tmp_path)
    assert plain(images)["train"] == {'it\'s "one".png': ('it\'s "one"',), "two\nlines.png": ("two", "lines")}
    assert images.skipped[0].path == ascii(str(tmp_path / "three\nlines.txt"))  # on one line


def test_a_folder_of_nothing_says_why_in_one_sentence(tmp_path):
    with pytest.raises(DataError, match=r"holds no image or recording with a caption; put a \.txt beside each image"):
        read_pairs(tmp_path)
    pictures(tmp_path, "a.png", "b.png")
    with pytest.raises(DataError, match=r"put a \.txt beside each image, or give a table\. 2 entries were left out"):
        read_pairs(tmp_path)
    write(tmp_path / "a.txt", " \n")
    write(tmp_path / "b.txt", "")
    with pytest.raises(
        DataError, match=r"holds no image or recording with a caption\. 2 entries .*a\.txt: empty text\."
    ) as caught:
        read_pairs(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_may_not_be_read(tmp_path):
    (tmp_path / "x").mkdir(mode=0)
    with pytest.raises(DataError, match="cannot be listed"):
        read_pairs(tmp_path)

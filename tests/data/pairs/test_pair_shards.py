"""Tar shards of images with captions, whole and damaged."""

from __future__ import annotations

import json

import pytest
from pair_files import pictures, plain, png, tar, write

from multimodal.data.images.shards import read_bytes
from multimodal.data.pairs.read import read_pairs
from multimodal.errors import DataError


def test_captions_stand_beside_images(tmp_path):
    shard = tar(
        tmp_path / "000.tar",
        {
            "x/1.jpg": png(1),
            "x/1.txt": "a dog\n\n the dog \n",
            "x/1.json": json.dumps({"caption": "not read: there is a .txt"}),
            "x/2.png": png(2),
            "x/2.json": json.dumps({"caption": "a cat", "width": 3}),
            "3.webp": png(3),
            "3.json": json.dumps({"captions": ["one", "two"], "title": "x"}),
            "._3.jpg": b"junk",
        },
    )
    images = read_pairs(shard)
    assert [(pair.path, pair.captions) for pair in images.splits["train"]] == [
        (f"{shard}::x/1.jpg", ("a dog", "the dog")),
        (f"{shard}::x/2.png", ("a cat",)),
        (f"{shard}::3.webp", ("one", "two")),
    ]
    assert images.skipped == ()
    assert [read_bytes(pair.path) for pair in images.splits["train"]] == [png(1), png(2), png(3)]


def test_the_field_that_is_given(tmp_path):
    shard = tar(tmp_path / "0.tar", {"1.jpg": png(1), "1.json": json.dumps({"caption": "short", "long": "long"})})
    assert plain(read_pairs(shard, caption="long"))["train"] == {"0.tar::1.jpg": ("long",)}
    with pytest.raises(DataError, match=r"One entry was left out.*no column 'lang'.*Did you mean 'long'"):
        read_pairs(shard, caption="lang")


def test_folders_and_names_of_shards_say_the_split(tmp_path):
    tar(tmp_path / "pets-train-000.tar", {"1.jpg": png(1), "1.txt": "a"})
    tar(tmp_path / "val" / "000.tar", {"2.jpg": png(2), "2.txt": "b"})
    images = read_pairs(tmp_path)
    assert {split: [pair.captions for pair in pairs] for split, pairs in images.splits.items()} == {
        "train": [("a",)],
        "val": [("b",)],
    }


def test_what_cannot_be_used_is_named_and_counted(tmp_path):
    members = {
        "1.jpg": png(1),
        "1.txt": "good",
        "2.jpg": png(2),
        "3.txt": "no image",
        "4.jpg": png(4),
        "4.txt": b"caf\xe9",
        "5.jpg": png(5),
        "5.txt": " \n\n",
        "6.jpg": png(6),
        "6.json": "{",
        "7.jpg": png(7),
        "7.json": "[1]",
        "8.jpg": png(8),
        "8.json": '{"url": "x"}',
        "9.jpg": png(9),
        "9.json": '{"caption": null}',
        "a.jpg": png(10),
        "a.txt": b"x" * (2 << 20),
    }
    images = read_pairs(tar(tmp_path / "0.tar", members))
    assert plain(images)["train"] == {"0.tar::1.jpg": ("good",)}
    assert [(one.path.rpartition("::")[2], one.reason.split(":")[0]) for one in images.skipped] == [
        ("2.jpg", "no .txt or .json with its name"),
        ("3", "no image or recording with this name"),
        ("4.txt", "not UTF-8 (byte 3); save it as UTF-8"),
        ("5.txt", "empty text"),
        ("6.json", "not JSON"),
        ("7.json", "not a JSON object of fields"),
        ("8.json", "it has no column for the captions"),
        ("9.json", "no text"),
        ("a.txt", "too large to be a caption"),
    ]


def test_a_shard_that_is_cut_short_is_named_and_the_others_are_read(tmp_path):
    whole = tar(tmp_path / "0.tar", {"1.jpg": png(1), "1.txt": "a"})
    members = {f"{i}.{ending}": png(i) * 20 if ending == "jpg" else "x" for i in range(9) for ending in ("jpg", "txt")}
    cut = tar(tmp_path / "1.tar", members)
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 2])
    images = read_pairs(tmp_path)
    assert [pair.path for pair in images.splits["train"]] == [f"{whole}::1.jpg"]
    assert images.skipped[0].path == str(cut)
    assert "not a complete tar file" in images.skipped[0].reason
    with pytest.raises(
        DataError, match=r"holds no image or recording with a caption.*not a complete tar file"
    ) as caught:
        read_pairs(cut)
    assert "\n" not in str(caught.value)


def test_compressed_and_empty_shards(tmp_path):
    write(tmp_path / "0.tar", b"\x1f\x8b" + b"x" * 1000)
    with pytest.raises(DataError, match="is compressed; decompress it"):
        read_pairs(tmp_path / "0.tar")
    with pytest.raises(DataError, match="holds no image or recording with a caption"):
        read_pairs(tar(tmp_path / "1.tar", {}))


def test_an_archive_beside_what_was_unpacked_from_it_is_not_read(tmp_path):
    pictures(tmp_path, "a.png")
    write(tmp_path / "a.txt", "unpacked")
    tar(tmp_path / "all.tar", {"a.png": png(0), "a.txt": "packed"})
    assert plain(read_pairs(tmp_path)) == {"train": {"a.png": ("unpacked",)}}

from __future__ import annotations

import io
import json
import multiprocessing
import tarfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from multimodal.data.images.shards import read_bytes, read_shards
from multimodal.errors import DataError


def write_shard(path: Path, members: dict[str, bytes | str], mode: str = "w") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode) as archive:
        for name, content in members.items():
            data = content.encode() if isinstance(content, str) else content
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def test_labels_beside_images(tmp_path):
    shard = write_shard(
        tmp_path / "000.tar",
        {
            "x/1.jpg": b"one",
            "x/1.cls": "dog\n",
            "x/2.png": b"two",
            "x/2.json": json.dumps({"label": "cat", "width": 3}),
            "3.jpg": b"three",
            "3.txt": "cat",
            "._3.jpg": b"junk",
            "4.jpg": b"four",
            "5.cls": "cat",
        },
    )
    images = read_shards(tmp_path, [shard])
    assert images.labels == ("cat", "dog")
    assert [(sample.path, sample.labels) for sample in images.splits["train"]] == [
        (f"{shard}::x/1.jpg", (1,)),
        (f"{shard}::x/2.png", (0,)),
        (f"{shard}::3.jpg", (0,)),
    ]
    assert [read_bytes(sample.path) for sample in images.splits["train"]] == [b"one", b"two", b"three"]
    assert [skipped.path for skipped in images.skipped] == [f"{shard}::4.jpg", f"{shard}::5"]


def test_numbers_are_classes_in_their_order_and_lists_are_several(tmp_path):
    members = {f"{i}.jpg": b"x" for i in range(12)} | {f"{i}.cls": str(i) for i in range(12)}
    assert read_shards(tmp_path, [write_shard(tmp_path / "n.tar", members)]).labels == tuple(map(str, range(12)))
    several = {"1.jpg": b"x", "1.json": '{"labels": ["a", "b"]}', "2.jpg": b"x", "2.json": '["b"]'}
    images = read_shards(tmp_path, [write_shard(tmp_path / "s.tar", several)])
    assert [sample.labels for sample in images.splits["train"]] == [(0, 1), (1,)]


def test_splits_by_folder_and_by_name(tmp_path):
    pair = {"1.jpg": b"x", "1.cls": "a", "2.jpg": b"x", "2.cls": "b"}
    shards = [write_shard(tmp_path / name, pair) for name in ("pets-train-00.tar", "pets-val-00.tar", "test/0.tar")]
    images = read_shards(tmp_path, shards)
    assert {split: samples[0].path for split, samples in images.splits.items()} == {
        "train": f"{shards[0]}::1.jpg",
        "val": f"{shards[1]}::1.jpg",
        "test": f"{shards[2]}::1.jpg",
    }


def test_a_shard_given_alone_is_for_training_whatever_its_name(tmp_path):
    shard = write_shard(tmp_path / "val" / "val.tar", {"1.jpg": b"x", "1.cls": "a", "2.jpg": b"x", "2.cls": "b"})
    assert set(read_shards(shard, [shard]).splits) == {"train"}


def test_members_are_read_at_random_by_threads_and_processes(tmp_path):
    members = {f"long/{'n' * 120}/{i}.jpg": bytes([i]) * (i + 600) for i in range(60)}
    shard = write_shard(tmp_path / "0.tar", members)
    paths = [f"{shard}::{name}" for name in members]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(read_bytes, paths[::-1])) == list(members.values())[::-1]
    with multiprocessing.get_context("fork").Pool(2) as pool:
        assert pool.map(read_bytes, paths) == list(members.values())


def test_a_shard_written_anew_is_indexed_anew(tmp_path):
    path = f"{write_shard(tmp_path / '0.tar', {'1.jpg': b'old'})}::1.jpg"
    assert read_bytes(path) == b"old"
    write_shard(tmp_path / "0.tar", {"0.jpg": b"x" * 2000, "1.jpg": b"new!"})
    assert read_bytes(path) == b"new!"


def test_plain_files_are_read_too(tmp_path):
    (tmp_path / "a.tar.jpg").write_bytes(b"plain")
    assert read_bytes(str(tmp_path / "a.tar.jpg")) == b"plain"


def test_what_is_not_there_is_named(tmp_path):
    shard = write_shard(tmp_path / "0.tar", {"1.jpg": b"x"})
    with pytest.raises(DataError, match=r"no member '2\.jpg'"):
        read_bytes(f"{shard}::2.jpg")
    with pytest.raises(DataError, match=r"none\.tar::1\.jpg cannot be read: No such file"):
        read_bytes(f"{tmp_path / 'none.tar'}::1.jpg")
    with pytest.raises(DataError, match="does not exist"):
        read_bytes(str(tmp_path / "none.jpg"))
    with pytest.raises(DataError, match="not a plain file"):
        read_bytes(str(tmp_path))


@pytest.mark.parametrize("mode", ["w:gz", "w:bz2", "w:xz"])
def test_compressed_shards_are_refused(tmp_path, mode):
    with pytest.raises(DataError, match="is compressed; decompress it"):
        read_shards(tmp_path, [write_shard(tmp_path / "0.tar", {"1.jpg": b"x"}, mode)])


def test_damaged_shards_are_refused(tmp_path):
    shard = write_shard(tmp_path / "0.tar", {"1.jpg": b"x" * 5000, "1.cls": "a", "2.jpg": b"x" * 5000})
    shard.write_bytes(shard.read_bytes()[:8000])
    with pytest.raises(DataError, match="not a complete tar file"):
        read_shards(tmp_path, [shard])
    shard.write_text("not a tar file at all " * 100)
    with pytest.raises(DataError, match="not a complete tar file"):
        read_shards(tmp_path, [shard])


@pytest.mark.parametrize(
    ("name", "content"), [("1.cls", b"\xff"), ("1.json", b"{"), ("1.json", b'{"caption": "x"}'), ("1.json", b"[[1]]")]
)
def test_a_label_that_is_none_is_named(tmp_path, name, content):
    with pytest.raises(DataError, match=rf"0\.tar::{name} holds no label"):
        read_shards(tmp_path, [write_shard(tmp_path / "0.tar", {"1.jpg": b"x", name: content})])

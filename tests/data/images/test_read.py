from __future__ import annotations

import pytest
from photos import dot
from test_shards import write_shard

from multimodal.data.images.read import read_labeled_images
from multimodal.errors import DataError

PAIR = {"1.jpg": b"x", "1.cls": "a", "2.jpg": b"x", "2.cls": "b"}


def test_each_layout_finds_its_reader(tmp_path, monkeypatch):
    dot(tmp_path / "photos" / "cat" / "1.png")
    dot(tmp_path / "photos" / "dog" / "2.png")
    (tmp_path / "t.csv").write_text("path,label\nphotos/cat/1.png,a\nphotos/dog/2.png,b\n")
    write_shard(tmp_path / "shards" / "train" / "0.tar", PAIR)
    assert read_labeled_images(tmp_path / "photos").labels == ("cat", "dog")
    assert read_labeled_images(str(tmp_path / "t.csv")).labels == ("a", "b")
    assert read_labeled_images(tmp_path / "shards").labels == ("a", "b")
    assert read_labeled_images(tmp_path / "shards" / "train" / "0.tar").labels == ("a", "b")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert read_labeled_images("~/photos").labels == ("cat", "dog")


def test_an_archive_beside_its_folders_is_not_the_data(tmp_path):
    dot(tmp_path / "cat" / "1.png")
    dot(tmp_path / "dog" / "2.png")
    write_shard(tmp_path / "download.tar", PAIR)
    assert read_labeled_images(tmp_path).labels == ("cat", "dog")


def test_a_wrong_path_gets_the_nearest(tmp_path):
    (tmp_path / "photos").mkdir()
    with pytest.raises(DataError, match=r"There is no folder or file .*phtos'\. Did you mean 'photos'\?"):
        read_labeled_images(tmp_path / "phtos")
    with pytest.raises(DataError, match="There is no folder or file"):
        read_labeled_images(tmp_path / "none" / "none")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("x.zip", "compressed archive; unpack it"),
        ("x.tar.gz", "compressed archive"),
        ("x.jpg", "is a single image"),
        ("x.txt", "neither a table nor a tar shard"),
    ],
)
def test_other_files_are_refused(tmp_path, name, message):
    (tmp_path / name).write_text("x")
    with pytest.raises(DataError, match=message):
        read_labeled_images(tmp_path / name)

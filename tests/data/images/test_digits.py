"""The digits on disk: every image once, the classes in equal shares, the pixels of the source."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from multimodal.data.images.digits import write_digits
from multimodal.errors import DataError


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_digits(tmp_path_factory.mktemp("demo") / "digits")


def test_every_digit_is_written_once_with_its_pixels(folder):
    digits = load_digits()
    paths = {int(path.stem): path for path in folder.rglob("*.png")}
    assert sorted(paths) == list(range(1797))
    for i, path in paths.items():
        assert path.parent.name == str(digits.target[i])
    for i in range(0, 1797, 97):
        with Image.open(paths[i]) as image:
            assert (image.mode, image.size) == ("L", (8, 8))
            assert np.abs(np.asarray(image) / 255 * 16 - digits.images[i]).max() <= 0.5 * 16 / 255


def test_a_fifth_of_each_class_is_for_testing(folder):
    for digit in range(10):
        train, test = (len(list((folder / split / str(digit)).iterdir())) for split in ("train", "test"))
        assert test / (train + test) == pytest.approx(0.2, abs=0.005)


def test_the_split_is_the_same_each_time_and_a_finished_folder_is_kept(folder, tmp_path):
    again = write_digits(tmp_path / "again")
    names = {path.relative_to(folder) for path in folder.rglob("*.png")}
    assert {path.relative_to(again) for path in again.rglob("*.png")} == names
    before = {path: path.stat().st_mtime_ns for path in again.rglob("*")}
    assert write_digits(again) == again
    assert {path: path.stat().st_mtime_ns for path in again.rglob("*")} == before
    assert [path.name for path in tmp_path.iterdir()] == ["again"], "no temporary folder is left"


def test_a_folder_with_other_things_is_refused_untouched(tmp_path):
    (tmp_path / "photo.png").touch()
    with pytest.raises(DataError, match="something other than the digits"):
        write_digits(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["photo.png"]


def test_an_interrupted_call_leaves_nothing(tmp_path, monkeypatch):
    saved = []

    def save(image, path):
        saved.append(path)
        if len(saved) == 5:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", save)
    with pytest.raises(OSError, match="No space left"):
        write_digits(tmp_path / "digits")
    assert list(tmp_path.iterdir()) == []

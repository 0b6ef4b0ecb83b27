from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from photos import dot

from multimodal.data.images.folders import read_folders
from multimodal.errors import DataError


def fill(root: Path, *names: str) -> Path:
    for name in names:
        dot(root / name)
    return root


def by_label(images, split="train") -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for sample in images.splits[split]:
        path = Path(sample.path).relative_to(images.root).as_posix()
        found.setdefault(images.labels[sample.labels[0]], []).append(path)
    return found


def test_class_folders_with_nested_files(tmp_path):
    images = read_folders(fill(tmp_path, "dog/1.png", "cat/a/b/2.png", "cat/1.png"))
    assert images.labels == ("cat", "dog")
    assert by_label(images) == {"cat": ["cat/1.png", "cat/a/b/2.png"], "dog": ["dog/1.png"]}
    assert images.skipped == ()


@pytest.mark.parametrize("name", ["val", "valid", "validation", "dev", "Validation"])
def test_splits_by_any_of_their_names(tmp_path, name):
    images = read_folders(fill(tmp_path, "train/a/1.png", "train/b/2.png", f"{name}/b/3.png", "test/a/4.png"))
    assert {split: len(samples) for split, samples in images.splits.items()} == {"train": 2, "val": 1, "test": 1}
    assert by_label(images, "val") == {"b": [f"{name}/b/3.png"]}  # index 1, though it is the only class there


def test_train_alone_is_a_split_and_not_a_class(tmp_path):
    images = read_folders(fill(tmp_path, "train/a/1.png", "train/b/2.png"))
    assert images.labels == ("a", "b")


def test_a_class_may_be_called_test(tmp_path):
    assert read_folders(fill(tmp_path, "test/1.png", "real/2.png")).labels == ("real", "test")


def test_what_lies_beside_is_counted(tmp_path):
    root = fill(tmp_path, "train/a/1.png", "train/b/2.png", "val/a/3.png", "train/loose.png", "extra/4.png", "5.png")
    (root / "train/a/notes.txt").write_text("x")
    (root / "train/a/.DS_Store").write_text("x")
    (root / "train/a/.cache").mkdir()
    (root / "train/a/.cache/notes.txt").write_text("x")
    (root / "train/empty").mkdir()
    (root / "README.md").write_text("x")
    reasons = Counter(skipped.reason for skipped in read_folders(root).skipped)
    assert reasons == {
        "not in a class folder": 1,
        "not in a training, validation or test folder": 2,
        "not an image file": 1,
        "empty folder": 1,
    }


def test_one_spelling_of_a_class_on_every_system(tmp_path):
    images = read_folders(fill(tmp_path, "train/cafe\u0301/1.png", "train/b/2.png", "val/caf\u00e9/3.png"))
    assert images.labels == ("b", "caf\u00e9")


def test_a_loop_of_links_ends(tmp_path):
    root = fill(tmp_path, "a/1.png", "b/2.png")
    (root / "a" / "again").symlink_to(root)
    assert len(read_folders(root).splits["train"]) == 2


def test_a_linked_class_folder_counts(tmp_path):
    root = fill(tmp_path, "data/a/1.png", "elsewhere/2.png")
    (root / "data" / "b").symlink_to(root / "elsewhere")
    assert read_folders(root / "data").labels == ("a", "b")


def test_test_images_without_classes_are_left_out(tmp_path):
    images = read_folders(fill(tmp_path, "train/a/1.png", "train/b/2.png", "test/3.png"))
    assert "test" not in images.splits
    assert [skipped.reason for skipped in images.skipped] == ["not in a class folder"]


@pytest.mark.parametrize("split", ["train", "val"])
def test_a_split_without_class_folders_is_refused(tmp_path, split):
    other = {"train": "val", "val": "train"}[split]
    fill(tmp_path, f"{other}/a/1.png", f"{other}/b/2.png", f"{split}/3.png")
    with pytest.raises(DataError, match=rf"{split} holds 1 image but no class folders"):
        read_folders(tmp_path)


def test_two_folders_for_one_split_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"both val/ and valid/"):
        read_folders(fill(tmp_path, "train/a/1.png", "train/b/2.png", "val/a/3.png", "valid/a/4.png"))


def test_loose_images_get_a_picture_of_the_layout(tmp_path):
    fill(tmp_path / "photos", "1.png", "2.png")
    (tmp_path / "photos" / "labels.csv").write_text("path,label\n")
    with pytest.raises(DataError) as raised:
        read_folders(tmp_path / "photos")
    message = str(raised.value)
    assert "holds 2 images but no class folders" in message
    assert "  photos/\n    cat/  1.jpg" in message
    assert message.endswith(f"give the table that lies there: {tmp_path / 'photos' / 'labels.csv'}")


def test_empty_and_only_junk_and_no_images(tmp_path):
    with pytest.raises(DataError, match="is empty"):
        read_folders(tmp_path)
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "._1.png").write_text("x")
    with pytest.raises(DataError, match=r"no images: none of its 1 files \(for example \._1\.png\)"):
        read_folders(tmp_path)


def test_one_class_and_one_image(tmp_path):
    with pytest.raises(DataError, match=r"one class, 'a' \(1 training images\)"):
        read_folders(fill(tmp_path, "a/1.png"))


def test_one_folder_too_many_is_named(tmp_path):
    with pytest.raises(DataError, match=rf"give {tmp_path / 'photos'} instead"):
        read_folders(fill(tmp_path, "photos/a/1.png", "photos/b/2.png"))

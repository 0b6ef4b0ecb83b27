from __future__ import annotations

import json
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from photos import photo, save
from PIL import Image

from multimodal.data.images.check import check
from multimodal.errors import DataError


@pytest.fixture
def clean(tmp_path) -> Path:
    """Two classes of twelve photos for training and three for validation."""
    seed = 0
    for split, count in (("train", 12), ("val", 3)):
        for label in ("cat", "dog"):
            for i in range(count):
                save(tmp_path / split / label / f"{i}.png", photo(seed))
                seed += 1
    return tmp_path


def findings(root, **options):
    return {finding.code: finding for finding in check(root, **options).findings}


def names(finding) -> list[tuple[str, ...]]:
    return [tuple(Path(path).name for path in group) for group in finding.files]


def test_good_data_have_no_findings(clean):
    report = check(clean)
    assert report.ok
    assert report.findings == ()
    assert report.classes == {"cat": {"train": 12, "val": 3}, "dog": {"train": 12, "val": 3}}
    assert (report.images, report.unreadable, report.median_size) == (30, 0, (96, 64))
    assert (report.formats, report.modes) == ({"PNG": 30}, {"RGB": 30})
    assert "Nothing wrong found." in str(report)


def huge_png(side: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def test_files_that_cannot_be_used(clean):
    folder = clean / "train" / "cat"
    whole = save(folder / "whole.jpg", photo(99, (300, 200))).read_bytes()
    (folder / "text.jpg").write_text("no image")
    (folder / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "empty.png").write_bytes(b"")
    (folder / "huge.png").write_bytes(huge_png(50_000))
    (folder / "notes.txt").write_text("x")
    report = check(clean)
    found = {finding.code: finding for finding in report.findings}
    assert not report.ok
    assert [finding.severity for finding in report.findings] == ["error", "warning"]
    assert report.unreadable == 4
    assert report.classes["cat"]["train"] == 13
    assert found["unreadable"].severity == "error"
    assert {name for (name,) in names(found["unreadable"])} == {"text.jpg", "cut.jpg", "empty.png", "huge.png"}
    assert any("50000 x 50000" in sentence for sentence in found["unreadable"].details)
    assert names(found["left_out"]) == [("notes.txt",)]


def test_duplicates_by_where_they_are(clean):
    train, val = clean / "train", clean / "val"

    def copy(source: Path, target: Path) -> None:
        target.write_bytes(source.read_bytes())

    copy(train / "cat/0.png", train / "cat/copy.png")
    copy(train / "cat/1.png", train / "dog/conflict.png")
    copy(train / "cat/2.png", val / "cat/leak.png")
    save(train / "cat/again.jpg", Image.open(train / "cat/3.png"), quality=60)
    save(train / "dog/again_conflict.jpg", Image.open(train / "cat/4.png"), quality=60)
    save(val / "dog/again_leak.jpg", Image.open(train / "dog/5.png"), quality=60)
    found = findings(clean)
    expected = {
        "same_file": ("warning", [("0.png", "copy.png")]),
        "same_file_in_classes": ("error", [("1.png", "conflict.png")]),
        "same_file_in_splits": ("error", [("2.png", "leak.png")]),
        "same_picture": ("note", [("3.png", "again.jpg")]),
        "same_picture_in_classes": ("warning", [("4.png", "again_conflict.jpg")]),
        "same_picture_in_splits": ("warning", [("5.png", "again_leak.jpg")]),
    }
    assert {code: (f.severity, names(f)) for code, f in found.items()} == expected


def test_uneven_and_small_classes(clean):
    for i in range(108):
        save(clean / "train" / "dog" / f"more{i}.png", photo(1000 + i, (40, 40)))
    for i in range(3, 12):
        (clean / "train" / "cat" / f"{i}.png").unlink()
    save(clean / "train" / "emu" / "0.png", photo(5000))
    found = findings(clean)
    assert "'dog' has 120 training images, 'emu' 1" in found["imbalance"].message
    assert found["few_images"].details == ("emu: 1", "cat: 3")
    assert found["missing_classes"].details == ("emu",)


def test_a_class_without_a_readable_image_is_seen(clean):
    (clean / "train" / "emu").mkdir()
    (clean / "train" / "emu" / "0.png").write_text("x")
    assert findings(clean)["few_images"].details == ("emu: 0",)


def test_shapes_colours_and_frames(clean):
    folder = clean / "train" / "cat"
    save(folder / "tiny.png", photo(90, (40, 31)))
    save(folder / "long.png", photo(91, (320, 100)))
    save(folder / "cmyk.jpg", photo(92).convert("CMYK"))
    save(folder / "deep.png", Image.fromarray(np.arange(64 * 64, dtype=np.uint16).reshape(64, 64)))
    save(folder / "moving.gif", photo(93), save_all=True, append_images=[photo(94)])
    found = findings(clean)
    assert names(found["tiny"]) == [("tiny.png",)]
    assert names(found["elongated"]) == [("long.png",)]
    assert names(found["colour_modes"]) == [("cmyk.jpg",), ("deep.png",), ("moving.gif",)]
    assert "CMYK 1, I;16 1, P 1" in found["colour_modes"].message
    assert names(found["animated"]) == [("moving.gif",)]


def test_without_validation_it_says_so(clean):
    assert "no_validation" in findings(clean / "train")


def test_several_labels(tmp_path):
    rows = []
    for i in range(6):
        save(tmp_path / f"{i}.png", photo(i))
        rows.append(f"{i}.png,{'cat|dog' if i % 2 else 'dog'}")
    (tmp_path / "copy.png").write_bytes((tmp_path / "0.png").read_bytes())
    (tmp_path / "t.csv").write_text("\n".join(["path,labels", *rows, "copy.png,cat"]))
    report = check(tmp_path / "t.csv")
    assert report.multi_label
    assert report.classes == {"cat": {"train": 4}, "dog": {"train": 6}}
    assert report.findings[0].code == "same_file_in_classes"
    assert findings(tmp_path / "t.csv", separator=None)["few_images"].details == ("cat: 1", "cat|dog: 3", "dog: 3")


def test_errors_come_first_and_json_has_everything(clean):
    for i in range(5):
        (clean / "train" / "dog" / f"bad{i}.jpg").write_text("x")
        save(clean / "train" / "dog" / f"tiny{i}.png", photo(90 + i, (20, 20)))
    report = check(clean)
    assert [finding.severity for finding in report.findings] == ["error", "warning"]
    plain = json.loads(report.to_json())
    assert plain["ok"] is False
    assert len(plain["findings"][0]["files"]) == 5
    assert plain["findings"][1]["code"] == "tiny"
    assert plain["classes"]["dog"] == {"train": 17, "val": 3}


def test_nothing_to_check(tmp_path):
    with pytest.raises(DataError, match="is empty"):
        check(tmp_path)

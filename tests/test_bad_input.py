"""Folders, models and options that cannot be used, given to the commands: one sentence, a code, no half model.

What each reader refuses in detail is tested beside it; here it is what a person at a terminal sees.
"""

from __future__ import annotations

import json
import os
import shutil
import struct
import zlib
from pathlib import Path

import pytest
from commands import ends, few_digits, train
from PIL import Image
from tiny_models import vit

import multimodal as mm
from multimodal.cli import main
from multimodal.errors import ArgumentError


@pytest.fixture(scope="module")
def start(tmp_path_factory) -> Path:
    return mm.save(vit(size=8, depth=1), tmp_path_factory.mktemp("start") / "model")


@pytest.fixture
def digits(tmp_path) -> Path:
    return few_digits(tmp_path)


def keep(folder: Path, *names: str) -> None:
    """Leave of `folder` only these files, in their folders."""
    for path in sorted(folder.rglob("*.png")):
        if path.relative_to(folder).as_posix() not in names:
            path.unlink()
    for path in sorted((p for p in folder.rglob("*") if p.is_dir()), reverse=True):
        if not any(path.iterdir()):
            path.rmdir()


def huge_png() -> bytes:
    """A sound PNG header that announces 50,000 x 50,000 pixels."""
    header = b"IHDR" + struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0)
    data = b"IDAT" + zlib.compress(bytes(100))
    return (
        b"\x89PNG\r\n\x1a\n"
        + struct.pack(">I", 13)
        + header
        + struct.pack(">I", zlib.crc32(header))
        + (struct.pack(">I", len(data) - 4) + data + struct.pack(">I", zlib.crc32(data)))
    )


UNUSABLE = {  # what is left of the digits, and words of the sentence
    "empty": ((), "is empty"),
    "one image": (("train/0/0.png",), "one class"),
    "one class": (("train/0/0.png", "train/0/1.png", "test/0/6.png"), "one class, '0'"),
    "one image a class": (("train/0/0.png", "train/1/0.png"), "single file"),
    "a validation class that training lacks": (("train/0/0.png", "train/1/0.png", "test/2/6.png"), "has the class '2'"),
}


@pytest.mark.parametrize("case", UNUSABLE)
def test_a_folder_that_cannot_be_used(case, digits, start, tmp_path, capsys):
    names, words = UNUSABLE[case]
    keep(digits, *names)
    ends(capsys, train(digits, tmp_path / "run", start), 1, str(digits) if case != "one image a class" else "", words)
    assert not (tmp_path / "run").exists()
    if case != "one image a class":  # of which a check can still tell something
        ends(capsys, ["check", str(digits)], 1, str(digits), words)


def test_bad_files_are_skipped_named_and_counted(digits, start, tmp_path, capsys):
    jpeg = tmp_path / "whole.jpg"
    Image.effect_noise((64, 64), 60).save(jpeg)
    train_0 = digits / "train" / "0"
    (train_0 / "text.jpg").write_text("no picture")
    (train_0 / "cut.jpg").write_bytes(jpeg.read_bytes()[:300])
    (train_0 / "huge.png").write_bytes(huge_png())
    (train_0 / "empty.png").touch()
    (train_0 / "self.png").symlink_to("self.png")
    (train_0 / "loop").symlink_to(digits)
    (digits / "train" / "1").rename(digits / "train" / "ñandú 猫")
    (digits / "test" / "1").rename(digits / "test" / "ñandú 猫")
    bad = ("text.jpg", "cut.jpg", "huge.png", "empty.png", "self.png")
    assert main(["check", str(digits), "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert report["images"] == 29 and report["unreadable"] == 5
    assert main(train(digits, tmp_path / "run", start)) == 0
    err = capsys.readouterr().err
    assert all(name in err for name in bad) and "Traceback" not in err
    assert mm.load(tmp_path / "run" / "model").labels == ("0", "2", "ñandú 猫")
    out = tmp_path / "run" / "model"
    assert main(["classify", str(out), str(train_0), "--csv"]) == 0
    captured = capsys.readouterr()
    assert captured.out.count("\n") >= 7 and "could not be read" in captured.err and "Traceback" not in captured.err
    assert main(["classify", str(out), str(train_0 / "huge.png")]) == 1
    assert "50000 x 50000" in capsys.readouterr().err


@pytest.mark.skipif(os.name == "nt", reason="file names are bytes on POSIX")
def test_odd_names_train(digits, start, tmp_path, capsys):
    for part in ("train", "test"):
        os.rename(digits / part / "0", os.fsencode(digits / part) + b"/caf\xe9")  # noqa: PTH104  bytes are no Path
    keep(digits, *(p.relative_to(digits).as_posix() for p in digits.rglob("*.png") if p.parent.name != "2"))
    shutil.copytree(digits / "train" / "1", digits / "train" / "[red] a")
    assert main(train(digits, tmp_path / "run", start)) == 0, capsys.readouterr().err
    assert mm.load(tmp_path / "run" / "model").labels == ("1", "[red] a", "caf\udce9")


def test_labels_of_a_table_may_look_like_paths(digits, start, tmp_path):
    rows = [f"{path},../{path.parent.name}/x" for path in sorted((digits / "train").rglob("*.png"))]
    (tmp_path / "table.csv").write_text("path,label\n" + "\n".join(rows))
    assert main(train(tmp_path / "table.csv", tmp_path / "run", start)) == 0
    assert mm.load(tmp_path / "run" / "model").labels == ("../0/x", "../1/x", "../2/x")
    assert {path.name for path in tmp_path.iterdir()} == {"table.csv", "run", "digits"}


def test_a_validation_part_may_lack_a_class(digits, start, tmp_path):
    (digits / "test").rename(digits / "val")
    shutil.rmtree(digits / "val" / "0")
    assert main(train(digits, tmp_path / "run", start, "--workers", "1", "--batch-size", "5000")) == 0
    figures = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert (figures["split"], figures["images"]) == ("val", 4)


WRONG_WORDS = {
    ("--model", "timm:vit_tny_patch16_224"): ("vit_tny_patch16_224", "Did you mean 'vit_tiny_patch16_224'"),
    ("--model", "tim:vit_tiny_patch16_224"): ("'tim:", "Did you mean 'timm'"),
    ("--model", "nowhere"): ("no folder 'nowhere'",),
    ("--epoch", "1"): ("--epoch is not an option", "Did you mean '--epochs'"),
    ("--method", "lra"): ("--method is 'lra'", "Did you mean 'lora'"),
    ("--epochs", "0"): ("epochs is 0",),
    ("--lr", "nan"): ("lr is nan",),
    ("--lr", "inf"): ("lr is inf",),
    ("--weight-decay", "nan"): ("weight_decay is nan",),
    ("--clip", "nan"): ("clip is nan",),
    ("--betas", "2", "3"): ("betas is (2.0, 3.0)",),
    ("--final-lr", "-1"): ("final_lr is -1.0",),
    ("--drop-path", "1"): ("drop_path is 1.0",),
    ("--workers", "-5"): ("workers is -5",),
    ("--workers", "100000"): ("workers is 100000",),
    ("--seed", str(2**70)): ("seed is 1180591620717411303424",),
    ("--image-size", "100000"): ("image_size is 100000",),
}


@pytest.mark.parametrize("words", WRONG_WORDS, ids=" ".join)
def test_wrong_words(words, digits, start, tmp_path, capsys):
    ends(capsys, train(digits, tmp_path / "run", start, *words), 2, *WRONG_WORDS[words])
    assert not (tmp_path / "run").exists()


def test_a_model_folder_that_was_damaged(digits, start, tmp_path, capsys):
    picture = next((digits / "test").rglob("*.png"))

    def refused(*parts: str) -> None:
        ends(capsys, train(digits, tmp_path / "run", tmp_path / "m"), 1, *parts)
        ends(capsys, ["classify", str(tmp_path / "m"), str(picture)], 1, *parts)
        assert not (tmp_path / "run").exists()

    config = tmp_path / "m" / "config.json"
    shutil.copytree(start, tmp_path / "m")
    sound = config.read_text()
    for old, new, part in (
        ('"resize": "crop"', '"resize": "crp"', "resize"),
        ('"crop_fraction": 1.0', '"crop_fraction": 7.0', "crop_fraction is 7.0"),
        ('"classes": 3', '"classes": 4', "labels has 3 entries"),
        ('"format"', "", "is not JSON"),
    ):
        assert old in sound
        config.write_text(sound.replace(old, new))
        refused(str(config), part)
    plain = json.loads(sound)
    plain["labels"] += ["d"]
    plain["config"]["classes"] = 4
    config.write_text(json.dumps(plain))
    refused(str(config), "does not fit model.safetensors", "head")
    config.write_text(sound)
    weights = tmp_path / "m" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-9])
    refused(str(weights), "is damaged")
    weights.unlink()
    refused(str(weights), "is missing")
    config.unlink()
    refused("config.json")


def test_a_link_that_loops_is_no_model(start, tmp_path, capsys):
    (tmp_path / "loop").symlink_to("loop")
    ends(capsys, ["classify", str(tmp_path / "loop"), str(tmp_path)], 2, str(tmp_path))
    with pytest.raises(ArgumentError, match="no folder"):
        mm.load(tmp_path / "loop")

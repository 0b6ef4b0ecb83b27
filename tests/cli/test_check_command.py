from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from multimodal.cli import main


@pytest.fixture
def photos(tmp_path):
    rng = np.random.default_rng(0)
    for label in ("cat", "dog"):
        (tmp_path / label).mkdir()
        for i in range(3):
            Image.fromarray(rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)).save(tmp_path / label / f"{i}.png")
    return tmp_path


def test_a_table_for_people(photos, capsys):
    assert main(["check", str(photos)]) == 0
    out, err = capsys.readouterr()
    assert f"{photos}: 6 images, 2 classes" in out
    assert err == ""


def test_an_error_ends_with_1_and_json_is_json(photos, capsys):
    (photos / "cat" / "bad.jpg").write_text("x")
    assert main(["check", str(photos), "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert report["findings"][0]["code"] == "unreadable"


def test_what_cannot_be_checked_is_one_sentence(tmp_path, capsys):
    assert main(["check", str(tmp_path)]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err == f"multimodal check: {tmp_path} is empty; it should hold one folder of images for each class.\n"


def test_the_separator_is_passed_on(photos, capsys):
    (photos / "t.csv").write_text("path,label\ncat/0.png,a;b\ndog/0.png,b\n")
    assert main(["check", str(photos / "t.csv"), "--json", "--separator", ";"]) == 0
    assert json.loads(capsys.readouterr().out)["multi_label"] is True
    assert main(["check", str(photos / "t.csv"), "--json", "--separator", ""]) == 0
    assert set(json.loads(capsys.readouterr().out)["classes"]) == {"a;b", "b"}


def test_a_wrong_option_names_the_nearest(photos, capsys):
    assert main(["check", str(photos), "--jsno"]) == 2
    assert "--json" in capsys.readouterr().err

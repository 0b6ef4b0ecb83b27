"""`multimodal classify` with a model of sound: recordings are found, labelled and explained."""

from __future__ import annotations

import json

import pytest
import soundfile
from tiny_models import vit
from tiny_sounds import LABELS, RATE, classifier, tone

from multimodal.checkpoint import save
from multimodal.cli import main


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A model of sound, one of images, and a folder with two clips, a broken one and a picture."""
    monkeypatch.chdir(tmp_path)
    save(classifier(), tmp_path / "hears")
    save(vit(), tmp_path / "sees")
    (tmp_path / "clips").mkdir()
    for name, pitch in (("a", 300), ("b", 2000)):
        soundfile.write(tmp_path / "clips" / f"{name}.wav", tone(pitch), RATE)
    (tmp_path / "clips" / "c.wav").write_text("no sound")
    return tmp_path


def run(capsys, *words):
    status = main(["classify", *map(str, words), "--device", "cpu"])
    return status, *capsys.readouterr()


def test_a_folder_of_clips(place, capsys):
    (place / "clips" / "cover.png").write_bytes(b"x")
    status, out, err = run(capsys, "hears", "clips", "--json", "--explain", "why")
    rows = [json.loads(line) for line in out.splitlines()]
    assert status == 0 and [row["path"] for row in rows] == ["clips/a.wav", "clips/b.wav"]
    assert {one["label"] for row in rows for one in row["predictions"]} == set(LABELS)
    assert (place / "why" / "a.explained.png").exists()
    assert "c.wav is a text file" in err and "2 recordings classified; 1 could not be read." in err


def test_the_table_and_a_pattern(place, capsys):
    status, out, err = run(capsys, "hears", "clips/[ab].*")
    assert status == 0 and out.splitlines()[0].split()[0] == "recording" and "2 recordings classified." in err


def test_each_model_says_what_it_looks_for(place, capsys):
    assert run(capsys, "sees", "clips")[::2] == (2, "multimodal classify: clips holds no images.\n")
    (place / "photos").mkdir()
    (place / "photos" / "a.png").write_bytes(b"x")
    assert run(capsys, "hears", "photos")[::2] == (2, "multimodal classify: photos holds no recordings.\n")

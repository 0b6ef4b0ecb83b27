"""`multimodal index` and `multimodal search` from the first picture to the last option, and what they refuse."""

from __future__ import annotations

import json
import os

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from tiny_dual_encoders import built

from multimodal.checkpoint import save
from multimodal.cli import index_place, main


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return str(save(built(), tmp_path_factory.mktemp("model") / "clip"))


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """Six pictures, one of them twice, one that is none; the test works in this folder."""
    folder = tmp_path / "photos"
    folder.mkdir()
    draw = np.random.default_rng(0)
    for name in "abcdef":
        pixels = draw.integers(0, 256, (20, 24, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{name}.png")
    (folder / "a again.png").write_bytes((folder / "a.png").read_bytes())
    (folder / "broken.jpg").write_bytes(b"no picture")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(index_place.VARIABLE, str(tmp_path / "all.index"))
    return folder


def run(capsys, *words, status=0):
    found = main([*map(str, words)])
    out, err = capsys.readouterr()
    assert found == status, err
    return out, err


def test_a_day_with_photos(photos, model, capsys, tmp_path):
    out, err = run(capsys, "index", "photos", "--model", model, "--dtype", "float32")
    assert "7 new" in out and "7 pictures are in" in out
    assert "broken.jpg" in err

    out, _ = run(capsys, "index", "--json")  # the folder and the model are known by now
    report = json.loads(out)
    assert report["unchanged"] == 7 and report["embedded"] == 0

    out, _ = run(capsys, "search", "--image", "photos/c.png", "--json", "-k", 3, "--all")
    hits = [json.loads(line) for line in out.splitlines()]
    assert len(hits) == 3 and hits[0]["path"].endswith("c.png") and hits[0]["score"] == pytest.approx(1.0, abs=1e-3)

    out, _ = run(capsys, "search", "a", "dog", "--minus", "the cat", "--all", "--paths", "--where", "path LIKE '%/b.%'")
    assert out.splitlines() == [str(photos / "b.png")]

    sheet = tmp_path / "found.html"
    _, err = run(capsys, "search", "a dog", "--all", "--sheet", sheet)
    assert str(sheet) in err and sheet.read_text().count("<img") == 7

    out, _ = run(capsys, "index", "--duplicates", "exact")
    assert sorted(line.rpartition("/")[2] for line in out.split("\n") if line) == ["a again.png", "a.png"]
    assert "7" in run(capsys, "index", "--stats")[0]
    run(capsys, "index", "--export", tmp_path / "vectors.parquet")
    assert pq.read_table(tmp_path / "vectors.parquet").num_rows == 7
    assert "7 pictures were taken out" in run(capsys, "index", "--forget", "photos")[0]


def test_what_is_not_there_is_said_and_is_no_success(photos, model, capsys):
    run(capsys, "index", "photos", "--model", model)
    out, err = run(capsys, "search", "a dog", "--where", "year = 1850", status=1)
    assert out == "" and err.strip().endswith("--all shows the nearest.")


def test_another_model_is_refused_and_migrated_to(photos, model, capsys, tmp_path):
    run(capsys, "index", "photos", "--model", model)
    other = save(built("siglip", seed=1), tmp_path / "other")
    _, err = run(capsys, "index", "--model", other, status=2)
    assert "migrate" in err and str(other) in err
    run(capsys, "index", "--migrate", "--model", other)
    run(capsys, "index", "--model", other)


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["search"], "What is searched for?"),
        (["search", "a dog"], "There is no index"),
        (["search", "a dog", "--index", "photos"], "There is no index"),
        (["search", "--image", "nowhere.png"], "There is no index"),
        (["index"], "There is no index"),
        (["index", "--migrate"], "--migrate needs the new model"),
        (["index", "--address", "x:1", "photos"], "--engine ray"),
        (["index", "photos", "--stats"], "one argument too many"),
        (["index", "--enginee", "ray"], "Did you mean '--engine'"),
    ],
)
def test_wrong_arguments_end_in_a_sentence(photos, model, capsys, words, part):
    _, err = run(capsys, *[model if word == "MODEL" else word for word in words], status=2)
    assert part in err and "Traceback" not in err


def test_a_folder_that_is_not_there_ends_with_code_1(photos, model, capsys):
    _, err = run(capsys, "index", "nowhere", "--model", model, status=1)
    assert "nowhere" in err and "Traceback" not in err


def test_a_wrong_condition_names_the_nearest_column(photos, model, capsys):
    run(capsys, "index", "photos", "--model", model)
    _, err = run(capsys, "search", "a dog", "--where", "yaer > 2000", status=2)
    assert "year" in err
    _, err = run(capsys, "search", "a dog", "--image", "photos/none.png", status=2)
    assert "none.png" in err


def test_names_reach_other_programs_as_they_are_and_do_not_steer_the_terminal(photos, model, capsysbinary):
    names = [b"two\nlines.png", b"red\x1b[31m.png", b'it\'s "quoted".png', b"no utf-8 \xff.png"]
    for name in names:
        (photos / os.fsdecode(name)).write_bytes((photos / "b.png").read_bytes())
    (photos / "bad\x1b[2J.png").write_bytes(b"no picture")
    assert main(["index", "photos", "--model", model]) == 0
    out, err = capsysbinary.readouterr()
    assert b"\x1b" not in out + err and err.count(b"cannot") + err.count(b"not an image") == 2
    assert b"broken.jpg" not in out  # it is named once
    words = ["search", "--image", "photos/b.png", "--all"]
    assert main([*words, "--null"]) == 0
    found = capsysbinary.readouterr().out
    assert {path.rpartition(b"/")[2] for path in found.split(b"\0")} >= {*names, b"b.png", b""}
    assert main([*words, "--paths"]) == 0
    assert capsysbinary.readouterr().out == found.replace(b"\0", b"\n")
    assert main(words) == 0
    table = capsysbinary.readouterr().out
    assert b"\x1b" not in table and rb"two\nlines.png" in table and rb"red\x1b[31m.png" in table
    assert main(["index", "--duplicates", "exact"]) == 0
    assert rb"two\nlines.png" in capsysbinary.readouterr().out


def test_what_is_suggested_means_the_same_index(photos, model, capsys):
    for words in (["search", "a dog"], ["index"]):
        assert "multimodal index photos/ --index 'my index'" in run(capsys, *words, "--index", "my index", status=2)[1]
    out, _ = run(capsys, "index", "photos", "--model", model, "--index", "my index")
    assert out.strip().endswith("multimodal search \"a dog on a beach\" --index 'my index'")

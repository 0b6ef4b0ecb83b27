"""`multimodal classify`: what is meant by its arguments, its three forms of output, and what cannot be read."""

from __future__ import annotations

import csv
import io
import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny_models import LABELS, vit, wrapped

from multimodal import progress
from multimodal.checkpoint import load_folder, save
from multimodal.cli import classify, main
from multimodal.errors import ArgumentError


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return str(save(vit(), tmp_path_factory.mktemp("model") / "m"))


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """a.png, b.jpg, deep/c.png, deep/[d].png and what is no picture; the test works in this folder."""
    root = tmp_path / "photos"
    (root / "deep").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name in ("a.png", "b.jpg", "deep/c.png", "deep/[d].png"):
        Image.fromarray(rng.integers(0, 256, (40, 50, 3), dtype=np.uint8)).save(root / name)
    (root / "notes.txt").write_text("no picture")
    (root / ".hidden.png").write_bytes(b"junk")
    (root / "._a.png").write_bytes(b"junk")
    monkeypatch.chdir(tmp_path)
    return root


def run(capsys, *words, status=0):
    """What `multimodal classify` prints: (stdout, stderr)."""
    found = main(["classify", "--dtype", "float32", *map(str, words)])
    out, err = capsys.readouterr()
    assert found == status, err
    return out, err


# What is meant


FOUND = {
    "a file": (["photos/a.png"], ["photos/a.png"]),
    "files in the order given": (["photos/b.jpg", "photos/a.png"], ["photos/b.jpg", "photos/a.png"]),
    "a folder": (["photos"], ["photos/a.png", "photos/b.jpg", "photos/deep/[d].png", "photos/deep/c.png"]),
    "a quoted pattern": (["photos/*.png"], ["photos/a.png"]),
    "a pattern of folders": (["ph*"], ["photos/a.png", "photos/b.jpg", "photos/deep/[d].png", "photos/deep/c.png"]),
    "below any folder": (["photos/**/*.png"], ["photos/a.png", "photos/deep/[d].png", "photos/deep/c.png"]),
    "no text by a pattern": (["photos/*.*"], ["photos/a.png", "photos/b.jpg"]),
    "a name that looks like a pattern": (["photos/deep/[d].png"], ["photos/deep/[d].png"]),
    "each once": (["photos/a.png", "photos/*.png", "photos/a.png"], ["photos/a.png"]),
    "any file by its name": (["photos/notes.txt"], ["photos/notes.txt"]),
    "hidden only by its name": (["photos/.hidden.png"], ["photos/.hidden.png"]),
}


@pytest.mark.parametrize("case", FOUND.keys())
def test_what_is_meant(case, photos):
    arguments, expected = FOUND[case]
    assert [path.as_posix() for path in classify.find(arguments)] == expected


def test_absolute_patterns_links_and_the_home_folder(photos, monkeypatch):
    assert classify.find([f"{photos}/*.png"]) == [photos / "a.png"]
    monkeypatch.setenv("HOME", str(photos))
    assert classify.find(["~/*.jpg"]) == [photos / "b.jpg"]
    (photos / "loop").symlink_to(photos)
    assert len(classify.find(["photos"])) == 4 and len(classify.find(["photos/**/*.png"])) == 3
    (photos / "gone.png").symlink_to(photos / "nothing")
    assert classify.find(["photos/gone.png"]), "it is there, and will be named as unreadable"


@pytest.mark.parametrize(
    "argument, message",
    [
        ("phtos", r"phtos does not exist, and as a pattern matches no image\. Did you mean 'photos'"),
        ("photos/*.tiff", r"photos/\*\.tiff does not exist, and as a pattern matches no image\. Give a file"),
        ("empty", r"empty holds no images\."),
        ("nowhere/x.png", r"nowhere/x\.png does not exist"),
        ("", r"An empty name does not exist"),
    ],
)
def test_what_means_no_image(argument, message, photos, model, capsys):
    Path("empty").mkdir()
    with pytest.raises(ArgumentError, match=message):
        classify.find(["photos/a.png", argument])
    out, err = run(capsys, model, argument, status=2)
    assert out == "" and err.startswith("multimodal classify: ") and err.count("\n") == 1


# What is printed


def test_one_image_has_bars(photos, model, capsys):
    out, err = run(capsys, model, "photos/a.png")
    found = load_folder(model).predict("photos/a.png")[0]
    lines = out.splitlines()
    assert lines[0] == "photos/a.png" and len(lines) == 1 + len(LABELS) and err == ""
    for line, label, value in zip(lines[1:], found.labels, found.probabilities, strict=True):
        words = line.split()
        assert words[:2] == [label, f"{value:.1%}"]
        assert len(words[2]) == round(30 * value) and set(words[2]) == {"█"}


def test_several_images_are_a_table(photos, model, capsys):
    out, err = run(capsys, model, "photos", "--top", "2")
    predictions = load_folder(model).predict(classify.find(["photos"]))
    lines = out.splitlines()
    assert lines[0].split() == ["image", "label", "then"] and len(lines) == 5
    for line, found in zip(lines[1:], predictions, strict=True):
        values = [f"{value:.1%}" for value in found.probabilities]
        assert line.split() == [found.source.as_posix(), found.label, values[0], found.labels[1], values[1]]
    assert err.startswith("4 images classified. ") and found.label in err


def test_long_names_are_not_cut_in_a_file(photos, model, capsys):
    long = photos / ("x" * 200 + ".png")
    (photos / "a.png").rename(long)
    assert long.name in run(capsys, model, "photos")[0]


def test_json_is_one_object_a_line(photos, model, capsys):
    out, _ = run(capsys, model, "photos", "--json", "--top", "2")
    records = [json.loads(line) for line in out.splitlines()]
    predictions = load_folder(model).predict(classify.find(["photos"]), top=2)
    for record, found in zip(records, predictions, strict=True):
        pairs = zip(found.labels, found.probabilities, strict=True)
        assert record == {
            "path": found.source.as_posix(),
            "predictions": [{"label": label, "probability": pytest.approx(value, abs=1e-5)} for label, value in pairs],
        }


def test_csv(photos, model, capsys):
    (photos / 'odd, "name".png').write_bytes((photos / "a.png").read_bytes())
    rows = list(csv.reader(io.StringIO(run(capsys, model, "photos", "--csv", "--top", "2")[0])))
    assert rows[0] == ["path", "label", "probability", "label_2", "probability_2"] and len(rows) == 6
    predictions = load_folder(model).predict(classify.find(["photos"]), top=2)
    for row, found in zip(rows[1:], predictions, strict=True):
        assert row[0] == found.source.as_posix() and (row[1], row[3]) == found.labels
        assert (float(row[2]), float(row[4])) == pytest.approx(found.probabilities, abs=1e-5)
    assert any(row[0] == 'photos/odd, "name".png' for row in rows)
    out, _ = run(capsys, model, "photos/a.png", "--csv", "--top", "99")
    assert out.splitlines()[0].count("label") == len(LABELS), "no columns without a label"


def test_names_and_labels_are_never_markup(photos, tmp_path, capsys):
    classifier = vit()
    classifier.labels = ("[red]a[/red]", "[/]", "日本")
    folder = save(classifier, tmp_path / "m")
    (photos / "a.png").rename(photos / "[bold]x[.png")
    out, _ = run(capsys, folder, "photos", "--top", "3")
    for part in ("[bold]x[.png", "[red]a[/red]", "[/]", "日本"):
        assert part in out


def test_names_that_are_not_unicode(photos, model, capsys):
    name = os.fsdecode(b"caf\xe9.png")
    (photos / "a.png").rename(photos / name)
    assert "caf" in run(capsys, model, "photos")[0]
    record = json.loads(run(capsys, model, photos / name, "--json")[0].encode("utf-8", "backslashreplace"))
    assert record["path"] == str(photos / name)


# What cannot be read


@pytest.mark.parametrize("form", [[], ["--json"], ["--csv"]])
def test_a_bad_file_is_named_skipped_and_counted(form, photos, model, capsys):
    (photos / "a.png").write_bytes(b"")
    out, err = run(capsys, model, "photos", "photos/notes.txt", "--batch-size", "2", *form)
    assert "a.png" not in out and "notes" not in out and "b.jpg" in out
    lines = err.splitlines()
    assert lines[0] == "photos/a.png is empty (0 bytes)."
    assert lines[1].startswith("photos/notes.txt is a text file")
    assert lines[2].startswith("3 images classified; 2 could not be read.") and len(lines) == 3


@pytest.mark.parametrize("form", [[], ["--json"], ["--csv"]])
def test_nothing_could_be_read(form, photos, model, capsys):
    out, err = run(capsys, model, "photos/notes.txt", "photos/.hidden.png", *form, status=1)
    assert out in ("", "path,label,probability,label_2,probability_2,label_3,probability_3\n")
    assert "0 images classified; 2 could not be read." in err
    assert "text file" in run(capsys, model, "photos/notes.txt", status=1)[1]


@pytest.mark.parametrize(
    "words, message",
    [
        (["--top", "0"], "--top is 0; it must be at least 1."),
        (["--batch-size", "-1"], "--batch-size is -1; it must be at least 1."),
        (["--jsn"], "Did you mean '--json'"),
        (["--json", "--csv"], "exclude each other"),
        (["--device", "cdua"], "device is 'cdua'"),
        (["--dtype", "bf61"], "dtype is 'bf61'"),
        (["--explain", "photos/notes.txt"], "--explain is photos/notes.txt, which is a file"),
    ],
)
def test_wrong_options(words, message, photos, model, capsys):
    out, err = run(capsys, model, "photos/a.png", *words, status=2)
    assert out == "" and message in err and err.count("\n") == 1


def test_a_damaged_model_is_one_sentence(photos, capsys):
    folder = save(vit(), "m")
    (folder / "model.safetensors").write_bytes(b"")
    out, err = run(capsys, folder, "photos", status=1)
    assert out == "" and "is damaged" in err and err.count("\n") == 1


# Explanations


@pytest.mark.parametrize("builder", [vit, wrapped])
def test_explanations(builder, photos, capsys):
    folder = save(builder(), "m")
    (photos / "deep" / "a.jpg").write_bytes((photos / "b.jpg").read_bytes())
    out, _ = run(capsys, folder, "photos", "--json", "--explain", "why/here")
    pictures = [json.loads(line)["explanation"] for line in out.splitlines()]
    assert sorted(map(str, Path("why/here").iterdir())) == sorted(pictures)
    assert len(set(pictures)) == 5 and {"why/here/a.explained.png", "why/here/a-2.explained.png"} <= set(pictures)
    for picture in pictures:
        with Image.open(picture) as image:
            image.load()
            assert image.format == "PNG" and image.width > 100
    header, row = run(capsys, folder, "photos/b.jpg", "--csv", "--explain", "why")[0].splitlines()
    assert header.endswith(",explanation") and row.endswith(",why/b.explained.png")
    assert "Where the model looked: why/b.explained.png" in run(capsys, folder, "photos/b.jpg", "--explain", "why")[0]


def test_explanations_never_replace_the_photos(photos, model, capsys):
    before = (photos / "a.png").read_bytes()
    run(capsys, model, "photos/a.png", "--explain", "photos")
    assert (photos / "a.png").read_bytes() == before and (photos / "a.explained.png").exists()


# Progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_progress_goes_to_stderr_and_results_do_not(photos, model, monkeypatch):
    monkeypatch.setattr(progress, "PATIENCE", -1.0)
    monkeypatch.setenv("TERM", "xterm")
    out, err = io.StringIO(), Terminal()
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    (photos / "a.png").write_bytes(b"")
    assert main(["classify", model, "photos", "--json", "--batch-size", "1"]) == 0
    assert len([json.loads(line) for line in out.getvalue().splitlines()]) == 3
    assert "classifying" in err.getvalue() and "a.png is empty" in err.getvalue() and '"path"' not in err.getvalue()


def test_no_bar_among_lines_that_stream_into_the_terminal(photos, model, monkeypatch):
    monkeypatch.setattr(progress, "PATIENCE", -1.0)
    monkeypatch.setenv("TERM", "xterm")
    out, err = Terminal(), Terminal()
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    assert main(["classify", model, "photos", "--csv"]) == 0
    assert "classifying" not in err.getvalue() and out.getvalue().startswith("path,label")

from __future__ import annotations

import io

from rich.console import Console

from multimodal.data.check_report import Finding
from multimodal.data.images.check_report import Report


def report(folder, *findings: Finding, classes: int = 2) -> Report:
    return Report(
        path=str(folder),
        images=1234,
        unreadable=1,
        multi_label=False,
        classes={f"class{i:02}": {"train": 10 + i, "val": i} for i in range(classes)},
        median_size=(64, 48),
        formats={"JPEG": 1200, "PNG": 33},
        modes={"RGB": 1233},
        findings=findings,
    )


def test_what_people_see(tmp_path):
    files = tuple((f"{tmp_path}/train/a/{i}.jpg", f"{tmp_path}/val/a/{i}.jpg") for i in range(5))
    shown = str(report(tmp_path, Finding("error", "x", "it is wrong", "Mend it.", files=files)))
    assert f"{tmp_path}: 1,234 images, 2 classes" in shown
    assert "median size 64 x 48 px; JPEG 1,200, PNG 33" in shown
    assert "error: it is wrong." in shown
    assert "    train/a/0.jpg = val/a/0.jpg\n" in shown
    assert "3.jpg" not in shown
    assert "and 2 more" in shown
    assert "→ Mend it." in shown
    assert shown.endswith("1 error.")
    assert [line.split() for line in shown.splitlines() if line.startswith("class0")] == [
        ["class00", "10", "0"],
        ["class01", "11", "1"],
    ]
    assert ["all", "21", "1"] in [line.split() for line in shown.splitlines()]


def test_names_are_not_markup_and_long_ones_are_not_broken(tmp_path):
    name = "[bold]" + "n" * 150 + ".jpg"
    shown = str(report(tmp_path, Finding("note", "x", "look", "See.", files=((name,),))))
    assert name in shown


def test_of_many_classes_the_smallest_are_shown(tmp_path):
    shown = str(report(tmp_path, classes=43))
    assert "class09" in shown
    assert "class10" not in shown
    assert "and 33 classes with as many or more" in shown


def test_without_errors_it_is_ok(tmp_path):
    assert report(tmp_path, Finding("warning", "x", "m", "a")).ok
    assert not report(tmp_path, Finding("error", "x", "m", "a")).ok


def test_colours_only_for_a_terminal(tmp_path):
    finding = Finding("error", "x", "m", "a")
    plain, coloured = io.StringIO(), io.StringIO()
    Console(file=plain).print(report(tmp_path, finding))
    Console(file=coloured, force_terminal=True, color_system="standard").print(report(tmp_path, finding))
    assert "\x1b[" not in plain.getvalue()
    assert "\x1b[1;31merror" in coloured.getvalue()

"""The script data/nlvr/prepare.py, against a made-up copy of the repository."""

from __future__ import annotations

import io
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from PIL import Image
from prepare_scripts import script

SAID = ["There is a tower.", "there is  a tower", "One box is empty.", "Two boxes are empty."]


def png(shade: int, size: tuple[int, int] = (400, 100)) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, (shade, shade, shade)).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def module(tmp_path, monkeypatch) -> ModuleType:
    """The script, whose source is a folder like the repository's."""
    module = script("nlvr")
    source = tmp_path / "source"
    lines = []
    for number, sentence in enumerate(SAID):
        (source / "images" / str(number % 2)).mkdir(parents=True, exist_ok=True)
        (source / "images" / str(number % 2) / f"dev-7{number}-0-0.png").write_bytes(png(number))
        row = {"sentence": sentence, "label": "true" if number else "false", "identifier": f"7{number}-0"}
        lines.append(json.dumps({**row, "directory": str(number % 2), "structured_rep": []}))
    (source / "dev.json").write_text("\n".join(lines) + "\n")
    monkeypatch.setattr(module, "SOURCE", source.as_uri())
    return module


def rows(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "chat.jsonl").read_text(encoding="utf-8").splitlines()]


def test_each_picture_becomes_a_question_with_its_answer(module, tmp_path, capsys):
    out = tmp_path / "out" / "images"
    assert module.main([str(out)]) == 0
    assert capsys.readouterr().out == f"The data are in {out}\n"
    assert [path.name for path in out.parent.iterdir()] == ["images"]
    assert rows(out)[1] == {
        "messages": [
            {"role": "user", "content": "<image>\nTrue or false? there is a tower"},
            {"role": "assistant", "content": "true"},
        ],
        "images": ["images/dev-71-0-0.png"],
        "split": module.split_of("There is a tower."),
        "id": "71-0",
    }
    assert [row["messages"][1]["content"] for row in rows(out)] == ["false", "true", "true", "true"]
    assert (out / "images" / "dev-72-0-0.png").read_bytes() == png(2)


def test_a_sentence_is_in_one_split_however_it_is_spelled(module):
    assert module.split_of("There is a tower.") == module.split_of("there  is a Tower")
    counts: dict[str, int] = dict.fromkeys(("train", "val", "test"), 0)
    for number in range(2000):
        counts[module.split_of(f"There are {number} towers.")] += 1
    for split, share in (("train", 0.65), ("val", module.VAL), ("test", module.TEST)):
        assert abs(counts[split] / 2000 - share) < 0.05


def test_a_copy_of_either_form_gives_the_same(module, tmp_path, monkeypatch):
    assert module.main([str(tmp_path / "a" / "images")]) == 0
    monkeypatch.setattr(module, "SOURCE", "file:///nowhere")
    assert module.main([str(tmp_path / "b" / "images"), "--from", str(tmp_path / "source")]) == 0
    flat = tmp_path / "flat"
    (flat / "images").mkdir(parents=True)
    with (flat / "manifest.jsonl").open("w") as table:
        for row in module.rows_of(tmp_path / "source"):
            name = Path(row["file"]).name
            (flat / "images" / name).write_bytes((tmp_path / "source" / row["file"]).read_bytes())
            table.write(json.dumps({**row, "file": f"images/{name}"}) + "\n")
    assert module.main([str(tmp_path / "c" / "images"), "--from", str(flat)]) == 0
    assert rows(tmp_path / "a" / "images") == rows(tmp_path / "b" / "images") == rows(tmp_path / "c" / "images")


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda copy: (copy / "dev.json").unlink(), "holds neither dev.json nor manifest.jsonl"),
        (lambda copy: (copy / "dev.json").write_text('{"sentence": "One box."}\n'), "line 1 is no example of NLVR"),
        (lambda copy: (copy / "dev.json").write_text(""), "is empty"),
        (lambda copy: (copy / "images/1/dev-71-0-0.png").unlink(), "dev-71-0-0.png is missing"),
        (lambda copy: (copy / "images/1/dev-71-0-0.png").write_bytes(png(1)[:-40]), "dev-71-0-0.png is damaged"),
        (lambda copy: (copy / "images/1/dev-71-0-0.png").write_bytes(png(1, (8, 8))), "is 8 x 8 pixels"),
    ],
)
def test_what_is_no_copy_is_refused_and_leaves_nothing(harm, said, module, tmp_path, capsys):
    harm(tmp_path / "source")
    assert module.main([str(tmp_path / "out" / "images"), "--from", str(tmp_path / "source")]) == 1
    assert said in capsys.readouterr().err
    assert not list((tmp_path / "out").iterdir())


def test_an_interrupted_download_goes_on_and_a_damaged_picture_is_fetched_again(module, tmp_path, capsys):
    source, out = tmp_path / "source" / "images/1/dev-73-0-0.png", tmp_path / "out" / "images"
    good = source.read_bytes()
    source.write_bytes(good[:-40])
    assert module.main([str(out)]) == 1
    assert "dev-73-0-0.png is damaged" in capsys.readouterr().err
    assert sorted(path.name for path in out.parent.iterdir()) == ["nlvr-dev", "nlvr-dev.json"]
    source.write_bytes(good)
    (tmp_path / "source" / "images/0/dev-70-0-0.png").unlink()  # has arrived already
    assert module.main([str(out)]) == 0
    assert [path.name for path in out.parent.iterdir()] == ["images"]

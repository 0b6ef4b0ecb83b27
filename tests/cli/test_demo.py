"""The demo from its first line to its last, with one epoch instead of all."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import multimodal.finetuning
from multimodal import cli
from multimodal.cli import demo_search
from multimodal.cli.demo import digits_model
from multimodal.cli.demo_search import cleared
from multimodal.errors import DataError


def test_the_demo_ends_with_a_report_predictions_and_the_next_command(tmp_path, monkeypatch, capsys):
    whole = multimodal.finetuning.finetune

    def short(folder, **settings):
        return whole(folder, **(settings | {"epochs": 1, "baseline": False}))

    search = demo_search.demo_search
    few = {"train": 256, "val": 16, "test": 64, "size": 48}
    monkeypatch.setattr(multimodal.finetuning, "finetune", short)
    monkeypatch.setattr(demo_search, "demo_search", lambda out: search(out, sizes=few, epochs=1))
    out = tmp_path / "demo"
    assert cli.main(["demo", "--out", str(out)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("Accuracy on the 360 test images: ") for line in lines)
    assert sum(str(out / "digits" / "test") in line and "% sure" in line for line in lines) == 3
    assert sum("recall@1" in line and "chance 1.56%" in line for line in lines) == 2
    assert any(line.startswith("64 new, 0 changed") for line in lines)
    sheets = [line.rpartition(": ")[2] for line in lines if "The first ten" in line]
    assert len(sheets) >= 2 and all(Path(sheet).stat().st_size > 1000 for sheet in sheets)
    assert lines[-1].strip() == "multimodal serve"
    assert (out / "run" / "report.html").stat().st_size > 10_000

    def again(folder, *, overwrite, **settings):
        raise DataError(f"overwrite is {overwrite}")

    monkeypatch.setattr(multimodal.finetuning, "finetune", again)
    assert cli.main(["demo", "--out", str(out)]) == 1
    assert "overwrite is True" in capsys.readouterr().err, "a finished demo is done again"
    (out / "run" / "metrics.json").unlink()
    assert cli.main(["demo", "--out", str(out)]) == 1
    assert "overwrite is False" in capsys.readouterr().err, "an interrupted one is resumed"


def test_the_digits_model_is_as_small_as_it_says():
    model = digits_model().build()
    parameters = sum(parameter.numel() for parameter in model.parameters())
    assert 0.445e6 < parameters < 0.455e6
    assert model(torch.zeros(2, 3, 8, 8, dtype=torch.uint8)).shape == (2, 10)


def test_a_folder_that_no_demo_made_is_left_alone(tmp_path):
    folder = tmp_path / "unseen"
    folder.mkdir()
    (folder / "test-00001.png").write_bytes(b"x")
    (folder / "my photo.png").write_bytes(b"x")
    with pytest.raises(DataError, match=r"holds 'my photo\.png', which is not of an earlier demo"):
        cleared(folder, r"test-\d+\.png")
    (folder / "my photo.png").unlink()
    assert cleared(folder, r"test-\d+\.png") == folder and not folder.exists()
    assert cleared(folder, r"test-\d+\.png") == folder

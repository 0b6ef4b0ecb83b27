"""What happens to a run from outside: places that take no files, full disks, signals, edited and vanished files.

Nothing half-written may stay in `model/`, and a run that can go on does.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import sys
from pathlib import Path

import pytest
import torch
from commands import ends, few_digits, train
from tensorboard.summary.writer.record_writer import RecordWriter
from tiny_models import vit

import multimodal as mm
from multimodal.cli import main
from multimodal.tasks.classification import ClassificationTask

FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.fixture(scope="module")
def start(tmp_path_factory) -> Path:
    return mm.save(vit(size=8, depth=1), tmp_path_factory.mktemp("start") / "model")


@pytest.fixture
def digits(tmp_path) -> Path:
    return few_digits(tmp_path)


def at_each_step(monkeypatch, act) -> None:
    inner = ClassificationTask.training_step

    def step(self, batch, index):
        act()
        return inner(self, batch, index)

    monkeypatch.setattr(ClassificationTask, "training_step", step)


def raising(error: BaseException):
    def act(*_, **__):
        raise error

    return act


def unfinished(digits, out, start, capsys, monkeypatch) -> None:
    """A run that stopped after its last checkpoint, before the model was written."""
    with monkeypatch.context() as patch:
        patch.setattr("multimodal.finetuning.steps.save", raising(FULL))
        ends(capsys, train(digits, out, start), 1, str(out), "disk is full")
    assert (out / "checkpoints" / "last.ckpt").is_file() and not (out / "model").exists()


def test_places_that_take_no_run(digits, start, tmp_path, capsys):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "astray").symlink_to("nowhere")
    before = sorted(tmp_path.rglob("*"))
    for place, words in (
        ("file", "a file"),
        ("file/run", "a file"),
        ("file/a/run", "a file"),
        ("loop", "leads nowhere"),
        ("loop/run", "leads nowhere"),
        ("astray", "leads nowhere"),
        ("digits", "inside the other"),
        ("digits/run", "inside the other"),
        ("digits/train/run", "inside the other"),
        (".", "inside the other"),
    ):
        ends(capsys, train(digits, tmp_path / place, start), 2, repr(str(tmp_path / place)), words)
    if sys.platform == "linux":  # /proc takes no files, not even from root
        ends(capsys, train(digits, "/proc/run", start), 1, "'/proc/run'", "nothing can be written")
    assert sorted(tmp_path.rglob("*")) == before


def test_a_folder_without_permission(digits, start, tmp_path, capsys, monkeypatch):
    denied = PermissionError(errno.EACCES, os.strerror(errno.EACCES), "x")  # a mode means nothing to root
    monkeypatch.setattr("multimodal.finetuning.plan.tempfile.mkdtemp", raising(denied))
    ends(capsys, train(digits, tmp_path / "run", start), 1, str(tmp_path / "run"), "Permission denied")
    assert not (tmp_path / "run").exists()


WRITES = {  # what is called for each file, and what its path contains
    "run.json": (Path, "write_text", "run.json"),
    "checkpoint": (torch, "save", ""),
    "metrics.csv": (Path, "open", "metrics.csv.tmp"),
    "tensorboard": (RecordWriter, "write", ""),
    "predictions.csv": (Path, "open", "predictions.csv.tmp"),
    "report.html": (Path, "write_bytes", "report.html"),
    "model card": (Path, "write_text", "README.md"),
    "metrics.json": (Path, "write_text", "metrics.json"),
}


@pytest.mark.parametrize("write", WRITES)
def test_a_full_disk_stops_the_run_and_room_lets_it_go_on(write, digits, start, tmp_path, capsys, monkeypatch):
    owner, name, part = WRITES[write]
    inner = getattr(owner, name)

    def full(*arguments, **options):
        if part in str(arguments[0]):
            raise OSError(FULL.errno, FULL.strerror)
        return inner(*arguments, **options)

    out = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, full)
        sentence = ends(capsys, train(digits, out, start), 1, str(out))
    assert "disk is full" in sentence or "No space left" in sentence
    assert not (out / "metrics.json").exists()
    assert (out / "model").exists() == (write == "metrics.json")  # then it is whole, and only the mark is missing
    assert main(train(digits, out, start)) == 0
    assert len(mm.load(out / "model").labels) == 3


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_stops_and_the_same_command_goes_on(number, code, digits, start, tmp_path, capsys, monkeypatch):
    with monkeypatch.context() as patch:
        at_each_step(patch, lambda: os.kill(os.getpid(), number))
        ends(capsys, train(digits, tmp_path / "run", start), code, "Stopped.")
    assert not (tmp_path / "run" / "model").exists()
    monkeypatch.chdir(digits.parent)  # the same folder by another name
    assert main(train("digits", tmp_path / "run", start)) == 0


def test_training_that_diverges(digits, start, tmp_path, capsys):
    words = train(digits, tmp_path / "run", start, "--lr", "1e30", "--clip", "0")
    ends(capsys, words, 1, "diverged", "lower lr", "overwrite")
    assert not (tmp_path / "run" / "model").exists()
    assert main([*train(digits, tmp_path / "run", start), "--overwrite"]) == 0


@pytest.mark.parametrize("workers", ["0", "1"])
def test_images_that_vanish_while_training(workers, digits, start, tmp_path, capsys, monkeypatch):
    at_each_step(monkeypatch, lambda: shutil.rmtree(digits, ignore_errors=True))
    words = train(digits, tmp_path / "run", start, "--workers", workers)
    ends(capsys, words, 1, "can be read any more", str(digits))
    assert not (tmp_path / "run" / "model").exists()


def test_an_edited_run_does_not_go_on(digits, start, tmp_path, capsys, monkeypatch):
    out = tmp_path / "run"
    unfinished(digits, out, start, capsys, monkeypatch)
    sound = (out / "run.json").read_text()
    edits = {
        "beyond the 2 labels": lambda plan: plan["images"]["labels"].pop(),
        "different class names": lambda plan: plan["images"].update(labels=["a", "a", "b"]),
        "shape 3": lambda plan: plan["images"]["labels"].append("owl"),
        "validate": lambda plan: plan["images"]["splits"].pop("val"),
        "run.json is damaged ('labels')": lambda plan: plan["images"].pop("labels"),
        "lr is -1.0": lambda plan: plan["settings"]["optimizer"].update(lr=-1.0),
        "run.json is damaged": lambda plan: plan.update(images=[]),
    }
    for words, edit in edits.items():
        plan = json.loads(sound)
        edit(plan)
        (out / "run.json").write_text(json.dumps(plan))
        ends(capsys, train(digits, out, start), 1, str(out), words, "overwrite")
    (out / "run.json").write_text(sound)
    last = out / "checkpoints" / "last.ckpt"
    whole = last.read_bytes()
    last.write_bytes(whole[: len(whole) // 2])
    ends(capsys, train(digits, out, start), 1, str(last), "damaged", "overwrite")
    assert not (out / "model").exists()
    last.write_bytes(whole)
    assert main(train(digits, out, start)) == 0


def test_a_finished_run_outlives_a_wrong_command(digits, start, tmp_path, capsys):
    out = tmp_path / "run"
    assert main(train(digits, out, start)) == 0
    capsys.readouterr()
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    ends(capsys, train(digits, out, start), 2, str(out), "finished run")
    ends(capsys, train(digits, out, "nowhere", "--overwrite"), 2, "nowhere")
    (out / "notes.txt").write_text("mine")
    ends(capsys, train(digits, out, start, "--overwrite"), 2, "'notes.txt'")
    (out / "notes.txt").unlink()
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before

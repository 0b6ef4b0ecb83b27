"""A model folder is replaced in full or not at all, and nothing else is ever replaced."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import sys
import time
from pathlib import Path

import pytest
from safetensors import SafetensorError
from tiny_models import vit

from multimodal.checkpoint import files as files_module
from multimodal.checkpoint import is_model_folder, load_folder, save
from multimodal.errors import ArgumentError, DataError

FILES = {"config.json", "model.safetensors", "README.md"}


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_an_older_model_is_replaced(tmp_path):
    old, new = vit(), vit(prefix=2)
    save(old, tmp_path / "m")
    (tmp_path / "m" / ".DS_Store").write_bytes(b"junk")
    save(new, tmp_path / "m")
    assert names(tmp_path) == {"m"} and names(tmp_path / "m") == FILES
    assert load_folder(tmp_path / "m").config == new.config


def test_a_link_stays_a_link(tmp_path):
    save(vit(), tmp_path / "runs" / "1")
    (tmp_path / "latest").symlink_to(tmp_path / "runs" / "1")
    save(vit(prefix=2), tmp_path / "latest")
    assert (tmp_path / "latest").is_symlink() and load_folder(
        tmp_path / "runs" / "1"
    ).encoder.config.tokenizer.prefix == 2


def test_an_empty_folder_is_filled(tmp_path):
    (tmp_path / "m").mkdir()
    assert load_folder(save(vit(), tmp_path / "m"))


def test_anything_else_is_not_replaced(tmp_path):
    photos = tmp_path / "photos"
    photos.mkdir()
    (photos / "holiday.jpg").write_bytes(b"precious")
    with pytest.raises(ArgumentError, match=r"photos is not a model folder.*holiday\.jpg"):
        save(vit(), photos)
    mixed = save(vit(), tmp_path / "mixed")
    (mixed / "notes.txt").write_text("mine")
    with pytest.raises(ArgumentError, match=r"holds more than a model \('notes\.txt'\)"):
        save(vit(), mixed)
    (tmp_path / "file").write_text("x")
    with pytest.raises(ArgumentError, match="is a file"):
        save(vit(), tmp_path / "file")
    assert names(photos) == {"holiday.jpg"} and names(tmp_path) == {"photos", "mixed", "file"}


FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def failing(original, error, *, at):
    """`original`, but its call number `at` raises `error`."""
    calls = iter(range(1, 1000))

    def call(*arguments, **options):
        if next(calls) == at:
            raise error
        return original(*arguments, **options)

    return call


FAULTS = {
    "weights": (files_module, "save_file", SafetensorError("Error while serializing: I/O error: No space left"), 1),
    "weights, by the system": (files_module, "save_file", FULL, 1),
    "config": (Path, "write_bytes", FULL, 1),
    "card": (Path, "write_text", FULL, 1),
    "making the folder": (Path, "mkdir", OSError(errno.EROFS, os.strerror(errno.EROFS)), 1),
    "flushing": (os, "fsync", FULL, 2),
    "first rename": (Path, "replace", FULL, 1),
    "second rename": (Path, "replace", FULL, 2),
}


@pytest.mark.parametrize("fault", FAULTS.keys())
@pytest.mark.parametrize("replace", [False, True])
def test_a_failed_save_leaves_everything_as_it_was(fault, replace, tmp_path, monkeypatch):
    old = vit()
    if replace:
        save(old, tmp_path / "m")
    elif fault == "second rename":
        pytest.skip("there is only one")
    owner, name, error, at = FAULTS[fault]
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, failing(getattr(owner, name), error, at=at))
        with pytest.raises(DataError, match=r"could not be written to .*m: (Error while|No space left|Read-only)"):
            save(vit(prefix=2), tmp_path / "m")
    assert names(tmp_path) == ({"m"} if replace else set())
    if replace:
        assert load_folder(tmp_path / "m").config == old.config


@pytest.mark.skipif(sys.platform != "linux", reason="/proc takes no files, not even from root")
def test_a_place_that_cannot_be_written_to():
    with pytest.raises(DataError, match="could not be written to /proc/model"):
        save(vit(), "/proc/model")


KILLS = {
    "writing weights": (files_module, "save_file", 1),
    "writing the card": (Path, "write_text", 1),
    "before the first rename": (Path, "replace", 1),
    "between the renames": (Path, "replace", 2),
    "while removing the old one": (shutil, "rmtree", 2),  # the first is of the temporary folder, gone by then
}


@pytest.mark.parametrize("moment", KILLS.keys())
def test_killed_at_any_moment_a_whole_model_is_there(moment, tmp_path, monkeypatch):
    old, new = vit(), vit(prefix=2)
    save(old, tmp_path / "m")
    child = os.fork()
    if child == 0:
        owner, name, at = KILLS[moment]
        original, calls = getattr(owner, name), iter(range(1, 100))

        def call(*arguments, **options):
            if next(calls) == at:
                os.kill(os.getpid(), signal.SIGKILL)
            return original(*arguments, **options)

        setattr(owner, name, call)
        save(new, tmp_path / "m")
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
    if moment == "between the renames":
        assert not (tmp_path / "m").exists() and is_model_folder(tmp_path / "m")
        with pytest.warns(UserWarning, match=r"was being replaced.*\.m\.previous, is loaded"):
            found = load_folder(tmp_path / "m")
    else:
        found = load_folder(tmp_path / "m")
    assert found.config == (new.config if moment == "while removing the old one" else old.config)
    for leftover in tmp_path.glob("*.partial"):
        os.utime(leftover, (0, time.time() - 7200))
    save(new, tmp_path / "m")
    assert names(tmp_path) == {"m"} and load_folder(tmp_path / "m").config == new.config, "and the next save tidies up"

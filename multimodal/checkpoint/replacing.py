"""A folder put in place at once: it is there in full or not at all, whenever the program is killed.

The new folder is written under another name beside the target, flushed to the disk and renamed. When it replaces an
older one, that is first renamed to `.NAME.previous` and removed at the end: a program killed between the two renames
leaves the older one there in full, where `current` finds it.
"""

from __future__ import annotations

import os
import secrets
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from multimodal.errors import ArgumentError, DataError
from multimodal.media import is_junk

_STALE = 3600.0  # seconds after which what a killed `replacing` left behind is removed by the next one


def current(folder: str | Path) -> Path:
    """Where the contents of `folder` are: there, or in what was kept by a replacement that was cut short."""
    target = Path(folder)
    backup = _backup(Path(os.path.realpath(target)))  # of looping links, `resolve` makes a RuntimeError
    return target if target.exists() or not backup.exists() else backup


@contextmanager
def replacing(target: Path, *, files: Iterable[str]) -> Iterator[Path]:
    """An empty folder to write into, which takes the place of `target` when the block ends without an error.

    Args:
        target: the folder's final place, resolved; parents are made.
        files: the names that may be in it. A target that holds anything else is not replaced.

    Raises:
        ArgumentError: `target` is a file, or a folder with other things in it.
        DataError: it cannot be written; the sentence says why. What was there before is unchanged.
    """
    fresh = target.with_name(f".{target.name}.{secrets.token_hex(4)}.partial")
    try:
        _check(target, set(files))
        fresh.mkdir(parents=True)
        yield fresh
        for path in (*fresh.iterdir(), fresh):
            _flush(path)
        _swap(fresh, target)
    except OSError as error:
        reason = error.strerror or str(error)
        kept = "the model that was there is unchanged" if target.exists() else "nothing was left behind"
        raise DataError(
            f"The model could not be written to {target}: {reason}; {kept}. Free space, or choose a folder that can be "
            "written to."
        ) from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)  # after success it is gone already
    _tidy(target)


def _check(target: Path, files: set[str]) -> None:
    if not target.exists():
        return
    if not target.is_dir():
        raise ArgumentError(f"{target} is a file; give the name of a folder for the model.")
    other = sorted(path.name for path in target.iterdir() if path.name not in files and not is_junk(path))
    if other:
        raise ArgumentError(
            f"{target} is not a model folder, or holds more than a model ({other[0]!r}), so it is not replaced; "
            "choose another folder or move that away."
        )


def _swap(fresh: Path, target: Path) -> None:
    backup = _backup(target)
    if target.exists() and any(target.iterdir()):
        if backup.exists():  # of a replacement that was killed while it tidied: `target` is whole
            shutil.rmtree(backup)
        target.replace(backup)
        try:
            fresh.replace(target)
        except BaseException:
            backup.replace(target)
            raise
    else:
        fresh.replace(target)
    _flush(target.parent)


def _backup(target: Path) -> Path:
    return target.with_name(f".{target.name}.previous")


def _tidy(target: Path) -> None:
    """Remove what is not needed any more; a leftover that cannot be removed does no harm."""
    shutil.rmtree(_backup(target), ignore_errors=True)
    for path in target.parent.glob(f".{target.name}.*.partial"):
        if path.exists() and time.time() - path.stat().st_mtime > _STALE:
            shutil.rmtree(path, ignore_errors=True)


def _flush(path: Path) -> None:
    """Wait until `path`, a file or a folder, is on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

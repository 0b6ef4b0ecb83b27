"""One writer at a time: the lock that `sync` and `migrate` hold, and who holds it. Searching takes no lock."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from multimodal.errors import DataError


@contextmanager
def writing(folder: Path, what: str) -> Iterator[None]:
    """Hold the index in `folder` for `what`, "sync" or "migrate". A killed process holds it no longer.

    Raises:
        DataError: another process or thread writes to it, or the folder cannot be written to.
    """
    note = folder / ".writer"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / ".lock", timeout=0)
        lock.acquire()
    except Timeout as error:
        raise DataError(
            f"{folder} is being written to by another {_holder(note)}; wait until it has finished. Searching works "
            "meanwhile."
        ) from error
    except OSError as error:
        raise DataError(f"The index {folder} cannot be written: {error.strerror or error}.") from error
    try:
        started = time.strftime("%Y-%m-%d %H:%M")
        note.write_text(f"{what} (process {os.getpid()} on {socket.gethostname()}, since {started})", encoding="utf-8")
        yield
    finally:
        note.unlink(missing_ok=True)
        lock.release()


def _holder(note: Path) -> str:
    try:
        return note.read_text(encoding="utf-8") or "process"
    except (OSError, UnicodeDecodeError):  # between taking the lock and writing the note
        return "process"

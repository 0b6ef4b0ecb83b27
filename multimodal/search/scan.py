"""Which files are below the folders now, and what of that is new against what the index knows. Files are not opened.

A file whose size and time of modification are as they were is taken as unchanged. `media.find_images` gives paths
alone and ends at the first folder that may not be listed; here such a folder is named, and what was below it stays.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from multimodal.errors import ArgumentError, DataError
from multimodal.media import IMAGE_SUFFIXES, is_junk
from multimodal.search.known import Known, Skipped, State
from multimodal.search.rows import text_of


@dataclass
class Listing:
    """The files below some folders."""

    files: dict[str, State] = field(default_factory=dict)  # by path, sorted within each folder
    closed: list[Skipped] = field(default_factory=list)  # folders that could not be listed


@dataclass
class Changes:
    """What a sync has to look at."""

    unchanged: int
    candidates: list[str]  # new, or written to
    gone: dict[str, Known]  # files that were there


def resolved(folders: Iterable[str | Path]) -> tuple[str, ...]:
    """Real paths, each once.

    Raises:
        ArgumentError: a file, or not a path.
        DataError: a folder that is not there.
    """
    found: dict[str, None] = {}
    for folder in folders:
        if not isinstance(folder, str | os.PathLike) or not str(folder):
            raise ArgumentError(f"folder is {folder!r}; give the path of a folder of pictures.")
        path = os.path.realpath(folder)
        if os.path.isfile(path):  # noqa: PTH113  `path` may hold bytes that Path would print badly
            raise ArgumentError(f"{text_of(path)} is a file; sync takes folders. Give the folder that it is in.")
        if not os.path.isdir(path):  # noqa: PTH112
            raise DataError(
                f"There is no folder {text_of(path)}, or its disk is not mounted; nothing was changed, and no picture "
                "was removed from the index. If it is gone for good, call forget(folder), or: multimodal index "
                "--forget FOLDER"
            )
        found[path] = None
    return tuple(found)


def list_files(roots: Iterable[str], leave_out: str) -> Listing:
    """Everything below `roots` that is named like an image, junk and the folder `leave_out` left out.

    Linked folders are followed, each folder once: loops end, and a link never takes the place of the folder itself.
    """
    listing = Listing()
    seen: set[tuple[int, int]] = set()
    folders, links = list(reversed(list(roots))), []
    while folders or links:
        if not folders:  # every real folder is done
            links.sort(reverse=True)
            folders.append(links.pop())
        folder = folders.pop()
        try:
            status = os.stat(folder)  # noqa: PTH116  100,000 files: plain strings are several times faster than Path
            if (status.st_dev, status.st_ino) in seen or folder == leave_out:
                continue
            seen.add((status.st_dev, status.st_ino))
            with os.scandir(folder) as entries:
                kept = sorted((entry for entry in entries if not is_junk(entry.name)), key=lambda entry: entry.name)
        except OSError as error:
            reason = error.strerror or str(error)
            listing.closed.append(Skipped(folder, f"{text_of(folder)} cannot be listed: {reason}."))
            continue
        inside = []
        for entry in kept:
            if entry.is_symlink() and os.path.isdir(entry.path):  # noqa: PTH112
                links.append(entry.path)
            elif entry.is_dir(follow_symlinks=False):
                inside.append(entry.path)
            elif os.path.splitext(entry.name)[1].lower() in IMAGE_SUFFIXES:  # noqa: PTH122
                _add(listing, entry)
        folders += reversed(inside)
    return listing


def compare(
    listing: Listing, roots: tuple[str, ...], known: dict[str, Known], skipped: dict[str, tuple[State, str]]
) -> Changes:
    """What is new in `listing`; `skipped` are the files that could not be read, as they were then."""
    candidates, unchanged = [], 0
    for path, state in listing.files.items():
        before = known.get(path)
        if before is not None and before.state == state:
            unchanged += 1
        elif path not in skipped or skipped[path][0] != state:
            candidates.append(path)
    safe = tuple(below(skip.path) for skip in listing.closed)
    scope = tuple(map(below, roots))
    gone = {
        path: row
        for path, row in known.items()
        if path not in listing.files and path.startswith(scope) and not (safe and path.startswith(safe))
    }
    return Changes(unchanged, candidates, gone)


def check_emptied(roots: tuple[str, ...], listing: Listing, known: dict[str, Known]) -> None:
    """A folder that held pictures and is empty now is most often a disk that is not mounted.

    Raises:
        DataError: that is so, or a folder cannot be listed, or none of them ever had a picture.
    """
    for root in roots:
        closed = next((skip for skip in listing.closed if skip.path == root), None)
        if closed is not None:
            raise DataError(f"{closed.reason[:-1]}; nothing was changed, and no picture was removed from the index.")
        had = sum(path.startswith(below(root)) for path in known)
        if had and not any(path.startswith(below(root)) for path in listing.files):
            raise DataError(
                f"{text_of(root)} holds no pictures any more, and the index has {had:,} of it: is its disk mounted? "
                "Nothing was changed, and no picture was removed from the index. If they are gone for good, call "
                "forget(folder), or: multimodal index --forget FOLDER"
            )
    if not listing.files and not known:
        where = " or ".join(map(text_of, roots))
        raise DataError(f"There are no pictures in {where}: nothing below is named like an image (.jpg, .png ...).")


def below(root: str) -> str:
    """What the paths of all files below `root` begin with."""
    return root if root.endswith(os.sep) else root + os.sep


def _add(listing: Listing, entry: os.DirEntry[str]) -> None:
    """A file, or what is named like one: a link that leads nowhere, a pipe or a folder is refused when it is read."""
    try:
        status = entry.stat()
        state = State(status.st_size, status.st_mtime_ns)
    except OSError:
        state = State(-1, 0)
    listing.files.setdefault(entry.path, state)

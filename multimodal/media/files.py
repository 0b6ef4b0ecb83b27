"""Finding media files below a folder, and opening one without surprises: links that loop, pipes, folders, no rights.

Not here: what a file contains (`opening.py`, `audio_opening.py`).
"""

from __future__ import annotations

import codecs
import os
import stat
from pathlib import Path
from typing import BinaryIO

IMAGE_SUFFIXES = frozenset(
    [
        *(".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".apng", ".gif", ".webp", ".avif", ".bmp", ".tif", ".tiff"),
        *(".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".j2k"),
        *(".heic", ".heif", ".jxl", ".svg"),  # mostly unreadable; listed so that they are reported, not passed over
    ]
)
AUDIO_SUFFIXES = frozenset(
    [
        *(
            ".wav",
            ".wave",
            ".w64",
            ".rf64",
            ".flac",
            ".ogg",
            ".oga",
            ".opus",
            ".mp3",
            ".mpga",
            ".aif",
            ".aiff",
            ".aifc",
        ),
        *(".au", ".snd", ".caf", ".sph"),
        *(".m4a", ".m4b", ".mp4", ".m4v", ".mov", ".3gp", ".webm", ".mkv", ".mka", ".aac", ".wma", ".wmv", ".asf"),
        *(".avi", ".flv", ".amr"),  # this row and the one above need PyAV; videos are listed for their sound
    ]
)
_JUNK = {"thumbs.db", "ehthumbs.db", "desktop.ini", "__macosx", "@eadir", "$recycle.bin"}  # lower case


class MediaError(ValueError):
    """A source that cannot be read. The message is one sentence that names the file and says what is wrong."""


def is_junk(path: str | Path) -> bool:
    """Whether the last part of `path` names something hidden, or a file or folder that a system left behind."""
    name = Path(path).name
    return name.startswith(".") or name.lower() in _JUNK


def find_images(root: str | Path) -> list[Path]:
    """Everything below `root` that is named like an image, sorted by POSIX path, junk left out.

    Linked folders are followed, each folder once: loops end, and a link never takes the place of the folder itself.
    Files are not opened; one that turns out to be unreadable is reported by `read_image`.

    Raises:
        MediaError: `root`, or a folder below it, cannot be listed.
    """
    return _find(root, IMAGE_SUFFIXES)


def find_audio(root: str | Path) -> list[Path]:
    """Everything below `root` that is named like a recording or a video, in the manner of `find_images`.

    Raises:
        MediaError: `root`, or a folder below it, cannot be listed.
    """
    return _find(root, AUDIO_SUFFIXES)


def _find(root: str | Path, suffixes: frozenset[str]) -> list[Path]:
    found: list[Path] = []
    folders: list[Path] = [Path(root)]
    links: list[Path] = []
    seen: set[tuple[int, int]] = set()  # device and inode
    while folders or links:
        if not folders:  # every real folder is done
            links.sort(key=Path.as_posix, reverse=True)
            folders.append(links.pop())
        folder = folders.pop()
        try:
            status = folder.stat()
            if (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
            with os.scandir(folder) as entries:
                kept = [entry for entry in entries if not is_junk(entry.name)]
        except (OSError, ValueError) as error:
            raise MediaError(f"{shown(folder)} cannot be listed: {_reason(error)}.") from error
        for entry in kept:
            path = Path(entry.path)
            if entry.is_symlink() and os.path.isdir(path):  # noqa: PTH112  Path.is_dir may raise on a link to itself
                links.append(path)
            elif entry.is_dir(follow_symlinks=False):
                folders.append(path)
            elif path.suffix.lower() in suffixes:
                found.append(path)
    return sorted(found, key=Path.as_posix)


def open_file(path: Path) -> BinaryIO:
    """`path` opened for reading bytes, if it is a regular file; it never waits, as opening a pipe would.

    Raises:
        MediaError: missing, a folder, a pipe, a device, or not allowed.
    """
    try:
        mode = path.stat().st_mode
        if stat.S_ISREG(mode):
            return path.open("rb")
    except FileNotFoundError as error:
        what = "is a link to something that does not exist" if path.is_symlink() else "does not exist"
        raise MediaError(f"{shown(path)} {what}.") from error
    except (OSError, ValueError) as error:
        raise MediaError(f"{shown(path)} cannot be opened: {_reason(error)}.") from error
    what = "a folder" if stat.S_ISDIR(mode) else "a pipe, a socket or a device"
    raise MediaError(f"{shown(path)} is {what}, not a file.")


def text_start(prefix: bytes) -> str | None:
    """How the file begins, when its first bytes are text and no media: often a page saved under a wrong name."""
    try:
        text = codecs.getincrementaldecoder("utf-8-sig")().decode(prefix)  # the last character may be cut
    except UnicodeDecodeError:
        return None
    if not all(character.isprintable() or character.isspace() for character in text):
        return None
    return text.strip()[:30]


def shown(path: str | Path) -> str:
    """`path` as it may stand in a message: escaped where it holds control characters or is not valid UTF-8."""
    text = str(path)
    return text if text.isprintable() else ascii(text)


def _reason(error: OSError | ValueError) -> str:
    return getattr(error, "strerror", None) or str(error)  # ValueError: a null character in the name

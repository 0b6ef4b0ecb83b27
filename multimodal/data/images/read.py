"""A path to labelled images, or recordings: which of the layouts is it?

A folder of class folders (folders.py), a CSV, TSV or JSONL table (manifest.py), a tar shard or a folder of them
(shards.py). Nothing is guessed from the contents of files, and no image is opened.
"""

from __future__ import annotations

import os
from collections.abc import Container
from pathlib import Path

from multimodal.data.images.folders import TABLE_SUFFIXES, read_folders
from multimodal.data.images.manifest import read_manifest
from multimodal.data.images.samples import IMAGES, FileKind, LabeledImages, split_of
from multimodal.data.images.shards import read_shards
from multimodal.errors import DataError, nearest
from multimodal.media import is_junk

ARCHIVE_SUFFIXES = (".gz", ".tgz", ".bz2", ".xz", ".zst", ".zip", ".7z", ".rar")


def read_labeled_images(path: str | Path, *, separator: str | None = "|", kind: FileKind = IMAGES) -> LabeledImages:
    """The labelled images at `path`, or files of another `kind`, with their class names and splits.

    `separator` stands between several labels of one file in a table or shard (None: one label each, taken whole).
    The classes are those of the training part, sorted: by number when all names are whole numbers, else by name.

    Raises:
        DataError: nothing there, no classes, a single class, or a validation or test class that training lacks.
    """
    root = Path(path).expanduser()
    if root.is_dir():
        shards = shards_in(root)
        if shards and not holds(root, kind.suffixes):  # an archive may lie beside the folders unpacked from it
            return read_shards(root, shards, separator=separator, kind=kind)
        return read_folders(root, kind)
    if not root.is_file():
        folder = root.parent if root.parent.is_dir() else Path()
        close = nearest(root.name, (entry.name for entry in folder.iterdir()))
        raise DataError(f"There is no folder or file {str(path)!r}.{close}")
    suffix = root.suffix.lower()
    if suffix in TABLE_SUFFIXES:
        return read_manifest(root, separator=separator, kind=kind)
    if suffix == ".tar":
        return read_shards(root, [root], separator=separator, kind=kind)
    if suffix in ARCHIVE_SUFFIXES:
        raise DataError(f"{root} is a compressed archive; unpack it and give the folder.")
    what = f"a single {kind.word}" if suffix in kind.suffixes else "neither a table nor a tar shard"
    raise DataError(
        f"{root} is {what}; give a folder of class folders, a table ({', '.join(TABLE_SUFFIXES)}) or a .tar shard."
    )


def shards_in(root: Path) -> list[Path]:
    """Tar files directly in `root` or in its split folders."""
    try:
        entries = sorted(root.iterdir())
    except OSError as error:
        raise DataError(f"{root} cannot be read: {error.strerror}.") from None
    folders = [root, *(entry for entry in entries if split_of(entry.name) and entry.is_dir())]
    return [shard for folder in folders for shard in sorted(folder.glob("*.tar")) if not is_junk(shard)]


def holds(root: Path, suffixes: Container[str]) -> bool:
    """Whether anything below `root` has a name that ends in one of `suffixes`."""
    return any(Path(name).suffix.lower() in suffixes for _, _, names in os.walk(root) for name in names)

"""A path to images with captions: which of the layouts is it?

A table (tables.py), a folder with a table in it, a tar shard or a folder of them (shards.py), a folder with a text file
beside each image (folders.py). Recordings may stand where images do; data with both are data of images. No file is
opened: whether a model can read it shows when it is trained.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from multimodal.data.images.read import ARCHIVE_SUFFIXES, holds, shards_in
from multimodal.data.images.samples import IMAGES, SOUNDS, Skipped, split_of
from multimodal.data.pairs.folders import read_text_files
from multimodal.data.pairs.samples import Found, PairedImages, assemble
from multimodal.data.pairs.shards import read_tars
from multimodal.data.pairs.tables import Columns, read_table
from multimodal.data.text.sources import existing
from multimodal.data.text.tables import TABLE_SUFFIXES
from multimodal.errors import DataError
from multimodal.media import is_junk
from multimodal.media.files import shown


def read_pairs(
    source: str | Path, *, image: str | None = None, caption: str | None = None, split: str | None = None
) -> PairedImages:
    """The images, or recordings, at `source` with their captions and splits; what cannot be used is in `skipped`.

    Args:
        source: a CSV, TSV, JSONL or Parquet table, or a folder that holds one; a tar shard or a folder of them; a
            folder with a .txt beside each image.
        image: of tables, the column with the file; None: the one called path, file, filename, image, audio ...
        caption: the column, or the field of .json in shards, with a caption or a list of them; None: the one called
            caption or captions, else text or description, else title.
        split: the column with the split; None: the one called split, if there is one.

    Raises:
        ArgumentError: a column of a table that was asked for is not there.
        DataError: there is nothing, or nothing that can be used.
    """
    root, columns = existing(source), Columns(image=image, caption=caption, split=split)
    skipped: list[Skipped] = []
    suffix = root.suffix.lower()
    if root.is_dir():
        return _folder(root, columns, skipped)
    if suffix in TABLE_SUFFIXES:
        return assemble(str(root), list(read_table(root, columns, skipped)), skipped)
    if suffix == ".tar":
        return assemble(str(root), list(read_tars(root, [root], caption, skipped)), skipped)
    if suffix in ARCHIVE_SUFFIXES:
        raise DataError(f"{root} is a compressed archive; unpack it and give the folder.")
    raise DataError(
        f"{root} is neither a table ({', '.join(TABLE_SUFFIXES)}) nor a .tar shard nor a folder; give one of these."
    )


def _folder(root: Path, columns: Columns, skipped: list[Skipped]) -> PairedImages:
    shards = shards_in(root)
    if shards and not holds(root, IMAGES.suffixes | SOUNDS.suffixes):  # an archive may lie beside what it held
        return assemble(str(root), list(read_tars(root, shards, columns.caption, skipped)), skipped)
    tables = list(tables_in(root))
    found: list[Found] = []
    fault: DataError | None = None
    for table, default in tables:
        try:
            found += read_table(table, columns, skipped, default)
        except DataError as error:
            fault = fault or error
            skipped.append(Skipped(shown(table), str(error).rstrip(".")))
    if not found:
        found = list(read_text_files(root, skipped))
    if not found and fault is not None:
        raise fault
    hint = "" if shards or tables or _anything(root, ".txt") else "; put a .txt beside each image, or give a table"
    return assemble(str(root), found, skipped, hint)


def tables_in(root: Path) -> Iterator[tuple[Path, str | None]]:
    """The tables directly in `root` and in its split folders, and the split of the folder."""
    try:
        entries = sorted(root.iterdir())
    except OSError as error:
        raise DataError(f"{root} cannot be read: {error.strerror}.") from None
    folders = [(root, None), *((entry, split_of(entry.name)) for entry in entries if entry.is_dir())]
    for folder, split in folders:
        if folder is root or split:
            for file in sorted(folder.iterdir()):
                if file.suffix.lower() in TABLE_SUFFIXES and file.is_file() and not is_junk(file):
                    yield file, split


def _anything(root: Path, suffix: str) -> bool:
    return any(name.lower().endswith(suffix) for _, _, names in os.walk(root) for name in names)

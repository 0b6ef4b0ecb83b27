"""What is wrong with data, before any training: `check(path)` finds out whether they are images, recordings or chats.

Images are judged in images/check.py, recordings in speech/check.py, conversations about either in chat/check.py.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

from multimodal.data.chat.files import chat_files
from multimodal.data.check_report import CheckReport
from multimodal.data.pairs.read import tables_in
from multimodal.data.text.tables import TABLE_SUFFIXES, read_rows
from multimodal.errors import ArgumentError, DataError
from multimodal.media import AUDIO_SUFFIXES, IMAGE_SUFFIXES, is_junk

_LOOKED_AT = 1000  # files named in a folder or table, after which it is clear what most of them are


def check(
    path: str | Path,
    *,
    separator: str | None = "|",
    model: Any = None,
    images: str | Path | None = None,
) -> CheckReport:
    """Read every image or recording at `path` and report what is wrong; of both kinds, those of which there are more.

    Args:
        path: labelled images (class folders, a table, tar shards), recordings (a table, LibriSpeech, LJSpeech, Common
            Voice, a folder with or without a .txt beside each) or conversations (.json, .jsonl, or a folder that holds
            such a file).
        separator: of images, between several labels of one.
        model: of recordings, a model folder or tokenizer.json: characters that it does not know are reported. Of
            conversations, a vision-language model or what `load` takes: what it cannot learn from, or cuts off, is
            reported.
        images: of conversations, the folder of the files that they name; None: beside them, or in images/ or audio/.

    Raises:
        ArgumentError: `model` or `images` is given for labelled images, or `model` is of another kind.
        DataError: there is nothing to check.
    """
    root = Path(path).expanduser()
    kind = kind_of(root)
    if kind == "conversations":
        from multimodal.data.chat.check import check_chat

        return check_chat(path, images=images, model=model)
    if images is not None:
        raise ArgumentError(f"images is {str(images)!r}, but {root} holds no conversations; leave it out.")
    if kind == "recordings":
        from multimodal.data.speech.check import check_speech

        return check_speech(path, model=model)
    if model is not None:
        raise ArgumentError(
            f"model is {str(model)!r}, but {root} holds no recordings and no conversations; texts of images are not "
            "checked."
        )
    from multimodal.data.images.check import check as check_images

    return check_images(path, separator=separator)


def kind_of(root: Path) -> Literal["images", "recordings", "conversations"]:
    """What a folder or a table is of: by its first row, else by the endings of its files; "images" where neither is."""
    if chat_files(root):
        return "conversations"
    found = _kinds(_in_folder(root)) if root.is_dir() else Counter[str]()
    if not found:
        tables = [table for table, _ in tables_in(root)] if root.is_dir() else [root]
        found = _kinds(name for table in tables if table.suffix.lower() in TABLE_SUFFIXES for name in _in_table(table))
    return "recordings" if found["recordings"] > found["images"] else "images"


def _kinds(names: Iterable[str]) -> Counter[str]:
    found: Counter[str] = Counter()
    for name in names:
        ending = os.path.splitext(name)[1].lower()  # noqa: PTH122 a Path for each of a million files costs seconds
        for kind, endings in (("recordings", AUDIO_SUFFIXES), ("images", IMAGE_SUFFIXES)):
            if ending in endings:
                found[kind] += 1
        if found.total() >= _LOOKED_AT:
            break
    return found


def _in_folder(root: Path) -> Iterator[str]:
    for _, folders, names in os.walk(root):
        folders[:] = [name for name in folders if not is_junk(name)]
        yield from (name for name in names if not is_junk(name))


def _in_table(table: Path) -> Iterator[str]:
    """Every text in the cells; what is unreadable is told by the check itself."""
    if not table.is_file():
        return
    try:
        for _, row in read_rows(table, []):
            yield from (cell.strip() for cell in row.values() if isinstance(cell, str))
    except DataError:
        return

"""A path to conversations about images or recordings: which of the layouts is it?

JSON (LLaVA's) or JSON Lines of conversations (rows.py), a folder that holds such files, or images with captions in any
layout that `multimodal.data.pairs` reads: a caption is then the answer to a prompt. No image is opened.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from multimodal.data.chat.rows import conversation, is_conversation
from multimodal.data.chat.samples import ChatSample, ChatSamples, Found, assemble
from multimodal.data.images.samples import Skipped, split_of
from multimodal.data.pairs.read import read_pairs
from multimodal.data.pairs.tables import FOLDERS
from multimodal.data.text.layouts import split_in
from multimodal.data.text.sources import existing
from multimodal.data.text.tables import TABLE_SUFFIXES, Row, cell_split, read_rows
from multimodal.errors import DataError
from multimodal.media import AUDIO_SUFFIXES, is_junk
from multimodal.media.files import shown
from multimodal.models.chat_messages import chat_of

SUFFIXES = (".json", ".jsonl", ".ndjson", ".parquet")  # of files that may hold conversations


def read_chats(source: str | Path, *, images: str | Path | None = None, prompts: Sequence[str] = ()) -> ChatSamples:
    """The conversations at `source` with their splits; what cannot be used is named in `skipped` and left out.

    Args:
        source: a .json or .jsonl file of conversations, or a folder that holds some; or images with captions.
        images: the folder in which the files lie that rows name; None: beside the file, or in images/ or audio/ there.
        prompts: of images with captions: what the caption answers, one of them drawn for each; none: the image alone
            stands in front of the caption, as in the first stage of LLaVA.

    Raises:
        DataError: there is nothing, or nothing that can be used.
    """
    root = existing(source)
    folder = None if images is None else existing(images)
    skipped: list[Skipped] = []
    files = chat_files(root)
    if not files:
        return _captions(root, prompts)
    found: list[Found] = []
    for file, default in files:
        try:
            found += _read_file(file, folder, default, skipped)
        except DataError as error:
            if file == root:
                raise
            skipped.append(Skipped(shown(file), str(error).rstrip(".")))
    where = folder or (root if root.is_dir() else root.parent)
    beside = "" if folder else f" and in its {' and '.join(f'{name}/' for name in FOLDERS)}"
    missing = any(one.reason == "file not found" for one in skipped)
    return assemble(str(root), found, skipped, f"; files are looked for in {where}{beside}" * missing)


def chat_files(root: Path) -> list[tuple[Path, str | None]]:
    """The files of conversations that `root` is or holds, each with the split of the folder that it lies in.

    Raises:
        DataError: `root` is a .json file of something else.
    """
    if not root.is_dir():
        if root.suffix.lower() not in SUFFIXES:
            return []
        if _holds_conversations(root):
            return [(root, None)]
        if root.suffix.lower() == ".json":
            raise DataError(
                f'{root} is no list of conversations; it should be [{{"image": "a.png", "conversations": [{{"from": '
                '"human", "value": "<image> ..."}, ...]}, ...].'
            )
        return []
    try:
        entries = sorted(root.iterdir())
        folders = [(root, None), *((entry, split_of(entry.name)) for entry in entries if entry.is_dir())]
        inside = [(file, split) for folder, split in folders if folder is root or split
                  for file in sorted(folder.iterdir())]  # fmt: skip
    except OSError as error:
        raise DataError(f"{error.filename} cannot be read: {error.strerror}.") from None
    return [
        (file, split)
        for file, split in inside
        if file.suffix.lower() in SUFFIXES and file.is_file() and not is_junk(file) and _holds_conversations(file)
    ]


def _holds_conversations(file: Path) -> bool:
    """Whether the first row of a file has a column of turns."""
    if file.suffix.lower() == ".json":
        return _json_begins_with_conversation(file)
    try:
        first = next(iter(read_rows(file, [])), None)
    except DataError:
        return False
    return first is not None and is_conversation(first[1])


def _json_begins_with_conversation(file: Path) -> bool:
    """Whether a JSON file is a list whose first object has a column of turns; only its beginning is read."""
    try:
        with file.open(encoding="utf-8-sig", errors="replace") as text:
            start = text.read(1 << 20).lstrip()
    except OSError:
        return False
    if not start.startswith("["):
        return False
    try:
        first, _ = json.JSONDecoder().raw_decode(start[1:].lstrip())
    except (ValueError, RecursionError):  # damaged, or a first conversation of a megabyte: reading it will tell
        return any(f'"{name}"' in start for name in ("messages", "conversations"))
    return isinstance(first, dict) and is_conversation(first)


def _read_file(file: Path, images: Path | None, default: str | None, skipped: list[Skipped]) -> Iterator[Found]:
    split = default or split_in(Path(file.name)) or "train"
    folders = (images,) if images else (file.parent, *(file.parent / name for name in FOLDERS))
    for where, row in _json_rows(file, skipped) if file.suffix.lower() == ".json" else read_rows(file, skipped):
        if not is_conversation(row):
            skipped.append(Skipped(where, 'no "messages" and no "conversations"'))
        elif sample := conversation(row, where, folders, skipped):
            yield Found(cell_split(where, row.get("split"), split), sample)


def _json_rows(file: Path, skipped: list[Skipped]) -> Iterator[tuple[str, Row]]:
    """The entries of a JSON file.

    Raises:
        DataError: it cannot be read, or is no JSON.
    """
    try:
        entries: Any = json.loads(file.read_bytes().decode("utf-8-sig"))
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{file} is not UTF-8 (byte {error.start}); save it as UTF-8.") from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"{file} is damaged: it is no JSON ({error}).") from None
    for number, entry in enumerate(entries):
        if isinstance(entry, dict):
            name = f" ({entry['id']})" if isinstance(entry.get("id"), str | int) else ""
            yield f"{file}, entry {number}{name}", entry
        else:
            skipped.append(Skipped(f"{file}, entry {number}", "not a JSON object"))


def _captions(root: Path, prompts: Sequence[str]) -> ChatSamples:
    """Images, or recordings, with captions as conversations of one answer."""
    if not root.is_dir() and root.suffix.lower() not in (*TABLE_SUFFIXES, ".tar"):
        raise DataError(
            f"{root} holds no conversations; give .json or .jsonl of them, a folder that holds such a file, or images "
            "with captions."
        )
    pairs = read_pairs(root)
    found = [
        Found(split, _captioned(pair.path, caption, prompts))
        for split, members in pairs.splits.items()
        for pair in members
        for caption in pair.captions
    ]
    return assemble(str(root), found, pairs.skipped)


def _captioned(path: str, caption: str, prompts: Sequence[str]) -> ChatSample:
    """A caption as an answer; which prompt it answers follows from file and caption alone."""
    kind = "audio" if Path(path).suffix.lower() in AUDIO_SUFFIXES else "image"
    prompt = ""
    if prompts:
        number = int.from_bytes(hashlib.blake2b(f"{path}\n{caption}".encode(), digest_size=8).digest(), "big")
        prompt = prompts[number % len(prompts)]
    messages = ({"role": "user", "content": f"<{kind}>\n{prompt}"}, {"role": "assistant", "content": caption})
    return ChatSample(chat_of(messages, (path,)), path)

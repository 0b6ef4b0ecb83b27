"""A path to conversations about images or recordings: which of the layouts is it?

JSON (LLaVA's) or JSON Lines of conversations (files.py, rows.py), a folder that holds such files, or images with
captions in any layout that `multimodal.data.pairs` reads: a caption is then the answer to a prompt. No image is opened.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from multimodal.data.chat.files import chat_files, is_conversation, json_rows
from multimodal.data.chat.rows import conversation
from multimodal.data.chat.samples import ChatSample, ChatSamples, Found, assemble
from multimodal.data.images.samples import Skipped
from multimodal.data.pairs.read import read_pairs
from multimodal.data.pairs.tables import FOLDERS
from multimodal.data.text.layouts import split_in
from multimodal.data.text.sources import existing
from multimodal.data.text.tables import TABLE_SUFFIXES, cell_split, read_rows
from multimodal.errors import ArgumentError, DataError
from multimodal.media import AUDIO_SUFFIXES
from multimodal.media.files import shown
from multimodal.models.chat.messages import chat_of


def read_chats(source: str | Path, *, images: str | Path | None = None, prompts: Sequence[str] = ()) -> ChatSamples:
    """The conversations at `source` with their splits; what cannot be used is named in `skipped` and left out.

    Args:
        source: a .json or .jsonl file of conversations, or a folder that holds some; or images with captions.
        images: the folder in which the files lie that rows name; None: beside the file, or in images/ or audio/ there.
        prompts: of images with captions: what the caption answers, one of them drawn for each; none: the image alone
            stands in front of the caption, as in the first stage of LLaVA.

    Raises:
        ArgumentError: `images` is given for captions, or `prompts` for conversations.
        DataError: there is nothing, or nothing that can be used.
    """
    root = existing(source)
    folder = None if images is None else existing(images)
    skipped: list[Skipped] = []
    files = chat_files(root)
    if not files:
        if images is not None:
            raise ArgumentError(f"images is {str(images)!r}, but {root} holds no conversations; leave it out.")
        return _captions(root, prompts)
    if prompts:
        raise ArgumentError(f"prompts are for images with captions, and {root} holds conversations; leave them out.")
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


def _read_file(file: Path, images: Path | None, default: str | None, skipped: list[Skipped]) -> Iterator[Found]:
    split = default or split_in(Path(file.name)) or "train"
    folders = (images,) if images else (file.parent, *(file.parent / name for name in FOLDERS))
    for where, row in json_rows(file, skipped) if file.suffix.lower() == ".json" else read_rows(file, skipped):
        if not is_conversation(row):
            skipped.append(Skipped(where, 'no "messages" and no "conversations"'))
        elif sample := conversation(row, where, folders, skipped):
            yield Found(cell_split(where, row.get("split"), split), sample)


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
    """A caption as an answer; which prompt it answers follows from the file's name and the caption alone."""
    kind = "audio" if Path(path).suffix.lower() in AUDIO_SUFFIXES else "image"
    prompt = ""
    if prompts:
        digest = hashlib.blake2b(f"{Path(path).name}\n{caption}".encode(), digest_size=8).digest()
        prompt = prompts[int.from_bytes(digest, "big") % len(prompts)]
    messages = ({"role": "user", "content": f"<{kind}>\n{prompt}"}, {"role": "assistant", "content": caption})
    return ChatSample(chat_of(messages, (path,)), path)

"""Tar shards of images with captions (the WebDataset convention, as img2dataset writes them).

`0001.jpg` belongs to `0001.txt`, each line of which is a caption, or to `0001.json` with a field `caption`. A damaged
shard is named and left out; the others are read. How the bytes of a member are found is in `images/shards.py`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from multimodal.data.images.samples import IMAGES, SOUNDS, Skipped
from multimodal.data.images.shards import LARGEST_LABEL, MEMBER, place_of, read_bytes, samples_in, split_of_shard
from multimodal.data.pairs.samples import Found, caption_column, captions_of
from multimodal.errors import ArgumentError, DataError
from multimodal.media.files import shown

CAPTION_ENDINGS = ("txt", "json")  # the first that a sample has is read


def read_tars(root: Path, shards: list[Path], caption: str | None, skipped: list[Skipped]) -> Iterator[Found]:
    """The captioned files of `shards`, whose folder or name may say the split. `caption`: the field of .json."""
    for shard in shards:
        split = split_of_shard(root, shard)
        try:
            samples = samples_in(shard)
        except DataError as error:
            skipped.append(Skipped(shown(shard), str(error).rstrip(".")))
            continue
        for key, members in samples.items():
            files = [
                member
                for kind in (IMAGES, SOUNDS)
                for ending, member in members.items()
                if f".{ending}" in kind.suffixes
            ]
            if not files:
                skipped.append(Skipped(shown(f"{shard}{MEMBER}{key}"), "no image or recording with this name"))
                continue
            path = f"{shard}{MEMBER}{files[0]}"
            text = next((members[ending] for ending in CAPTION_ENDINGS if ending in members), None)
            if text is None:
                skipped.append(Skipped(shown(path), "no .txt or .json with its name"))
            elif captions := _captions(shard, text, caption, skipped):
                yield Found(split, path, captions)


def lines_of(data: bytes, where: str, skipped: list[Skipped]) -> tuple[str, ...]:
    """The lines of a caption file that are not blank; where there is none, the reason is added to `skipped`."""
    try:
        lines = [line for line in data.decode("utf-8-sig").splitlines() if line.strip()]
    except UnicodeDecodeError as error:
        skipped.append(Skipped(where, f"not UTF-8 (byte {error.start}); save it as UTF-8"))
        return ()
    if not lines:
        skipped.append(Skipped(where, "empty text"))
    return captions_of(lines, where, skipped) if lines else ()


def _captions(shard: Path, member: str, caption: str | None, skipped: list[Skipped]) -> tuple[str, ...]:
    path = f"{shard}{MEMBER}{member}"
    where = shown(path)
    try:
        if place_of(str(shard), member)[1] > LARGEST_LABEL:
            raise DataError("too large to be a caption")
        data = read_bytes(path)
        if not member.lower().endswith(".json"):
            return lines_of(data, where, skipped)
        row: Any = json.loads(data.decode("utf-8-sig"))
        if not isinstance(row, dict):
            raise DataError("not a JSON object of fields")
        return captions_of(row[caption_column("it", list(row), caption)], where, skipped)
    except (DataError, ArgumentError) as error:
        skipped.append(Skipped(where, str(error).rstrip(".")))
    except (ValueError, RecursionError):
        skipped.append(Skipped(where, "not JSON"))
    return ()

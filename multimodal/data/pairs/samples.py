"""What a reader of pairs gives: images, or recordings, with their captions, in splits, and what was left out.

`assemble` is the one place where captions of the same image come together, for every layout. How each layout is read
is in tables.py, shards.py and folders.py.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from multimodal.data.images.samples import SPLIT_NAMES, Skipped
from multimodal.data.text.tables import find_column, flaw
from multimodal.errors import DataError
from multimodal.media.files import shown

CAPTION_COLUMNS = (  # the first group of which a row has one
    ("caption", "captions"),
    ("text", "texts", "sentence", "sentences", "description"),
    ("title",),
)


@dataclass(frozen=True)
class Pair:
    """One image or recording and what is said of it."""

    path: str  # a file, or "shard.tar::member/name.jpg"; `images.shards.read_bytes` reads both
    captions: tuple[str, ...]  # at least one; none is blank, none is there twice


@dataclass(frozen=True)
class PairedImages:
    """A set of images, or recordings, with captions, as read; none has been opened yet."""

    root: str
    splits: dict[str, tuple[Pair, ...]]  # of "train", "val" and "test" those that the data have
    skipped: tuple[Skipped, ...]


@dataclass(frozen=True)
class Found:
    """An image with captions as it stands in one place; other places may have more for it."""

    split: str
    path: str
    captions: tuple[str, ...]


def assemble(root: str, found: Iterable[Found], skipped: Sequence[Skipped], hint: str = "") -> PairedImages:
    """All captions of an image together. One that several splits name is kept in the last, so that no test is spoiled.

    Args:
        root: what was read, for messages.
        found: in the order that the splits shall have.
        skipped: what was left out until here.
        hint: a clause that says what was looked at, for the message that nothing was found.

    Raises:
        DataError: nothing was found.
    """
    gathered: dict[str, dict[str, dict[str, None]]] = {}  # path -> split -> captions
    for one in found:
        gathered.setdefault(one.path, {}).setdefault(one.split, {}).update(dict.fromkeys(one.captions))
    splits: dict[str, list[Pair]] = {split: [] for split in SPLIT_NAMES}
    left_out = list(skipped)
    for path, parts in gathered.items():
        *others, kept = sorted(parts, key=list(SPLIT_NAMES).index)
        left_out += [Skipped(shown(path), f"also in the {kept} part, so not used for {other}") for other in others]
        splits[kept].append(Pair(path, tuple(parts[kept])))
    if not gathered:
        raise DataError(f"{root} holds no image or recording with a caption{hint}.{_first(left_out)}")
    return PairedImages(root, {split: tuple(pairs) for split, pairs in splits.items() if pairs}, tuple(left_out))


def captions_of(value: Any, where: str, skipped: list[Skipped]) -> tuple[str, ...]:
    """The captions in a cell or JSON value: a text, a list of them, or a text that is such a list in JSON.

    What cannot be used is added to `skipped`.
    """
    if isinstance(value, str) and value.lstrip().startswith("["):
        value = _json_list(value)
    several = isinstance(value, list | tuple)
    captions = []
    for number, caption in enumerate(value if several else [value], 1):
        reason = flaw(caption)
        if reason is None:
            captions.append(caption.strip())
        else:
            skipped.append(Skipped(f"{where}, caption {number}" if several else where, reason))
    if several and not value:
        skipped.append(Skipped(where, "no caption"))
    return tuple(dict.fromkeys(captions))


def caption_column(where: str, names: Sequence[str], wanted: str | None) -> str:
    """The column with the captions: the one that was asked for, or one of `CAPTION_COLUMNS`.

    Raises:
        ArgumentError: `wanted` is not there.
        DataError: several columns of one group are called so, or none.
    """
    for accepted in CAPTION_COLUMNS:
        if column := find_column(where, names, wanted, accepted, "the captions", required=False):
            return column
    return find_column(where, names, wanted, sum(CAPTION_COLUMNS, ()), "the captions")


def _json_list(text: str) -> Any:
    """The list of texts that `text` is in JSON; otherwise `text`."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return value if isinstance(value, list) and all(isinstance(one, str) for one in value) else text


def _first(skipped: Sequence[Skipped]) -> str:
    if not skipped:
        return ""
    count = "One entry was" if len(skipped) == 1 else f"{len(skipped)} entries were"
    return f" {count} left out, for example {skipped[0].path}: {skipped[0].reason.rstrip('.')}."

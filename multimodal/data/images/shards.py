"""Tar shards of labelled images, or recordings (the WebDataset convention), and the bytes of any sample.

In a shard, members that share a name up to the first dot belong together: `0001.jpg` with `0001.cls`, `0001.json` or
`0001.txt`, which holds the class. Shards must not be compressed: the place of each member is found once, from the
headers, and then any sample is read alone, so that training shuffles over all shards. No file stays open, so threads
and worker processes can read at the same time. https://github.com/webdataset/webdataset
"""

from __future__ import annotations

import json
import re
import tarfile
from functools import lru_cache
from pathlib import Path, PurePosixPath

from multimodal.data.images.manifest import LABEL_COLUMNS
from multimodal.data.images.samples import (
    IMAGES,
    FileKind,
    LabeledImages,
    Row,
    Skipped,
    assemble,
    parse_labels,
    split_of,
)
from multimodal.errors import DataError
from multimodal.media import is_junk

MEMBER = "::"  # between a shard and the member, in a sample's path
LABEL_ENDINGS = ("cls", "json", "txt")  # the first that a sample has is read
LARGEST_LABEL = 1 << 20  # bytes; a "label" beyond that is something else


def read_shards(
    root: Path, shards: list[Path], *, separator: str | None = "|", kind: FileKind = IMAGES
) -> LabeledImages:
    """The labelled files of `shards`, whose folder or name may say the split: `val/000.tar`, `pets-val-000.tar`.

    Raises:
        DataError: a shard is damaged or compressed, or no member pairs up into a labelled file.
    """
    rows: list[Row] = []
    skipped: list[Skipped] = []
    for shard in shards:
        split = split_of_shard(root, shard)
        for key, members in samples_in(shard).items():
            files = [member for ending, member in members.items() if f".{ending}" in kind.suffixes]
            if not files:
                skipped.append(Skipped(f"{shard}{MEMBER}{key}", f"no {kind.word} with this name"))
                continue
            path = f"{shard}{MEMBER}{files[0]}"
            found = next((members[ending] for ending in LABEL_ENDINGS if ending in members), None)
            if found is None:
                skipped.append(Skipped(path, f"no {key}.cls, .json or .txt"))
                continue
            rows.append(Row(split, path, _labels(shard, found, separator)))
    return assemble(str(root), rows, skipped, kind)


def source_of(path: str) -> str | bytes:
    """What reads a sample's file: its path, by which errors call it, or the bytes of a member of a shard.

    Raises:
        DataError: the shard is not there or cannot be read.
    """
    return read_bytes(path) if f".tar{MEMBER}" in path else path


def read_bytes(path: str) -> bytes:
    """The encoded file at a sample's path, whether a file or a member of a shard. Safe in threads and processes.

    Raises:
        DataError: it is not there or cannot be read.
    """
    shard, mark, member = path.partition(f".tar{MEMBER}")
    try:
        if not mark:
            if not Path(path).is_file():  # a pipe would be waited for without end
                raise DataError(f"{path} does not exist or is not a plain file.")
            return Path(path).read_bytes()
        return _read_member(f"{shard}.tar", member)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from error


def _read_member(shard: str, member: str) -> bytes:
    offset, size = place_of(shard, member)
    with Path(shard).open("rb") as file:
        file.seek(offset)
        data = file.read(size)
    if len(data) != size:
        raise DataError(f"{shard}{MEMBER}{member} is cut short: {len(data)} of {size} bytes.")
    return data


def place_of(shard: str, member: str) -> tuple[int, int]:
    """Where a member's bytes begin in the shard, and how many they are.

    Raises:
        DataError: it has no such member, or is damaged.
    """
    stat = Path(shard).stat()
    place = _index(shard, stat.st_mtime_ns, stat.st_size).get(member)
    if place is None:
        raise DataError(f"{shard} has no member {member!r}.")
    return place


@lru_cache(maxsize=4096)
def _index(shard: str, mtime_ns: int, size: int) -> dict[str, tuple[int, int]]:
    """Member name to (offset, size) in bytes; read again when the shard's time or size changes."""
    try:
        with tarfile.open(shard, "r:") as archive:
            return {
                info.name: (info.offset_data, info.size)
                for info in archive
                if info.isreg() and not info.issparse() and not is_junk(Path(info.name))
            }
    except tarfile.TarError as error:
        with Path(shard).open("rb") as file:
            start = file.read(6)
        if start.startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00", b"\x28\xb5\x2f\xfd")):
            raise DataError(f"{shard} is compressed; decompress it, so that samples can be read at random.") from None
        raise DataError(f"{shard} is not a complete tar file: {error}.") from None


def samples_in(shard: Path) -> dict[str, dict[str, str]]:
    """Sample key to {ending: member name}, in the order of the shard."""
    try:
        stat = shard.stat()
        names = list(_index(str(shard), stat.st_mtime_ns, stat.st_size))
    except OSError as error:
        raise DataError(f"{shard} cannot be read: {error.strerror}.") from None
    grouped: dict[str, dict[str, str]] = {}
    for member in names:
        path = PurePosixPath(member)
        stem, _, ending = path.name.partition(".")
        grouped.setdefault(str(path.with_name(stem)), {})[ending.lower()] = member
    return grouped


def _labels(shard: Path, member: str, separator: str | None) -> tuple[str, ...]:
    where = f"{shard}{MEMBER}{member}"
    if place_of(str(shard), member)[1] > LARGEST_LABEL:
        raise DataError(f"{where} is too large to be a label.")
    try:
        text = read_bytes(where).decode("utf-8")
        if not member.lower().endswith(".json"):
            return parse_labels(text, separator)
        value = json.loads(text)
        if isinstance(value, dict):
            columns = [name for name in LABEL_COLUMNS if name in value]
            if not columns:
                raise DataError(f"it has none of the fields {', '.join(LABEL_COLUMNS)}")
            value = value[columns[0]]
        return parse_labels(value, separator)
    except (ValueError, DataError) as error:
        raise DataError(f"{where} holds no label: {error}") from None


def split_of_shard(root: Path, shard: Path) -> str:
    """What a shard's folder or name says; what lies above `root`, or the name of a shard given alone, says nothing."""
    parts = [part for name in shard.relative_to(root).parts for part in re.split(r"[-_.]", name)]
    return next((split for part in parts if (split := split_of(part))), "train")

"""A corpus tokenized once: memory-mapped shards of ids that any number of processes read.

A folder holds, for each shard, `00000.tokens` (the ids of whole documents, one after the other, 2 or 4 bytes each) and
`00000.ends` (where each document ends, 8 bytes each), both little-endian; `index.json` with sizes and SHA-256 of both,
and fingerprints of the source and of the tokenizer; and the tokenizer itself. A shard counts once the index names it:
writing that was killed at any moment goes on after the last such shard. It is done by token_writing.py.

Axes: n ids
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from multimodal.data.images.samples import Skipped
from multimodal.data.text.tokens import Ids, TokenStream, id_type
from multimodal.errors import DataError
from multimodal.progress import track
from multimodal.tokenizers.text import TextTokenizer

INDEX = "index.json"
FORMAT = 1
ENDS = np.dtype("<i8")


class TokenShards(TokenStream):
    """The ids that `write_tokens` put into a folder; sizes are checked at once, checksums by it and by `verify`.

    Raises:
        DataError: there are none, they are not finished, or a file is missing or has another size.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        index = read_index(self.folder)
        if index is None:
            raise DataError(f"{self.folder} holds no tokens: it has no {INDEX}. Write them with `write_tokens`.")
        if not index["complete"]:
            raise DataError(f"The tokens in {self.folder} are not finished; call `write_tokens` again to go on.")
        self.vocabulary: int = index["vocabulary"]
        self.tokenizer_fingerprint: str = index["tokenizer"]
        self.skipped = tuple(Skipped(path, reason) for path, reason in index["skipped"])
        self.skipped_count: int = index["skipped_count"]
        self._shards = index["shards"]
        dtype = id_type(self.vocabulary).newbyteorder("<")
        super().__init__(
            [
                (_mapped(file, dtype, shard["tokens"]), _mapped(ends, ENDS, shard["documents"]))
                for shard, (file, ends) in zip(self._shards, self._files(), strict=True)
            ]
        )

    def tokenizer(self) -> TextTokenizer:
        """The tokenizer that made the ids, from the same folder."""
        return TextTokenizer.load(self.folder)

    def verify(self) -> None:
        """Read every file through and compare checksums.

        Raises:
            DataError: a file is damaged; its name is said.
        """
        verify_shards(self.folder, self._shards)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.folder,)  # a worker process maps the files itself

    def _files(self) -> list[tuple[Path, Path]]:
        return [shard_files(self.folder, number) for number in range(len(self._shards))]


def verify_shards(folder: Path, shards: Sequence[Mapping[str, Any]]) -> None:
    """Read the files of `shards`, entries of an index, through and compare checksums.

    Raises:
        DataError: a file is damaged or missing; its name is said.
    """
    for number, shard in enumerate(track(shards, len(shards), "Checking the tokens")):
        for file, expected in zip(shard_files(folder, number), shard["sha256"], strict=True):
            try:
                with file.open("rb") as stream:
                    found = hashlib.file_digest(stream, "sha256").hexdigest()
            except OSError as error:
                raise DataError(
                    f"{file} cannot be read: {error.strerror}. Delete {folder} and write it again."
                ) from None
            if found != expected:
                raise DataError(f"{file} is damaged (wrong checksum); delete {folder} and write it again.")


def read_index(folder: Path) -> dict[str, Any] | None:
    """The index of `folder`; None where there is none.

    Raises:
        DataError: it is damaged, or of another format.
    """
    file = folder / INDEX
    try:
        index = json.loads(file.read_text(encoding="utf-8"))
        if index["format"] == FORMAT:
            _check(index)
            return index
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error.strerror}.") from None
    except (ValueError, KeyError, TypeError, RecursionError):
        raise DataError(f"{file} is damaged; delete {folder} and write the tokens again.") from None
    raise DataError(f"{file} has format {index['format']!r} and this version reads {FORMAT}; write the tokens again.")


def _check(index: dict[str, Any]) -> None:
    """Raise KeyError, TypeError or ValueError for an index of which something is missing or of another kind."""
    for shard in index["shards"]:
        counts, sums = (shard["tokens"], shard["documents"]), shard["sha256"]
        if not all(type(n) is int and n >= 0 for n in counts) or len(sums) != 2:
            raise ValueError("a shard")
    kinds = {
        "shards": list,
        "complete": bool,
        "vocabulary": int,
        "tokenizer": str,
        "skipped": list,
        "skipped_count": int,
    }
    if not all(type(index[name]) is kind for name, kind in kinds.items()):
        raise TypeError("an entry")
    for path, reason in index["skipped"]:
        if not (isinstance(path, str) and isinstance(reason, str)):
            raise TypeError("skipped")


def shard_files(folder: Path, number: int) -> tuple[Path, Path]:
    """The ids and the ends of documents of one shard."""
    return folder / f"{number:05d}.tokens", folder / f"{number:05d}.ends"


def _mapped(file: Path, dtype: np.dtype, count: int) -> Ids:
    try:
        size = file.stat().st_size
    except OSError:
        raise DataError(f"{file} is missing; delete {file.parent} and write the tokens again.") from None
    if size != count * dtype.itemsize:
        raise DataError(f"{file} has {size:,} bytes instead of {count * dtype.itemsize:,}; write the tokens again.")
    if not count:
        return np.zeros(0, dtype=dtype)  # an empty file cannot be mapped
    return np.memmap(file, dtype=dtype, mode="r", shape=(count,))

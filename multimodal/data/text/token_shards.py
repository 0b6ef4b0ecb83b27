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
    """The ids that `write_tokens` put into a folder; sizes are checked at once, checksums by `verify`.

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
        for shard, files in track(list(zip(self._shards, self._files(), strict=True)), len(self._shards), "Checking"):
            for file, expected in zip(files, shard["sha256"], strict=True):
                with file.open("rb") as stream:
                    if hashlib.file_digest(stream, "sha256").hexdigest() != expected:
                        raise DataError(f"{file} is damaged (wrong checksum); delete {self.folder} and write it again.")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.folder,)  # a worker process maps the files itself

    def _files(self) -> list[tuple[Path, Path]]:
        return [shard_files(self.folder, number) for number in range(len(self._shards))]


def read_index(folder: Path) -> dict[str, Any] | None:
    """The index of `folder`; None where there is none.

    Raises:
        DataError: it is damaged, or of another format.
    """
    file = folder / INDEX
    try:
        index = json.loads(file.read_text(encoding="utf-8"))
        if index["format"] == FORMAT and isinstance(index["shards"], list) and isinstance(index["complete"], bool):
            return index
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error.strerror}.") from None
    except (ValueError, KeyError, TypeError):
        raise DataError(f"{file} is damaged; delete {folder} and write the tokens again.") from None
    raise DataError(f"{file} has format {index['format']!r} and this version reads {FORMAT}; write the tokens again.")


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

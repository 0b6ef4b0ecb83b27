"""A corpus tokenized once: memory-mapped shards of ids that any number of processes read.

A folder holds, for each shard, `00000.tokens` (the ids of whole documents, one after the other, 2 or 4 bytes each) and
`00000.ends` (where each document ends, 8 bytes each), both little-endian; `index.json` with sizes and SHA-256 of both,
and fingerprints of the source and of the tokenizer; and the tokenizer itself. A shard counts once the index names it:
writing that was killed at any moment goes on after the last such shard.

Axes: n ids
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import IO, Any

import numpy as np

from multimodal.data.samples import Skipped
from multimodal.data.text_sources import Unit, fingerprint, read_texts, report
from multimodal.data.text_tokens import Ids, TokenStream, encode_documents, end_of_text, id_type, tokenizer_fingerprint
from multimodal.errors import ArgumentError, DataError
from multimodal.progress import track
from multimodal.tokenizers.text import TextTokenizer

INDEX = "index.json"
FORMAT = 1
ENDS = np.dtype("<i8")
NAMED = 100  # skipped texts that the index names; the rest is counted


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


def write_tokens(
    source: Any,
    tokenizer: TextTokenizer,
    folder: str | Path,
    *,
    column: str | None = None,
    unit: Unit = "file",
    eos: bool = True,
    shard_tokens: int = 1 << 26,
) -> TokenShards:
    """Tokenize `source` into `folder`, or go on where that was interrupted; finished shards are opened as they are.

    Texts that cannot be used are left out, counted and, up to a hundred, named in the index and on stderr.

    Args:
        source, column, unit: texts, as for `read_texts`.
        tokenizer: is kept in the folder too.
        folder: made if need be.
        eos: put the tokenizer's end-of-text id after each document.
        shard_tokens: a shard ends with the document that brings it to this many ids.

    Raises:
        ArgumentError: the tokenizer has no end-of-text token, or `shard_tokens` is below 1.
        DataError: no text; the folder holds tokens of another source, tokenizer or option, or cannot be written.
    """
    if shard_tokens < 1:
        raise ArgumentError(f"shard_tokens is {shard_tokens}; it must be at least 1.")
    end, folder = end_of_text(tokenizer, eos), Path(folder)
    plan = {
        "format": FORMAT,
        "vocabulary": tokenizer.vocabulary,
        "tokenizer": tokenizer_fingerprint(tokenizer),
        "source": fingerprint(source),
        "options": {"column": column, "unit": unit, "eos": eos, "shard_tokens": shard_tokens},
    }
    index = _going_on(folder, plan)
    if index["complete"]:
        return TokenShards(folder)
    skipped: list[Skipped] = []
    done = sum(shard["documents"] for shard in index["shards"])
    # Texts that earlier calls wrote are read again, but not tokenized: what was skipped among them is counted once.
    texts = islice(read_texts(source, column=column, unit=unit, skipped=skipped), done, None)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tokenizer.save(folder)
        _write(folder, index)
        for _ in track(_shards(folder, index, encode_documents(texts, tokenizer, eos=end)), None, "Tokenizing"):
            pass
        if not index["shards"]:
            first = f" The first of {len(skipped)} left out, {skipped[0].path}: {skipped[0].reason}." if skipped else ""
            raise DataError(f"The source holds no text.{first}")
        index |= {
            "complete": True,
            "skipped": [(one.path, one.reason) for one in skipped[:NAMED]],
            "skipped_count": len(skipped),
        }
        _write(folder, index)
    except OSError as error:
        raise DataError(f"The tokens cannot be written to {folder}: {error.strerror}.") from error
    report(skipped)
    return TokenShards(folder)


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


def _going_on(folder: Path, plan: dict[str, Any]) -> dict[str, Any]:
    """The index to go on from: that of `folder` where it has one, made in the same way."""
    index = read_index(folder)
    if index is None or not (index["shards"] or index["complete"]):
        return {**plan, "complete": False, "shards": [], "skipped": [], "skipped_count": 0}
    cure = f"Give another folder, or delete {folder} to tokenize again."
    if plan["source"] is None:
        raise DataError(f"{folder} holds tokens already, and a source that is read once cannot be compared. {cure}")
    for name, what in (("tokenizer", "another tokenizer"), ("source", "another source, or it has changed since")):
        if index.get(name) != plan[name]:
            raise DataError(f"The tokens in {folder} are of {what}. {cure}")
    if index.get("options") != plan["options"]:
        raise DataError(f"The tokens in {folder} were made with other options: {index.get('options')}. {cure}")
    return index


def _shards(folder: Path, index: dict[str, Any], documents: Iterator[tuple[Ids, bool]]) -> Iterator[None]:
    """Write shard after shard; yields after each piece of a document, for the progress bar."""
    most = index["options"]["shard_tokens"]
    while True:
        files = shard_files(folder, len(index["shards"]))
        temporary = [file.with_name(f"{file.name}.part") for file in files]
        digest = hashlib.sha256()
        ends: list[int] = []
        total = 0
        with temporary[0].open("wb") as out:
            for ids, last in documents:
                data = ids.astype(ids.dtype.newbyteorder("<"), copy=False).tobytes()
                out.write(data)
                digest.update(data)
                total += len(ids)
                if last:
                    ends.append(total)
                yield
                if last and total >= most:
                    break
            _settle(out)
        if not ends:
            temporary[0].unlink()
            return
        data = np.array(ends, dtype=ENDS).tobytes()
        _write_file(temporary[1], data)
        for part, file in zip(temporary, files, strict=True):
            part.replace(file)
        sums = [digest.hexdigest(), hashlib.sha256(data).hexdigest()]
        index["shards"].append({"tokens": total, "documents": len(ends), "sha256": sums})
        _write(folder, index)


def _write(folder: Path, index: dict[str, Any]) -> None:
    part = folder / f"{INDEX}.part"
    _write_file(part, json.dumps(index, indent=1).encode())
    part.replace(folder / INDEX)


def _write_file(file: Path, data: bytes) -> None:
    with file.open("wb") as out:
        out.write(data)
        _settle(out)


def _settle(out: IO[bytes]) -> None:
    """Onto the disk before the name: otherwise a power cut could leave a named file without its bytes."""
    out.flush()
    os.fsync(out.fileno())


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

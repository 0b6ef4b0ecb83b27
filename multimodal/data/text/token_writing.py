"""Tokenizing a corpus once, into the shards that token_shards.py reads.

Axes: n ids
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import IO, Any

import numpy as np
from filelock import FileLock, Timeout

from multimodal.data.images.samples import Skipped
from multimodal.data.text.sources import Unit, fingerprint, read_texts, report
from multimodal.data.text.token_shards import ENDS, FORMAT, INDEX, TokenShards, read_index, shard_files, verify_shards
from multimodal.data.text.tokens import BATCH, Ids, encode_documents, end_of_text, tokenizer_fingerprint
from multimodal.errors import ArgumentError, DataError
from multimodal.progress import track
from multimodal.tokenizers.text import TextTokenizer

NAMED = 100  # skipped texts that the index names; the rest is counted
BATCHES = f"Tokenizing ({BATCH >> 20} MB each)"


def write_tokens(
    source: Any,
    tokenizer: TextTokenizer,
    folder: str | Path,
    *,
    column: str | None = None,
    unit: Unit = "file",
    eos: bool = True,
    shard_tokens: int = 1 << 26,
    verify: bool = True,
) -> TokenShards:
    """Tokenize `source` into `folder`, or go on where that was interrupted; finished shards are opened as they are.

    Texts that cannot be used are left out, counted and, up to a hundred, named in the index and on stderr.

    Args:
        source, column, unit: texts, as for `read_texts`.
        tokenizer: is kept in the folder too.
        folder: made if need be.
        eos: put the tokenizer's end-of-text id after each document.
        shard_tokens: a shard ends with the document that brings it to this many ids.
        verify: read the shards that are there already through, and compare their checksums.

    Raises:
        ArgumentError: the tokenizer has no end-of-text token, or `shard_tokens` is below 1.
        DataError: no text; a shard is damaged; the folder holds tokens of another source, tokenizer or option, or
            cannot be written.
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
    if not index["complete"]:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with _alone(folder):
                index = _going_on(folder, plan)  # another process may have gone on while this one waited
                if verify:
                    verify_shards(folder, index["shards"])
                if not index["complete"]:
                    tokenizer.save(folder)
                    _write_shards(folder, index, source, tokenizer, end)
        except OSError as error:
            raise DataError(f"The tokens cannot be written to {folder}: {error.strerror}.") from error
    elif verify:
        verify_shards(folder, index["shards"])
    return TokenShards(folder)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One process at a time, of all machines that share the folder; a lock ends with its process."""
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(blocking=False)
    except Timeout:
        print(f"Another process writes tokens to {folder}; waiting for it.", file=sys.stderr)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _write_shards(folder: Path, index: dict[str, Any], source: Any, tokenizer: TextTokenizer, end: int | None) -> None:
    """Write what `index` lacks."""
    skipped: list[Skipped] = []
    options, done = index["options"], sum(shard["documents"] for shard in index["shards"])
    # Texts that earlier calls wrote are read again, but not tokenized: what was skipped among them is counted once.
    texts = read_texts(source, column=options["column"], unit=options["unit"], skipped=skipped)
    _write(folder, index)
    batches = encode_documents(islice(texts, done, None), tokenizer, eos=end)
    for _ in track(_shards(folder, index, batches), None, BATCHES):
        pass
    if not index["shards"]:
        first = f" The first of {len(skipped)} left out, {skipped[0].path}: {skipped[0].reason}." if skipped else ""
        raise DataError(f"The source holds no text.{first}")
    named = [(one.path, one.reason) for one in skipped[:NAMED]]
    index |= {"complete": True, "skipped": named, "skipped_count": len(skipped)}
    _write(folder, index)
    report(skipped)


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


def _shards(folder: Path, index: dict[str, Any], batches: Iterator[tuple[Ids, Ids]]) -> Iterator[None]:
    """Write shard after shard; yields after each batch of texts, for the progress bar."""
    chunks = _chunks(batches, index["options"]["shard_tokens"])
    while True:
        files = shard_files(folder, len(index["shards"]))
        temporary = [file.with_name(f"{file.name}.part") for file in files]
        digest = hashlib.sha256()
        ends: list[Ids] = []
        total = 0
        with temporary[0].open("wb") as out:
            for ids, inside, full in chunks:
                data = ids.astype(ids.dtype.newbyteorder("<"), copy=False).tobytes()
                out.write(data)
                digest.update(data)
                ends.append(total + inside)
                total += len(ids)
                yield
                if full:
                    break
            _settle(out)
        if not ends:
            temporary[0].unlink()
            return
        places = np.concatenate(ends).astype(ENDS)
        _write_file(temporary[1], places.tobytes())
        for part, file in zip(temporary, files, strict=True):
            part.replace(file)
        sums = [digest.hexdigest(), hashlib.sha256(places.tobytes()).hexdigest()]
        index["shards"].append({"tokens": total, "documents": len(places), "sha256": sums})
        _write(folder, index)


def _chunks(batches: Iterable[tuple[Ids, Ids]], most: int) -> Iterator[tuple[Ids, Ids, bool]]:
    """The same ids and ends of documents; True after the first document that brings a shard to `most` ids."""
    total = 0
    for ids, ends in batches:
        while (i := int(np.searchsorted(ends, most - total))) < len(ends):
            cut = int(ends[i])
            yield ids[:cut], ends[: i + 1], True
            ids, ends, total = ids[cut:], ends[i + 1 :] - cut, 0
        if len(ids) or len(ends):
            yield ids, ends, False
            total += len(ids)


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

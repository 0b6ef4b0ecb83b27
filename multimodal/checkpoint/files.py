"""The files beside config.json, which has their checksums: written, and read only as they were written."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from multimodal.checkpoint.header import CONFIG, CURE
from multimodal.errors import DataError
from multimodal.tokenizers import text_json, text_settings
from multimodal.tokenizers.text import TextTokenizer

TOKENIZER = (text_json.FILE, text_settings.CONFIG)


def write_weights(state: Mapping[str, Tensor], path: Path) -> None:
    """Write `state` as a safetensors file.

    Raises:
        OSError: it cannot be written.
    """
    try:
        save_file(dict(state), path, metadata={"format": "pt"})
    except SafetensorError as error:  # how it reports a full disk
        raise OSError(None, sentence(error).rstrip(".")) from error


def read_weights(path: Path, expected: Mapping[str, Any]) -> dict[str, Tensor]:
    """The tensors of a file whose size and checksum are as `expected`; they are mapped, not yet read.

    Raises:
        DataError: it is missing or another file.
    """
    try:
        size = path.stat().st_size
        if size != expected["bytes"]:
            raise DataError(f"{path} is damaged: it has {size:,} bytes and should have {expected['bytes']:,}. {CURE}")
        if sha256_of(path) != expected["sha256"]:
            raise DataError(f"{path} is damaged: its checksum is not weights.sha256 of {CONFIG}. {CURE}")
        return load_file(path)
    except FileNotFoundError as error:
        raise DataError(f"{path} is missing. {CURE}") from error
    except (OSError, SafetensorError) as error:
        raise DataError(f"{path} cannot be read: {sentence(error)} {CURE}") from error


def write_tokenizer(tokenizer: TextTokenizer | None, folder: Path) -> dict[str, str] | None:
    """Write the files of the tokenizer; their names and checksums."""
    if tokenizer is None:
        return None
    tokenizer.save(folder)
    return {name: sha256_of(folder / name) for name in TOKENIZER}


def read_tokenizer(folder: Path, expected: Mapping[str, Any], vocabulary: int) -> TextTokenizer:
    """The tokenizer of files whose checksums are as `expected`, if it belongs to a model that knows `vocabulary` ids.

    Raises:
        DataError: a file is missing or another, or the tokenizer gives ids that the model does not know.
    """
    for name in TOKENIZER:
        check_file(folder / name, expected.get(name))
    tokenizer = TextTokenizer.load(folder)
    try:
        tokenizer.fits(vocabulary)
    except DataError as error:
        raise DataError(f"{folder}: {error}") from error
    return tokenizer


def check_file(path: Path, checksum: str | None) -> None:
    """Refuse a file that is missing or whose SHA-256 is not `checksum`.

    Raises:
        DataError: it is.
    """
    try:
        if sha256_of(path) != checksum:
            raise DataError(f"{path} is damaged or was changed: its checksum is not that of {CONFIG}. {CURE}")
    except FileNotFoundError as error:
        raise DataError(f"{path} is missing. {CURE}") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {sentence(error)} {CURE}") from error


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sentence(error: Exception) -> str:
    """The first line of what an error says, with a full stop."""
    text = str(error).strip().split("\n")[0].rstrip(".")
    return f"{text or type(error).__name__}."

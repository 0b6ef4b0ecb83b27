"""`index.json`: which table is in force, which model made its vectors, which folders were indexed.

It is replaced as a whole, so that a reader sees the old one or the new one. What is known of each picture is in the
tables beside it (`table.py`).
"""

from __future__ import annotations

import json
import os
import re
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from multimodal.errors import ArgumentError, DataError
from multimodal.search.embedder import ModelInfo

NAME = "index.json"
FORMAT = 1  # raised when an older program could not read what a newer one wrote


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What an index is."""

    table: str  # name of the table in force
    model: ModelInfo
    folders: tuple[str, ...] = ()  # resolved paths
    migration: ModelInfo | None = None  # the model that a migration under way embeds for


def read_manifest(folder: Path) -> Manifest | None:
    """The manifest of the index in `folder`; None where there is nothing yet.

    Raises:
        ArgumentError: `folder` is something else than an index.
        DataError: it is damaged, cannot be read, or was written by a newer version.
    """
    path = folder / NAME
    try:
        text = path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        _check_vacant(folder)
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(damaged(folder, error)) from error
    try:
        plain = json.loads(text)
        version = plain["format"]
        if isinstance(version, int) and version > FORMAT:
            raise DataError(
                f"{folder} was written by a newer version of multimodal (format {version}, this one reads up to "
                f"{FORMAT}); upgrade with: pip install -U multimodal"
            )
        table, folders, migration = plain["table"], plain["folders"], plain["migration"]
        if not (isinstance(version, int) and isinstance(folders, list) and re.fullmatch(r"images-\d+", table)):
            raise ValueError("format, table or folders is not what it can be")
        return Manifest(
            table=table,
            model=_model_of(plain["model"]),
            folders=tuple(map(str, folders)),
            migration=_model_of(migration) if migration is not None else None,
        )
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(damaged(folder, error)) from error


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Put `manifest` in place at once.

    Raises:
        DataError: it cannot be written.
    """
    plain: dict[str, Any] = {
        "format": FORMAT,
        "table": manifest.table,
        "model": manifest.model.plain(),
        "folders": list(manifest.folders),
        "migration": manifest.migration.plain() if manifest.migration else None,
    }
    temporary = folder / f".{NAME}.{secrets.token_hex(4)}.partial"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("w", encoding="utf-8") as stream:
                json.dump(plain, stream, indent=1)  # ASCII: a name that is no valid UTF-8 comes back as it was
                stream.flush()
                os.fsync(stream.fileno())
            temporary.replace(folder / NAME)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise DataError(f"The index {folder} cannot be written: {error.strerror or error}.") from error


def signature(folder: Path) -> tuple[int, int, int] | None:
    """What changes whenever the manifest is replaced; None where there is none."""
    try:
        status = (folder / NAME).stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size


def damaged(folder: Path, error: Exception) -> str:
    """The sentence about an index that cannot be read."""
    reason = re.sub(r",?\s*/\S+\.rs:\d+:\d+.*", "", " ".join(str(error).split()))  # where LanceDB was when it noticed
    reason = reason[:200] or type(error).__name__
    return (
        f"The index {folder} is damaged ({reason}); restore the folder from a copy, or delete it and sync again: the "
        "pictures themselves are not in it."
    )


def _model_of(plain: dict[str, Any]) -> ModelInfo:
    model = ModelInfo(**plain)
    texts = (model.source, model.fingerprint, model.transform)
    if not (type(model.width) is int and model.width > 0 and all(isinstance(it, str | None) for it in texts)):
        raise ValueError("what is said of the model is not what it can be")
    return model


def _check_vacant(folder: Path) -> None:
    if not folder.exists():
        return
    if not folder.is_dir():
        raise ArgumentError(f"{folder} is a file; an index is a folder of its own. Give the name of a new folder.")
    other = sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
    if any(name.endswith(".lance") for name in other):
        raise DataError(damaged(folder, FileNotFoundError(f"{NAME} is missing")))
    if other:
        raise ArgumentError(
            f"{folder} is not an index and not empty (it holds {other[0]!r}); give the name of a new folder for the "
            "index. Folders of pictures go to sync(...)."
        )

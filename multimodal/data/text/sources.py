"""Plain text from wherever it lies: files, folders, a column of a table, a `datasets` object, strings.

One text after the other; where lines or rows are the unit, a file is never wholly in memory. What cannot be used is
named and left out. Texts with labels are read by readers.py.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Literal, TypeAlias, cast

from multimodal.data.images.samples import Skipped
from multimodal.data.text.tables import TABLE_SUFFIXES, find_column, flaw, read_rows
from multimodal.errors import ArgumentError, DataError, nearest
from multimodal.media import is_junk

Unit: TypeAlias = Literal["file", "paragraph", "line"]

TEXT_SUFFIXES = (".txt", ".text", ".md", ".rst", ".tex")
TEXT_COLUMNS = ("text", "content", "document", "sentence")
BINARY_SUFFIXES = (
    ".gz",
    ".bz2",
    ".xz",
    ".zst",
    ".zip",
    ".tar",
    ".tgz",
    ".7z",
    ".rar",
    ".pdf",
    ".docx",
    ".doc",
    ".epub",
)
CHUNK = 1 << 20  # bytes


def read_texts(
    source: Any, *, column: str | None = None, unit: Unit = "file", skipped: list[Skipped] | None = None
) -> Iterator[str]:
    """The texts of `source`, in an order that is always the same; none of them blank.

    Args:
        source: a text file; a table (.csv, .tsv, .jsonl, .parquet), one text a row; a folder of both, read in the order
            of their names; a list of such `Path`s; a `datasets` object; strings, or dictionaries with a column of
            strings.
        column: of tables; None: the one called "text" (or content, document, sentence).
        unit: what one text is in a text file: the whole file (which is then read at once), a paragraph (blank lines
            stand between them) or a line. Blank paragraphs and lines are no texts and are passed over.
        skipped: what is unreadable, not UTF-8 or empty is added here and left out; None: it raises.

    Raises:
        ArgumentError: an unknown unit, or a column that is not there.
        DataError: there is nothing at that path; or something cannot be used and no list was given.
    """
    if unit not in ("file", "paragraph", "line"):
        raise ArgumentError(f"unit is {unit!r}; it must be 'file', 'paragraph' or 'line'.")
    left_out: list[Skipped] = [] if skipped is None else skipped
    for where, text in _texts(source, column, unit, left_out):
        if skipped is None and left_out:
            break
        if reason := flaw(text):
            left_out.append(Skipped(where, reason))
            if skipped is None:
                break
            continue
        yield cast(str, text)
    if skipped is None and left_out:
        raise DataError(f"{left_out[0].path}: {left_out[0].reason}.")


def report(skipped: Sequence[Skipped], what: str = "texts") -> None:
    """Say on stderr how much was left out, and what was the first of it."""
    if skipped:
        first = f"{skipped[0].path}: {skipped[0].reason}"
        print(f"{len(skipped)} {what} were left out, the first: {first}", file=sys.stderr)


def find_files(root: Path, suffixes: Sequence[str] = (), skipped: list[Skipped] | None = None) -> list[Path]:
    """The files below `root` in the order of their POSIX paths, hidden ones and other systems' leavings apart.

    With `suffixes`, files with other endings are added to `skipped` instead.

    Raises:
        DataError: a folder cannot be listed.
    """

    def refuse(error: OSError) -> None:
        raise DataError(f"{error.filename} cannot be listed: {error.strerror}.") from None

    found = []
    for folder, folders, names in os.walk(root, onerror=refuse):
        folders[:] = [name for name in folders if not is_junk(name)]
        found += [Path(folder, name) for name in names if not is_junk(name)]
    found.sort(key=Path.as_posix)
    if suffixes and skipped is not None:
        skipped += [Skipped(str(file), "not a text file") for file in found if file.suffix.lower() not in suffixes]
    return [file for file in found if not suffixes or file.suffix.lower() in suffixes]


def existing(path: str | Path) -> Path:
    """`path`, if something is there.

    Raises:
        DataError: nothing is.
    """
    try:
        found = Path(path).expanduser()
        if found.exists():
            return found
    except (OSError, ValueError):  # too long for a name, or a null character: a text rather than a path
        raise DataError(f"{str(path)[:40]!r}... is no path; give texts as a list of strings.") from None
    folder = found.parent if found.parent.is_dir() else Path()
    close = nearest(found.name, (entry.name for entry in folder.iterdir()))
    raise DataError(f"There is no file or folder {str(path)!r}.{close}")


def fingerprint(source: Any) -> str | None:
    """A checksum of all that `source` holds: it changes when a byte does. None for what can be read only once.

    Files are read through, at about a gigabyte a second.
    """
    total = hashlib.sha256()
    if isinstance(source, str | Path):
        root = existing(source)
        for file in find_files(root, (*TEXT_SUFFIXES, *TABLE_SUFFIXES)) if root.is_dir() else [root]:
            total.update(f"{file.relative_to(root).as_posix() if file != root else ''}\0".encode(errors="replace"))
            try:
                with file.open("rb") as stream:
                    total.update(hashlib.file_digest(stream, "sha256").digest())
            except OSError as error:
                total.update(f"unreadable: {error.strerror}".encode())
        return f"sha256:{total.hexdigest()}"
    known = getattr(source, "_fingerprint", None)  # of `datasets`: it follows from the files and all steps since
    if isinstance(known, str):
        return f"datasets:{known}"
    if not isinstance(source, Sequence):
        return None
    for item in source:
        known = fingerprint(item) if isinstance(item, Path) else repr(item)
        total.update(hashlib.sha256(str(known).encode(errors="replace")).digest())
    return f"sha256:{total.hexdigest()}"


def _texts(source: Any, column: str | None, unit: Unit, skipped: list[Skipped]) -> Iterator[tuple[str, Any]]:
    """Where each text stands, and the text as it was found."""
    if not isinstance(source, str | Path):
        yield from _given_texts(source, column, unit, skipped)
        return
    root = existing(source)
    if not root.is_dir():
        yield from _file_texts(root, column, unit, skipped)
        return
    for file in find_files(root, (*TEXT_SUFFIXES, *TABLE_SUFFIXES), skipped):
        yield from _file_texts(file, column, unit, skipped)


def _given_texts(source: Any, column: str | None, unit: Unit, skipped: list[Skipped]) -> Iterator[tuple[str, Any]]:
    if not hasattr(source, "__iter__") or isinstance(source, Mapping | bytes):
        raise DataError(f"{type(source).__name__} is no source of texts; give a path, strings, rows, or one split.")
    if hasattr(source, "column_names"):  # a `datasets` object
        yield from _column_texts(source, "The data set", column, skipped)
        return
    for number, item in enumerate(source):
        if isinstance(item, Path):
            yield from _texts(item, column, unit, skipped)
        elif isinstance(item, Mapping):
            name = find_column(f"Row {number}", list(item), column, TEXT_COLUMNS, "the text")
            yield f"row {number}", item[name]
        else:
            yield f"text {number}", item


def _file_texts(file: Path, column: str | None, unit: Unit, skipped: list[Skipped]) -> Iterator[tuple[str, Any]]:
    if file.suffix.lower() in TABLE_SUFFIXES:
        yield from _column_texts(file, str(file), column, skipped)
        return
    if file.suffix.lower() == ".json":
        raise DataError(f'{file} is JSON, not text; give JSON Lines, on each line a row such as {{"text": "..."}}.')
    if file.suffix.lower() in BINARY_SUFFIXES:
        raise DataError(f"{file} is not plain text; unpack it or save it as text first.")
    try:
        if unit == "file":
            text = file.read_bytes().decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
            yield str(file), text
        else:
            with file.open(encoding="utf-8-sig", errors="surrogateescape") as lines:
                yield from (_lines if unit == "line" else _paragraphs)(file, lines)
    except UnicodeDecodeError as error:
        skipped.append(Skipped(str(file), f"not UTF-8 (byte {error.start}); save it as UTF-8"))
    except OSError as error:
        skipped.append(Skipped(str(file), f"cannot be read: {error.strerror}"))


def _lines(file: Path, lines: IO[str]) -> Iterator[tuple[str, str]]:
    for number, line in enumerate(lines, 1):
        if line.strip():
            yield f"{file}, line {number}", line.rstrip("\n")


def _paragraphs(file: Path, lines: IO[str]) -> Iterator[tuple[str, str]]:
    collected: list[str] = []
    start = 1
    for number, line in enumerate(lines, 1):
        if line.strip():
            start = start if collected else number
            collected.append(line)
        elif collected:
            yield f"{file}, line {start}", "".join(collected).rstrip("\n")
            collected = []
    if collected:
        yield f"{file}, line {start}", "".join(collected).rstrip("\n")


def _column_texts(source: Any, where: str, column: str | None, skipped: list[Skipped]) -> Iterator[tuple[str, Any]]:
    name = None
    for place, row in read_rows(source, skipped):
        if name is None:
            name = find_column(where, list(row), column, TEXT_COLUMNS, "the text")
        yield place, row.get(name)

"""Public data sets to folders of images, texts or recordings: checksummed downloads that resume, safe unpacking, all or
nothing.

The scripts `data/*/prepare.py` use these; each knows its own source, checksum and layout.
"""

from __future__ import annotations

import argparse
import hashlib
import http.client
import json
import math
import os
import shutil
import sys
import tarfile
import tempfile
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from multimodal.errors import DataError
from multimodal.media import MediaError, probe_audio
from multimodal.progress import track

CHUNK = 1 << 20  # bytes
TIMEOUT = 30.0  # seconds without a byte


def download(url: str, file: Path, *, checksum: str | None) -> Path:
    """The file at `url`, in `file`. What has arrived before an interruption is kept in `file` + ".part" and continued.

    Args:
        url: http, https or file.
        file: where to write; a complete one is not fetched again.
        checksum: "sha256:..." or "md5:...", in hexadecimal; None: whoever unpacks it checks what was in it.

    Raises:
        DataError: the source cannot be reached, the connection breaks, or the checksum differs.
    """
    if file.is_file() and _matches(file, checksum):
        return file
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f"{file.name}.part")
    try:
        _fetch(url, part)
    except urllib.error.HTTPError as error:
        raise DataError(f"{url} answers {error.code} ({error.reason}); the source may have moved.") from None
    except (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError) as error:
        reason = getattr(error, "reason", None) or error
        raise DataError(
            f"{url} could not be downloaded: {reason}. Check the network and run this again; it continues where it "
            "stopped."
        ) from None
    if not _matches(part, checksum):
        part.unlink()
        raise DataError(f"What {url} sent is damaged or has changed (wrong checksum); it was deleted. Run this again.")
    part.replace(file)
    return file


def unpack(archive: Path, folder: Path) -> Path:
    """`folder`, with the members of the zip or tar file `archive` in it; that may be compressed.

    Raises:
        DataError: the archive is damaged, or a member would be written elsewhere.
    """
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as files:
                files.extractall(folder)  # it takes ".." and leading slashes out of names
        else:
            with tarfile.open(archive) as members:
                members.extractall(folder, filter="data")
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, ValueError) as error:
        raise DataError(f"{archive} cannot be unpacked: {error}.") from None
    return folder


@contextmanager
def all_or_nothing(folder: Path) -> Iterator[Path]:
    """An empty folder to fill, which becomes `folder` at the end, or vanishes if the work is not finished.

    Raises:
        DataError: `folder` exists and is not empty.
    """
    if folder.exists() and any(folder.iterdir()):
        raise DataError(f"{folder} exists already; delete it to prepare the data again, or give another folder.")
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}-"))
    try:
        yield temporary
        temporary.chmod(0o755)  # a temporary folder is made private
        temporary.replace(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def download_files(out: Path, source: str, files: Mapping[str, tuple[str, str]]) -> Path:
    """The files of a data set that is not packed, all in `out`: name there -> (name below the URL `source`, checksum).

    Raises:
        DataError: as for `download`; or `out` exists and is not empty.
    """
    with all_or_nothing(out) as folder:
        # None is moved before all have come, so that an interruption keeps those that are there.
        found = [
            download(f"{source}/{name}", out.parent / name, checksum=checksum) for name, checksum in files.values()
        ]
        for name, file in zip(files, found, strict=True):
            file.rename(folder / name)
    return out


def write_manifest(folder: Path, rows: Iterable[Mapping[str, Any]]) -> Path:
    """`folder`/manifest.jsonl: the `rows` sorted by their "file" below `folder`, each with its "seconds".

    Raises:
        DataError: a file is no readable recording.
    """
    ordered = sorted(rows, key=lambda row: row["file"])
    manifest = folder / "manifest.jsonl"
    with manifest.open("w", encoding="utf-8") as out:
        for row in track(ordered, len(ordered), "Reading headers"):
            try:
                seconds = probe_audio(folder / row["file"]).seconds
            except MediaError as error:
                raise DataError(str(error)) from None
            out.write(json.dumps({**row, "seconds": round(seconds, 3)}, ensure_ascii=False) + "\n")
    return manifest


def run_script(
    prepare: Callable[..., Path], about: str | None, out: Path, argv: Sequence[str] | None, *, copies: str | None = None
) -> int:
    """A script `about` a data set whose argument is the folder to write, by default `out`; its exit code.

    With `copies`, such as "a copy of it", it has the option `--from FOLDER` for who has one already: the second
    argument of `prepare`, or None.
    """
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "out", nargs="?", type=Path, default=out, metavar="OUT", help=f"(default: {out.name}/ beside it)"
    )
    if copies:
        there = f"where {copies} lies; nothing is downloaded"
        parser.add_argument("--from", dest="copy", type=Path, metavar="FOLDER", help=there)
    arguments = parser.parse_args(argv)
    return exit_code(lambda: prepare(arguments.out, arguments.copy) if copies else prepare(arguments.out))


def exit_code(prepare: Callable[[], Path]) -> int:
    """Run `prepare` as a script: prints the folder that it made, or one sentence; 0 done, 1 failed."""
    try:
        print(f"The data are in {prepare()}")
    except (DataError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _fetch(url: str, part: Path) -> None:
    """Append to `part` what it lacks."""
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        response = urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code != http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            raise
        return  # nothing is lacking; the checksum decides
    with response, part.open("ab") as out:
        if response.status != http.HTTPStatus.PARTIAL_CONTENT:  # the server sends everything
            out.truncate(0)
            have = 0
        length = response.headers.get("Content-Length")
        missing = int(length) if length else 0
        what = f"Downloading {os.path.basename(url)} (MiB)"  # noqa: PTH119 a URL is no path
        for chunk in track(_chunks(response), math.ceil(missing / CHUNK), what):
            out.write(chunk)
        arrived = out.tell()
    if length and arrived < have + missing:
        raise ConnectionError(f"the connection broke after {arrived:,} of {have + missing:,} bytes")


def _chunks(response: IO[bytes] | Any) -> Iterator[bytes]:
    while chunk := response.read(CHUNK):
        yield chunk


def _matches(file: Path, checksum: str | None) -> bool:
    if checksum is None:
        return True
    algorithm, _, expected = checksum.partition(":")
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, algorithm).hexdigest() == expected

"""Files of the index, and nothing else: by the id of a row, only while they are what was indexed.

The index may be older than the disk. A file that was replaced since by a link, or whose folder was, could lead
anywhere. So what lies outside of the folders that were synced is handed out only where its bytes are those that were
indexed (links that were there from the start), and what is inside must still be a picture.

Formats that browsers do not show (TIFF, HEIC, JPEG 2000 ...) are converted to JPEG.
"""

from __future__ import annotations

import io
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from io import BufferedIOBase
from pathlib import Path
from urllib.parse import quote

from PIL import Image

from multimodal.errors import DataError
from multimodal.media import MediaError, read_image
from multimodal.media.opening import opened
from multimodal.search.index import ImageIndex
from multimodal.search.reading import content_hash
from multimodal.search.rows import Row, text_of

SHOWN = {  # by browsers, as they are
    "JPEG": "image/jpeg",
    "MPO": "image/jpeg",
    "PNG": "image/png",
    "GIF": "image/gif",
    "WEBP": "image/webp",
    "AVIF": "image/avif",
    "BMP": "image/bmp",
}
CONVERTED_SIDE = 4096  # px, the longer side of what was converted
PREVIEW_SIDE = 640  # px, of what stands in a grid on a screen with small pixels
_BLOCK = 1 << 18  # bytes that are sent at a time


@dataclass(frozen=True)
class Original:
    """A file that may be handed out, open and read from its start."""

    stream: BufferedIOBase
    size: int  # bytes
    kind: str  # of the media: "image/jpeg"
    tag: str  # changes whenever the file does

    def blocks(self) -> Iterator[bytes]:
        """All bytes; closes the file."""
        with self.stream as stream:
            while block := stream.read(_BLOCK):
                yield block


def original_of(index: ImageIndex, row: Row, *, convert: bool = True) -> Original:
    """The file of a row, converted if browsers cannot show it and `convert` says so.

    Raises:
        DataError: it is gone, is no picture any more, or is not the one that was indexed.
    """
    stream = _opened(index, row)
    try:
        format = _format(stream, row)
        status = os.fstat(stream.fileno())
        tag = f"{status.st_mtime_ns:x}-{status.st_size:x}"
        if format in SHOWN or not convert:
            stream.seek(0)
            return Original(stream, status.st_size, SHOWN.get(format, f"image/{format.lower()}"), tag)
        data = _converted(stream, row, CONVERTED_SIDE)
        stream.close()
        return Original(io.BytesIO(data), len(data), "image/jpeg", f"{tag}-jpeg")
    except BaseException:
        stream.close()
        raise


def preview_of(index: ImageIndex, row: Row) -> bytes:
    """The file of a row as a JPEG, its longer side at most `PREVIEW_SIDE`.

    Raises:
        DataError: as `original_of`.
    """
    with _opened(index, row) as stream:
        return _converted(stream, row, PREVIEW_SIDE)


def attachment(row: Row) -> str:
    """The header that has a browser save a file under its own name."""
    plain = re.sub(r"[^A-Za-z0-9._ -]", "_", row.name)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(row.name, safe='')}"


def _opened(index: ImageIndex, row: Row) -> BufferedIOBase:
    name = text_of(row.name)
    try:
        descriptor = os.open(row.path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except OSError as error:
        raise DataError(f"{name} cannot be opened: {error.strerror or error}. Sync the index again.") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise DataError(f"{name} is not a file any more. Sync the index again.")
    stream = os.fdopen(descriptor, "rb")
    try:
        same_size = os.fstat(descriptor).st_size == row.bytes  # else there is no need to read what may be huge
        if not _is_inside(index, row.path, stream) and not (same_size and content_hash(stream.read()) == row.hash):
            raise DataError(f"{name} leads out of the folders of the index, and is not what was indexed.")
    except BaseException:
        stream.close()
        raise
    stream.seek(0)
    return stream


def _is_inside(index: ImageIndex, path: Path, stream: BufferedIOBase) -> bool:
    """Whether the file that was opened lies, with all links followed, below a folder that was synced."""
    real = os.path.realpath(path)
    try:
        same = os.path.samestat(os.stat(real), os.fstat(stream.fileno()))  # noqa: PTH116  else replaced after opening
    except OSError:
        return False
    return same and any(Path(real).is_relative_to(folder) for folder in index.folders)


def _format(stream: BufferedIOBase, row: Row) -> str:
    try:
        with opened(stream) as image:
            return image.format or ""
    except MediaError as error:
        raise DataError(_named(error, row)) from error


def _converted(stream: BufferedIOBase, row: Row, side: int) -> bytes:
    def needed(width: int, height: int) -> int:  # read_image doubles it
        return -(-side * min(width, height) // max(width, height) // 2)

    try:
        image = read_image(stream, min_side=needed)
    except MediaError as error:
        raise DataError(_named(error, row)) from error
    image.thumbnail((side, side), Image.Resampling.BICUBIC)
    target = io.BytesIO()
    image.save(target, "JPEG", quality=88)
    return target.getvalue()


def _named(error: MediaError, row: Row) -> str:
    return str(error).replace("The image stream", text_of(row.name), 1)

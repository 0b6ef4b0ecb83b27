"""Pictures that models draw, as PNG: into a file, in full or not at all, and for notebooks."""

from __future__ import annotations

import io
import secrets
from pathlib import Path

from PIL import Image

from multimodal.errors import DataError


def png_bytes(picture: Image.Image) -> bytes:
    """The contents of a PNG file."""
    stream = io.BytesIO()
    picture.save(stream, format="PNG")
    return stream.getvalue()


def write_png(picture: Image.Image, path: str | Path) -> Path:
    """Write `picture`; the path.

    Raises:
        DataError: it cannot be written.
    """
    path = Path(path)
    temporary = path.with_name(f".{secrets.token_hex(4)}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            temporary.write_bytes(png_bytes(picture))
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise DataError(f"The picture cannot be written to {path}: {error.strerror or error}.") from error
    return path

"""A contact sheet: thumbnails in a grid, as a page without scripts or as one picture. Names are escaped."""

from __future__ import annotations

import base64
import io
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from markupsafe import escape
from PIL import Image, ImageDraw, ImageFont, ImageOps

from multimodal.errors import ArgumentError, DataError

_CELL, _GAP, _LINE = 200, 12, 16  # px: side of a thumbnail's place, space between, height of a line of text
_FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}
_PICTURES = 1_000  # on one picture; a page takes any number

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark"><title>{title}</title></head>
<body style="margin:1rem">{body}</body></html>
"""
_BLOCK = """<div style="font:13px system-ui,sans-serif"><p>{title}</p>
<div style="display:grid;grid-template-columns:repeat(auto-fill,minmax(150px,1fr));gap:12px">{tiles}</div></div>"""
_FIGURE = """<figure style="margin:0" title="{hint}">
<img alt="{name}" src="{source}" style="width:100%;height:150px;object-fit:contain;background:#8882">
<figcaption style="overflow:hidden;text-overflow:ellipsis;white-space:nowrap">{name}<br>
<span style="opacity:.7">{note}</span></figcaption></figure>"""


class Tile(NamedTuple):
    """One picture of a sheet."""

    picture: bytes  # JPEG; empty: there is no thumbnail
    name: str
    note: str  # second line
    hint: str  # shown by a page when the pointer rests on it


def html(title: str, tiles: Sequence[Tile]) -> str:
    """A piece of a page that holds its pictures itself."""
    figures = [
        _FIGURE.format(
            hint=escape(_line(tile.hint)),
            name=escape(_line(tile.name)),
            note=escape(tile.note),
            source="data:image/jpeg;base64," + base64.b64encode(tile.picture).decode() if tile.picture else "data:,",
        )
        for tile in tiles
    ]
    return _BLOCK.format(title=escape(_line(title)), tiles="\n".join(figures))


def save_sheet(title: str, tiles: Sequence[Tile], path: Path) -> Path:
    """Write a page or a picture; the path.

    Raises:
        ArgumentError: a suffix that is neither .html nor .png, .jpg or .jpeg.
        DataError: it cannot be written.
    """
    suffix = path.suffix.lower()
    if suffix in (".html", ".htm"):
        data = _PAGE.format(title=escape(_line(title)), body=html(title, tiles)).encode()
    elif suffix in _FORMATS:
        stream = io.BytesIO()
        _drawn(title, tiles[:_PICTURES]).save(stream, _FORMATS[suffix])
        data = stream.getvalue()
    else:
        raise ArgumentError(f"path is {str(path)!r}; a contact sheet ends in .html, .png or .jpg.")
    temporary = path.with_name(f".{secrets.token_hex(4)}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            temporary.write_bytes(data)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise DataError(f"The contact sheet cannot be written to {path}: {error.strerror or error}.") from error
    return path


def _drawn(title: str, tiles: Sequence[Tile]) -> Image.Image:
    columns = max(1, min(5, len(tiles)))
    rows = -(-len(tiles) // columns)
    across, down = _CELL + _GAP, _CELL + 2 * _LINE + _GAP
    width = max(columns * across + _GAP, 3 * across)
    sheet = Image.new("RGB", (width, rows * down + 2 * _GAP + 2 * _LINE), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(13)
    draw.text((_GAP, _GAP), _fitted(draw, title, font, width - 2 * _GAP), "black", font)
    for place, tile in enumerate(tiles):
        left = _GAP + place % columns * across
        top = 2 * _GAP + _LINE + place // columns * down
        if tile.picture:
            picture = Image.open(io.BytesIO(tile.picture), formats=("JPEG",))
            picture = ImageOps.contain(picture, (_CELL, _CELL))  # small drawings are enlarged, so that they are seen
            sheet.paste(picture, (left + (_CELL - picture.width) // 2, top + (_CELL - picture.height) // 2))
        for line, (text, colour) in enumerate(((tile.name, "black"), (tile.note, "grey"))):
            fitted = _fitted(draw, text, font, _CELL)
            draw.text((left, top + _CELL + 2 + line * _LINE), fitted, colour, font)
    return sheet


def _fitted(
    draw: ImageDraw.ImageDraw, text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int
) -> str:
    """`text` on one line, its middle left out where it is too long."""
    text = _line(text)
    whole = text
    while len(text) > 3 and draw.textlength(text, font) > width:
        keep = (len(text) - 2) // 2
        whole = whole[:keep] + whole[-keep:] if keep else ""
        text = f"{whole[: len(whole) // 2]}…{whole[len(whole) // 2 :]}"
    return text


def _line(text: str) -> str:
    """`text` without what would break a line."""
    return "".join(letter if letter.isprintable() else " " for letter in text)

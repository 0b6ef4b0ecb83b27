"""Every source is taken, and every bad one refused with one sentence."""

import io
import os
import struct
import warnings
import zlib

import numpy as np
import pytest
from pictures import QUARTERS, difference, encoded, picture, png_chunk, refused
from PIL import Image

from multimodal.media import MAX_PIXELS, MediaError, probe_image, read_image

# --- sources ---


def test_sources_agree(tmp_path):
    data = encoded(picture(), "PNG")
    path = tmp_path / "día 猫.png"
    path.write_bytes(data)
    stream = io.BytesIO(data)
    stream.seek(5)  # read from its start all the same
    array = np.asarray(picture())
    for source in (path, str(path), data, stream, picture(), array, array / 255, (array / 255).astype(np.float32)):
        assert difference(read_image(source), picture()) == 0
    with path.open("rb") as file:
        assert difference(read_image(file), picture()) == 0
        assert not file.closed


def test_stream_that_cannot_seek():
    reading, writing = os.pipe()
    with os.fdopen(writing, "wb") as file:
        file.write(encoded(picture(), "PNG"))
    with os.fdopen(reading, "rb") as file:
        assert difference(read_image(file), picture()) == 0


def test_arrays():
    grey = np.arange(12, dtype=np.uint8).reshape(3, 4)
    assert np.array_equal(np.asarray(read_image(grey)), grey[..., None].repeat(3, axis=-1))
    clear = np.dstack([QUARTERS, np.zeros((2, 2), dtype=np.uint8)])
    assert np.asarray(read_image(clear)).min() == 255
    for array, what in [
        (np.zeros((3, 8, 8), np.uint8), "3 x 8 x 8"),
        (np.zeros((0, 8, 3), np.uint8), "0 x 8 x 3"),
        (np.zeros(5, np.uint8), "channels last"),
        (np.full((2, 2), 1.5), "outside of"),
        (np.full((2, 2), np.nan), "outside of"),
        (np.zeros((2, 2), np.uint16), "uint16"),
    ]:
        with pytest.raises(MediaError, match=what):
            read_image(array)
    with pytest.raises(TypeError):
        read_image([1, 2])  # type: ignore[arg-type]


# --- what is refused ---


def test_too_many_pixels_are_refused_by_the_header():
    ihdr = struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0)
    png = b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", ihdr) + png_chunk(b"IDAT", zlib.compress(b"\0" * 100))
    jpeg = bytearray(encoded(picture(), "JPEG"))
    at = jpeg.index(b"\xff\xc0") + 5
    jpeg[at : at + 4] = struct.pack(">HH", 50_000, 50_000)
    bmp = bytearray(encoded(picture(), "BMP"))
    bmp[18:26] = struct.pack("<ii", 50_000, 50_000)
    for data in (png, bytes(jpeg), bytes(bmp)):
        assert "50000 x 50000" in refused(data)
        with pytest.raises(MediaError):
            read_image(data, min_side=8)
        with pytest.raises(MediaError):
            probe_image(data)


def test_large_but_allowed_pictures_raise_no_warning():
    width, height = 20_000, MAX_PIXELS // 20_000
    ihdr = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    png = b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", ihdr) + png_chunk(b"IDAT", zlib.compress(b"\0" * 100))
    assert Image.MAX_IMAGE_PIXELS is not None and width * height > 2 * Image.MAX_IMAGE_PIXELS
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert probe_image(png).width == width


def test_refused_files(tmp_path):
    def message(name: str, content: bytes) -> str:
        path = tmp_path / name
        path.write_bytes(content)
        text = refused(path)
        assert name in text
        return text

    jpeg, png = encoded(picture(), "JPEG"), encoded(picture(), "PNG")
    assert "empty" in message("a.jpg", b"")
    assert "text file" in message("b.jpg", "Liebe Grüße, 猫\n".encode() * 100)
    assert "<!DOCTYPE html>" in message("c.jpg", b"<!DOCTYPE html><html></html>")
    assert "SVG" in message("d.svg", b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>')
    assert "HEIC" in message("e.heic", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + b"\0" * 100)
    assert "HEIC" in message("f.heic", b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic" + b"\0" * 100)
    assert "JPEG XL" in message("g.jxl", b"\xff\x0a" + b"\0" * 100)
    assert "truncated" in message("h.jpg", jpeg[:-20])
    assert "cannot be decoded" in message("i.png", png[: len(png) * 2 // 3])
    assert "cannot be decoded" in message("j.png", png[:20])
    assert "cannot be decoded" in message("k.jpg", jpeg[:30])
    assert "not an image" in message("l.jpg", bytes(range(256)))
    assert "not an image" in message("m.eps", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")


def test_damaged_bytes_never_raise_anything_else():
    random = np.random.default_rng(0)
    kinds = {"JPEG": {}, "PNG": {}, "GIF": {}, "WEBP": {}, "TIFF": {"compression": "tiff_lzw"}, "BMP": {}, "PPM": {}}
    for kind, options in kinds.items():
        data = np.frombuffer(encoded(picture(), kind, **options), dtype=np.uint8)
        for _ in range(30):
            broken = data.copy()
            broken[random.integers(0, len(data), 6)] = random.integers(0, 256, 6, dtype=np.uint8)
            try:
                image = read_image(broken[: random.integers(4, len(data) + 1)].tobytes())
            except MediaError as error:
                assert str(error).endswith(".")
            else:
                assert image.mode == "RGB"

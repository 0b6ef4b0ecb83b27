"""media: every kind of file becomes the right upright RGB picture; every bad one becomes one sentence."""

import io
import os
import struct
import threading
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFile, ImageOps

from multimodal.media import MAX_PIXELS, MediaError, find_images, is_junk, probe_image, read_image, read_reduced

QUARTERS = np.array([[[250, 10, 20], [10, 240, 30]], [[20, 30, 245], [240, 235, 15]]], dtype=np.uint8)  # r g / b y


def picture(width: int = 48, height: int = 32) -> Image.Image:
    """Four flat quarters: red, green / blue, yellow; no symmetry, JPEG-friendly."""
    return Image.fromarray(QUARTERS.repeat(height // 2, axis=0).repeat(width // 2, axis=1))


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def difference(image: Image.Image, expected: Image.Image | np.ndarray) -> int:
    assert image.mode == "RGB"
    a, b = np.asarray(image).astype(int), np.asarray(expected).astype(int)
    assert a.shape == b.shape
    return int(np.abs(a - b).max())


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def exif_of(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


# --- orientation ---


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_pictures_are_upright_as_pillow_says(kind, orientation):
    options = {"quality": 100, "subsampling": 0} if kind == "JPEG" else {"lossless": True} if kind == "WEBP" else {}
    data = encoded(picture(), kind, exif=exif_of(orientation), **options)
    expected = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")
    result = read_image(data)
    assert difference(result, expected) == 0
    assert difference(result, picture().transpose(_shown_as(orientation)) if orientation > 1 else picture()) <= 3
    info = probe_image(data)
    assert (info.width, info.height) == result.size == ((32, 48) if orientation >= 5 else (48, 32))
    assert difference(read_image(result), result) == 0  # not turned a second time


def _shown_as(orientation: int) -> Image.Transpose:
    flips = ["FLIP_LEFT_RIGHT", "ROTATE_180", "FLIP_TOP_BOTTOM", "TRANSPOSE", "ROTATE_270", "TRANSVERSE", "ROTATE_90"]
    return Image.Transpose[flips[orientation - 2]]


def test_orientation_behind_the_pixels_of_a_png():
    data = encoded(picture(), "PNG")
    late = data[:-12] + png_chunk(b"eXIf", exif_of(6).tobytes().removeprefix(b"Exif\0\0")) + data[-12:]
    assert difference(read_image(late), picture().transpose(Image.Transpose.ROTATE_270)) == 0


def test_broken_exif_is_ignored():
    data = encoded(picture(), "PNG", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff")
    assert difference(read_image(data), picture()) == 0


def test_pil_image_with_orientation_is_turned_and_left_alone():
    source = Image.open(io.BytesIO(encoded(picture(), "PNG", exif=exif_of(6))))
    assert read_image(source).size == (32, 48)
    assert source.size == (48, 32)
    lazy = Image.open(io.BytesIO(encoded(picture(480, 320), "JPEG")))
    read_image(lazy, min_side=10)
    assert lazy.size == (480, 320)  # never reduced under the caller's hands


# --- colour modes ---


def test_cmyk_jpeg_with_adobe_polarity():
    data = encoded(picture().convert("CMYK"), "JPEG", quality=100)
    assert b"Adobe" in data[:200]
    assert difference(read_image(data), picture()) <= 4


def test_cmyk_tiff():
    assert difference(read_image(encoded(picture().convert("CMYK"), "TIFF")), picture()) <= 1


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bits_are_scaled_not_clipped(kind):
    for low, high in ((0, 65535), (1000, 40_000)):  # the second: not stretched either
        values = np.linspace(low, high, 64 * 8).round().astype(np.uint16).reshape(8, 64)
        expected = np.rint(values / 257).astype(int)
        result = np.asarray(read_image(encoded(Image.fromarray(values), kind)))
        assert np.array_equal(result, expected[..., None].repeat(3, axis=-1))


def test_sixteen_bits_big_endian_and_pgm():
    values = np.linspace(0, 65535, 64).round().astype(">u2").reshape(8, 8)
    pgm = b"P5 8 8 65535\n" + values.tobytes()
    assert np.array_equal(np.asarray(read_image(pgm))[..., 0], np.rint(values / 257))
    image = Image.frombytes("I;16B", (8, 8), values.tobytes())
    assert np.array_equal(np.asarray(read_image(image))[..., 0], np.rint(values / 257))


def test_sixteen_bit_colour_png():
    rows = (QUARTERS.astype(">u2") * 257).reshape(2, -1)
    body = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    header = struct.pack(">IIBBBBB", 2, 2, 16, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", body), (b"IEND", b""))
    data = b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(*chunk) for chunk in chunks)
    assert difference(read_image(data), QUARTERS) == 0


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.0, 1.0, (0, 255)),  # the range 0-1
        (0.25, 0.5, (64, 128)),  # the range 0-1, not stretched
        (0.0, 200.0, (0, 200)),  # 0-255
        (0.0, 25700.0, (0, 100)),  # 0-65535
        (-3.0, 7.0, (0, 255)),  # none: from minimum to maximum
        (1e6, 1e6, (0, 0)),  # none, and flat
    ],
)
def test_float_tiff(low, high, expected):
    values = np.full((4, 4), low, dtype=np.float32)
    values[2:] = high
    result = np.asarray(read_image(encoded(Image.fromarray(values), "TIFF")))
    assert (result[0, 0, 0], result[3, 3, 2]) == expected


def test_float_tiff_with_holes():
    values = np.array([[np.nan, 0.0], [1.0, np.inf]], dtype=np.float32)
    assert np.asarray(read_image(encoded(Image.fromarray(values), "TIFF")))[..., 0].tolist() == [[0, 0], [255, 255]]


def test_wide_integers_are_stretched():
    values = np.array([[-1000, 0], [1000, 3000]], dtype=np.int32)
    data = encoded(Image.fromarray(values), "TIFF")
    assert np.asarray(read_image(data))[..., 1].tolist() == [[0, 64], [128, 255]]


def test_alpha_lies_over_white():
    rgba = np.dstack([QUARTERS, np.array([[255, 0], [128, 255]], dtype=np.uint8)])
    result = np.asarray(read_image(encoded(Image.fromarray(rgba), "PNG"))).astype(int)
    assert result[0, 0].tolist() == QUARTERS[0, 0].tolist()
    assert result[0, 1].tolist() == [255, 255, 255]
    blend = np.rint(QUARTERS[1, 0] * (128 / 255) + 255 * (127 / 255))
    assert np.abs(result[1, 0] - blend).max() <= 1


def test_opaque_alpha_changes_nothing():
    assert difference(read_image(encoded(picture().convert("RGBA"), "PNG")), picture()) == 0


def test_grey_with_alpha():
    la = Image.merge("LA", [Image.new("L", (2, 2), 40), Image.fromarray(np.array([[255, 0]] * 2, dtype=np.uint8))])
    assert np.asarray(read_image(encoded(la, "PNG")))[0].tolist() == [[40] * 3, [255] * 3]


def test_palette_and_its_transparency():
    palette = picture().quantize(4)
    assert difference(read_image(encoded(palette, "PNG")), palette.convert("RGB")) == 0
    index = palette.getpixel((0, 0))
    for transparency in (index, bytes(0 if i == index else 255 for i in range(4))):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            result = np.asarray(read_image(encoded(palette, "PNG", transparency=transparency)))
        assert result[0, 0].tolist() == [255, 255, 255]  # the red quarter was made transparent
        assert result[-1, -1].tolist() == np.asarray(palette.convert("RGB"))[-1, -1].tolist()


def test_one_bit_grey_and_transparent_colour():
    bits = Image.fromarray(np.array([[0, 255], [255, 0]], dtype=np.uint8)).convert("1")
    assert np.asarray(read_image(encoded(bits, "PNG")))[..., 0].tolist() == [[0, 255], [255, 0]]
    grey = Image.fromarray(np.array([[7, 200]], dtype=np.uint8))
    assert np.asarray(read_image(encoded(grey, "PNG")))[0].tolist() == [[7] * 3, [200] * 3]
    assert np.asarray(read_image(encoded(grey, "PNG", transparency=7)))[0].tolist() == [[255] * 3, [200] * 3]


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_first_frame(kind):
    others = [Image.new("RGB", (48, 32), colour) for colour in ("black", "white")]
    options = {"lossless": True} if kind == "WEBP" else {}
    data = encoded(picture(), kind, save_all=True, append_images=others, **options)
    assert probe_image(data).frames == 3
    assert difference(read_image(data), picture()) <= (0 if kind != "GIF" else 8)


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


def test_probe_reads_the_header_only():
    data = encoded(picture().convert("CMYK"), "JPEG")
    info = probe_image(data[: len(data) - 60])  # the body is cut short, which the header cannot know
    assert (info.width, info.height, info.mode, info.format, info.frames) == (48, 32, "CMYK", "JPEG", 1)
    info = probe_image(np.zeros((4, 6), np.uint8))
    assert (info.width, info.height, info.mode, info.format) == (6, 4, "L", None)


# --- reduced decoding ---


@pytest.mark.parametrize(
    ("min_side", "size"), [(None, (800, 600)), (301, (800, 600)), (150, (400, 300)), (37, (100, 75)), (1, (100, 75))]
)
def test_jpegs_are_decoded_at_the_smallest_sufficient_scale(min_side, size):
    data = encoded(picture(800, 600), "JPEG")
    assert read_image(data, min_side=min_side).size == size
    assert read_image(encoded(picture(800, 600), "PNG"), min_side=min_side).size == (800, 600)


def test_min_side_may_depend_on_the_upright_size():
    asked = []
    data = encoded(picture(800, 600), "JPEG", exif=exif_of(6))
    image = read_image(data, min_side=lambda width, height: asked.append((width, height)) or 75)
    assert asked == [(600, 800)]
    assert image.size == (150, 200)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_box_follows_the_orientation(orientation):
    """A reduced decode, resized from its box, equals the full decode resized; the whole reduced picture does not."""
    ramp = np.linspace(0, 255, 1001)[None, :, None] * [1, 0, 0] + np.linspace(0, 255, 803)[:, None, None] * [0, 1, 0]
    source = Image.fromarray(ramp.astype(np.uint8))
    data = encoded(source, "JPEG", quality=95, subsampling=0, exif=exif_of(orientation))
    full = read_image(data)
    image, box = read_reduced(data, min_side=50)
    width, height = box[2] - box[0], box[3] - box[1]
    assert image.size == ((101, 126) if orientation >= 5 else (126, 101))
    assert (width * 8, height * 8) == full.size
    size = (50, 50)
    exact, whole = image.resize(size, box=box), image.resize(size)
    assert difference(exact, full.resize(size)) <= 2
    errors = [np.abs(np.asarray(x, float) - np.asarray(full.resize(size))).mean() for x in (exact, whole)]
    assert errors[0] < 0.7 * errors[1]


# --- what is refused ---


def refused(source) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(MediaError) as caught:
            read_image(source)
    message = str(caught.value)
    assert message.endswith(".")
    assert "\n" not in message
    return message


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


def test_things_that_are_not_files(tmp_path):
    assert "folder" in refused(tmp_path)
    assert "does not exist" in refused(tmp_path / "none.jpg")
    (tmp_path / "broken.jpg").symlink_to(tmp_path / "none.jpg")
    assert "link" in refused(tmp_path / "broken.jpg")
    (tmp_path / "loop.jpg").symlink_to(tmp_path / "loop.jpg")
    assert "loop.jpg" in refused(tmp_path / "loop.jpg")
    assert "null" in refused("a\0b.jpg")
    assert "device" in refused("/dev/zero")
    os.mkfifo(tmp_path / "pipe.jpg")
    messages = []
    reader = threading.Thread(target=lambda: messages.append(refused(tmp_path / "pipe.jpg")), daemon=True)
    reader.start()
    reader.join(timeout=5)
    assert messages and "pipe" in messages[0]


def test_no_permission(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    path.write_bytes(encoded(picture(), "PNG"))

    def denied(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", denied)
    assert "Permission denied" in refused(path)
    monkeypatch.setattr(os, "scandir", denied)
    with pytest.raises(MediaError, match="Permission denied"):
        find_images(tmp_path)


def test_pillow_is_left_as_it_is():
    before = (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES, list(warnings.filters))
    read_image(encoded(picture(), "JPEG"), min_side=4)
    assert before == (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES, list(warnings.filters))


def test_threads_read_the_same():
    data = [encoded(picture(800, 600), "JPEG"), encoded(picture().quantize(4), "PNG"), encoded(picture(), "GIF")] * 8
    alone = [read_image(item, min_side=50).tobytes() for item in data]
    together: list[bytes] = [b""] * len(data)

    def work(start: int) -> None:
        for index in range(start, len(data), 4):
            together[index] = read_image(data[index], min_side=50).tobytes()

    threads = [threading.Thread(target=work, args=(start,)) for start in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert together == alone


# --- finding ---


def test_find_images(tmp_path):
    names = ["b/2.PNG", "b/1.jpg", "a.b/ü 猫.webp", "a/x.jpeg", "z.heic", "folder.jpg/y.tif"]
    other = ["notes.txt", ".DS_Store", "a/._x.jpeg", "a/Thumbs.db", "desktop.ini", ".hidden/c.jpg", "__MACOSX/d.jpg"]
    for name in names + other + ["@eaDir/e.jpg"]:
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    root = tmp_path / "photos"
    found = [path.relative_to(root).as_posix() for path in find_images(root)]
    assert found == sorted(names)
    assert find_images(str(root)) == find_images(root)


def test_links_are_followed_once_and_never_replace_a_folder(tmp_path):
    root, outside = tmp_path / "photos", tmp_path / "outside"
    for folder in (root / "m", outside):
        folder.mkdir(parents=True)
        (folder / "x.jpg").write_bytes(b"x")
    (root / "m" / "up").symlink_to(root)  # a loop
    (root / "a").symlink_to(root / "m")  # sorts before the folder it points to
    (root / "o1").symlink_to(outside)
    (root / "o2").symlink_to(outside)
    (root / "self").symlink_to(root / "self")
    (root / "copy.jpg").symlink_to(outside / "x.jpg")  # a linked file is a file
    (root / "gone.jpg").symlink_to(outside / "gone.jpg")  # to be reported when it is read
    found = [path.relative_to(root).as_posix() for path in find_images(root)]
    assert found == ["copy.jpg", "gone.jpg", "m/x.jpg", "o1/x.jpg"]


def test_folders_that_cannot_be_listed(tmp_path):
    with pytest.raises(MediaError, match=r"none cannot be listed: No such file"):
        find_images(tmp_path / "none")
    (tmp_path / "a.jpg").write_bytes(b"x")
    with pytest.raises(MediaError, match=r"a\.jpg cannot be listed: Not a directory"):
        find_images(tmp_path / "a.jpg")


def test_junk():
    for name in (".DS_Store", "a/._b.jpg", "Thumbs.db", "THUMBS.DB", "x/desktop.ini", ".git", "__MACOSX"):
        assert is_junk(name)
    for name in ("a.jpg", ".hidden/a.jpg", "thumbs.jpg", "_a.jpg"):
        assert not is_junk(name)


def test_names_that_are_not_text_can_be_shown(tmp_path):
    path = os.fsdecode(os.fsencode(tmp_path) + b"/\xff\n.jpg")
    with pytest.raises(MediaError) as caught:
        read_image(path)
    str(caught.value).encode("utf-8")
    assert "\n" not in str(caught.value)

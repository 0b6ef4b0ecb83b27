"""Every kind of image file becomes the right upright RGB picture, at reduced scale too."""

import io
import struct
import threading
import warnings
import zlib

import numpy as np
import pytest
from pictures import QUARTERS, difference, encoded, exif_of, picture, png_chunk
from PIL import Image, ImageFile, ImageOps

from multimodal.media import probe_image, read_image, read_reduced

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


# --- manners ---


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

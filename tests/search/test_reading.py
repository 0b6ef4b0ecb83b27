"""One look at a file: EXIF as far as it makes sense, size as shown, thumbnail, and the pixels that the model wants."""

from __future__ import annotations

import io
import warnings
from datetime import datetime

import numpy as np
import pytest
import torch
from colour_embedder import ColourEmbedder, picture
from PIL import Image

from multimodal.media import MediaError
from multimodal.search.known import State
from multimodal.search.reading import SIDE, Candidate, content_hash, header, look, quietly_broken, read_file
from multimodal.tokenizers.image_transform import ImageTransformConfig


def photo(size=(800, 600), seed=0):
    """A picture with structure, as JPEG treats it."""
    small = np.random.default_rng(seed).integers(0, 256, (size[1] // 40, size[0] // 40, 3), dtype=np.uint8)
    return Image.fromarray(small).resize(size, Image.Resampling.BICUBIC)


def saved(image, kind="JPEG", **options):
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def looked(data, transform=None):
    candidate = Candidate("x.jpg", State(len(data), 0))
    return candidate, look(candidate, data, transform or ImageTransformConfig(size=(64, 64)).build())


def exif_of(**changes):
    exif = Image.Exif()
    exif[0x010F], exif[0x0110] = "FUJIFILM\0", " X100 "
    exif[0x0132] = "2001:01:01 00:00:00"
    exif.get_ifd(0x8769)[0x9003] = "2024:05:06 07:08:09"
    exif.get_ifd(0x8825).update({1: "S", 2: (33.0, 51.0, 36.0), 3: "E", 4: (151.0, 12.0, 0.0)})
    for tag, value in changes.items():
        block, _, number = tag.partition("_")
        part = exif if block == "main" else exif.get_ifd({"shot": 0x8769, "place": 0x8825}[block])
        if value is None:
            part.pop(int(number, 16), None)
        else:
            part[int(number, 16)] = value
    return exif


def facts_of(exif):
    return header(io.BytesIO(saved(photo((80, 60)), exif=exif)))


def test_time_camera_and_place_are_read():
    facts = facts_of(exif_of())
    assert (facts["make"], facts["camera"]) == ("FUJIFILM", "X100")
    assert facts["taken"] == datetime(2024, 5, 6, 7, 8, 9)
    assert (facts["year"], facts["month"], facts["day"]) == (2024, 5, 6)
    assert facts["latitude"] == pytest.approx(-33.86) and facts["longitude"] == pytest.approx(151.2)
    assert (facts["width"], facts["height"], facts["format"]) == (80, 60, "JPEG")


@pytest.mark.parametrize(
    "value", ["0000:00:00 00:00:00", "    :  :     :  :  ", "yesterday", "2024:13:45 99:00:00", ""]
)
def test_a_date_that_is_none_gives_way_to_the_next(value):
    assert facts_of(exif_of(shot_9003=value))["taken"] == datetime(2001, 1, 1)
    assert facts_of(exif_of(shot_9003=value, main_0132=value))["taken"] is None


@pytest.mark.parametrize(
    "change",
    [{"place_2": (200.0, 0.0, 0.0)}, {"place_2": (1.0, 2.0)}, {"place_2": None}, {"place_4": (999.0, 0.0, 0.0)}],
)
def test_a_place_that_is_none_is_left_out(change):
    facts = facts_of(exif_of(**change))
    assert facts["latitude"] is None and facts["longitude"] is None and facts["camera"] == "X100"


def test_pictures_without_exif_and_with_a_broken_one():
    plain = header(io.BytesIO(saved(photo((80, 60)))))
    assert plain["taken"] is plain["camera"] is plain["latitude"] is None
    good = saved(photo((80, 60)), exif=exif_of())
    start = good.index(b"Exif\0\0")
    rng = np.random.default_rng(0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with quietly_broken():
            for _ in range(50):
                data = bytearray(good)
                for place in rng.integers(start + 6, start + 200, 20):
                    data[place] = rng.integers(256)
                facts = header(io.BytesIO(bytes(data)))
                assert {facts["width"], facts["height"]} == {80, 60}
                candidate, pixels = looked(bytes(data))
                assert candidate.jpeg and pixels.shape == (3, 64, 64)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_size_thumbnail_and_pixels_are_upright(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = saved(photo((800, 400)), exif=exif)
    candidate, pixels = looked(data)
    assert ((candidate.facts["width"], candidate.facts["height"]) == (400, 800)) == (orientation >= 5)
    assert Image.open(io.BytesIO(candidate.jpeg)).size == ((128, 256) if orientation >= 5 else (256, 128))
    expected = ImageTransformConfig(size=(64, 64)).build().read(data)
    assert (pixels.float() - expected.float()).abs().mean() < 1.5


@pytest.mark.parametrize("size", [(1600, 1200), (500, 2000), (300, 200), (4000, 3001)])
@pytest.mark.parametrize("resize", ["crop", "pad", "squash"])
def test_pixels_are_those_of_the_transform(size, resize):
    """The same where the thumbnail needs no larger decode than the model, and as good as the same elsewhere."""
    data = saved(photo(size))
    for side in (224, 48):
        transform = ImageTransformConfig(size=(side, side), resize=resize).build()
        found, expected = looked(data, transform)[1].float(), transform.read(data).float()
        assert (found - expected).abs().mean() < 1.5
    assert torch.equal(
        looked(data, ImageTransformConfig(size=(400, 400)).build())[1],
        ImageTransformConfig(size=(400, 400)).build().read(data),
    )


def test_a_transform_of_another_kind_reads_for_itself():
    class Own:
        config = ImageTransformConfig(size=(8, 8))

        def read(self, source):
            return self.config.build().read(source)

    data = saved(photo())
    candidate, pixels = looked(data, Own())
    assert torch.equal(pixels, Own().read(data)) and candidate.jpeg


@pytest.mark.parametrize("size", [(1, 1), (3, 2000), (256, 100), (5000, 30)])
def test_thumbnails_keep_proportions_and_are_small(size):
    candidate, _ = looked(saved(Image.new("RGB", size, "red"), "PNG"))
    thumbnail = Image.open(io.BytesIO(candidate.jpeg))
    assert max(thumbnail.size) == min(SIDE, max(size)) and min(thumbnail.size) >= 1
    assert len(candidate.tiny) == 32 * 32 * 3


def test_transparent_grey_and_palette_pictures():
    for mode in ("RGBA", "L", "P", "I;16", "CMYK", "1", "LA"):
        kind = "JPEG" if mode == "CMYK" else "PNG"
        base = Image.new("I;16", (40, 30), 3000) if mode == "I;16" else photo((40, 40)).convert(mode)
        candidate, pixels = looked(saved(base, kind))
        assert pixels.shape == (3, 64, 64) and candidate.facts["format"] == kind


def test_files_that_cannot_be_read_are_named(tmp_path):
    with pytest.raises(MediaError, match=r"gone\.jpg does not exist"):
        read_file(str(tmp_path / "gone.jpg"))
    with pytest.raises(MediaError, match="is a folder"):
        read_file(str(tmp_path))
    (tmp_path / "x.jpg").write_bytes(saved(photo())[:500])
    with pytest.raises(MediaError, match=r"x\.jpg"):
        looked(read_file(str(tmp_path / "x.jpg")))


def test_the_hash_is_of_the_bytes():
    assert content_hash(b"a") == content_hash(b"a") != content_hash(b"b")
    assert len(content_hash(b"")) == 32


def test_the_stand_in_sees_colours():
    model = ColourEmbedder()
    vectors = model.embed_pixels(torch.stack([model.transform.read(picture(it)) for it in ("red", "blue")]))
    assert (vectors @ model.embed_texts(["red", "blue"]).T).argmax(1).tolist() == [0, 1]

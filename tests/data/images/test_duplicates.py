from __future__ import annotations

import numpy as np
import pytest
from photos import photo, save
from PIL import Image, ImageDraw, ImageEnhance
from sklearn.datasets import load_digits

import multimodal.data.images.duplicates as duplicates_module
from multimodal.data.images.duplicates import find_duplicates
from multimodal.data.images.inspect import ImageFacts, inspect_images
from multimodal.data.images.samples import Sample


def find(*paths):
    return find_duplicates(inspect_images([Sample(str(path), (0,)) for path in paths]))


def test_the_same_bytes(tmp_path):
    a, b = save(tmp_path / "a.png", photo(0)), save(tmp_path / "b.png", photo(1))
    copies = [tmp_path / "c.png", tmp_path / "d.jpg"]
    for copy in copies:
        copy.write_bytes(a.read_bytes())
    found = find(a, b, *copies)
    assert found.exact == ((0, 2, 3),)
    assert found.near == ()
    assert found.group == (0, 1, 0, 0)


@pytest.mark.parametrize(
    "change",
    [
        {"format": "JPEG", "quality": 30},
        {"format": "WEBP", "quality": 60},
        {"scale": 0.5},
        {"scale": 2.0, "format": "JPEG", "quality": 80},
        {"brightness": 1.08},
    ],
    ids=str,
)
def test_the_same_picture_saved_again(tmp_path, change):
    image = photo(0, (320, 240))
    original = save(tmp_path / "a.png", image)
    if scale := change.pop("scale", None):
        image = image.resize((round(320 * scale), round(240 * scale)), Image.Resampling.LANCZOS)
    if brightness := change.pop("brightness", None):
        image = ImageEnhance.Brightness(image).enhance(brightness)
    again = save(tmp_path / "b.img", image, **{"format": "PNG", **change})
    other = save(tmp_path / "c.png", photo(1, (320, 240)))
    found = find(other, original, again)
    assert found.near == ((1, 2),)
    assert found.exact == ()
    assert found.group == (0, 1, 1)


def test_copies_and_versions_form_one_group(tmp_path):
    a = save(tmp_path / "a.png", photo(0, (200, 200)))
    b = save(tmp_path / "b.jpg", photo(0, (200, 200)), quality=50)
    (tmp_path / "c.png").write_bytes(a.read_bytes())
    found = find(a, b, tmp_path / "c.png")
    assert (found.exact, found.near, found.group) == (((0, 2),), ((0, 1, 2),), (0, 0, 0))


def alterations(image):
    """Pictures that a person would not call the same as `image`."""
    w, h = image.size
    scratched = image.copy()
    ImageDraw.Draw(scratched).line((w * 0.3, h * 0.3, w * 0.42, h * 0.36), fill=(20, 20, 20), width=4)
    red, green, blue = image.split()
    yield "scratched", scratched
    yield "cropped", image.crop((w // 20, h // 20, w - w // 20, h - h // 20))
    yield "moved", image.transform(image.size, Image.Transform.AFFINE, (1, 0, w // 25, 0, 1, 0))
    yield "mirrored", image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    yield "recoloured", Image.merge("RGB", (blue, green, red))
    yield "darkened", ImageEnhance.Brightness(image).enhance(0.7)


@pytest.mark.parametrize("name", [name for name, _ in alterations(photo(0))])
def test_another_picture_is_not_the_same(tmp_path, name):
    image = photo(0, (320, 240))
    other = dict(alterations(image))[name]
    found = find(save(tmp_path / "a.png", image), save(tmp_path / "b.png", other))
    assert found.near == ()


def test_each_limit_of_a_comparison_counts():
    rng = np.random.default_rng(0)
    ramp = np.repeat(np.linspace(60, 180, 32)[None, :, None], 32, 0).repeat(3, 2)  # h w c
    noise = rng.normal(0, 1, (32, 32, 1))
    spot = np.zeros((32, 32, 1))
    spot[9, 20] = 1.0
    hue = np.sign(np.linspace(-1, 1, 32))[:, None, None] * np.array([1.0, -0.299 / 0.587, 0.0])  # of equal brightness
    cases = {
        "equal": (0 * noise, True),
        "a little noise": (3 * noise, True),
        "much noise": (8 * noise, False),  # against a contrast of 36
        "a spot": (20 * spot, False),
        "a faint spot": (3 * spot, True),
        "a spot in the noise of compression": (3 * noise + 12 * spot, True),
        "other colours": (50 * hue, False),
        "slightly other colours": (20 * hue, True),
    }
    a = np.repeat(ramp.astype(np.uint8)[None], len(cases), 0)
    b = np.array([np.rint(ramp.astype(np.uint8) + change).clip(0, 255) for change, _ in cases.values()], np.uint8)
    same = duplicates_module._confirm(a, b, np.full(len(cases), 36.0))
    assert dict(zip(cases, same.tolist(), strict=True)) == {name: expected for name, (_, expected) in cases.items()}


def test_distinct_photos_with_equal_hashes_are_told_apart():
    facts = inspect_facts([photo(seed) for seed in range(30)])
    confused = [ImageFacts(path=f.path, content=f.content, perceptual=7, thumbnail=f.thumbnail) for f in facts]
    assert find_duplicates(confused).near == ()


def test_digits_are_not_all_alike():
    digits = load_digits()
    pictures = [Image.fromarray((image * 255 / 16).astype(np.uint8)) for image in digits.images[:600]]
    facts = inspect_facts(pictures)
    hashes = np.array([fact.perceptual for fact in facts], dtype=np.uint64)
    close = np.bitwise_count(hashes[:, None] ^ hashes) <= duplicates_module.MAX_BITS
    assert close.sum() - len(facts) > 300  # the hash alone would join hundreds
    assert find_duplicates(facts).near == ()


def test_flat_pictures_are_equal_only_byte_for_byte():
    flat = [Image.new("RGB", (40 + i, 40), colour) for i in range(3) for colour in ("white", "red", (254, 255, 255))]
    assert find_duplicates(inspect_facts(flat)).near == ()


def test_unreadable_files_are_no_duplicates():
    broken = [ImageFacts(path=str(i), content="same", error="broken") for i in range(3)]
    found = find_duplicates(broken)
    assert (found.exact, found.near, found.group) == ((), (), (0, 1, 2))


def test_nothing_depends_on_the_size_of_the_blocks(monkeypatch):
    pictures = [photo(seed, (60, 60)) for seed in range(12)]
    facts = inspect_facts(pictures + [p.resize((120, 120), Image.Resampling.BICUBIC) for p in pictures])
    expected = find_duplicates(facts)
    assert len(expected.near) == 12
    monkeypatch.setattr(duplicates_module, "PAIRS_AT_ONCE", 50)
    monkeypatch.setattr(duplicates_module, "THUMBNAILS_AT_ONCE", 1)
    assert find_duplicates(facts) == expected


def test_close_hashes_are_all_found(monkeypatch):
    hashes = np.random.default_rng(0).integers(0, 2**16, 200, dtype=np.uint64)
    monkeypatch.setattr(duplicates_module, "PAIRS_AT_ONCE", 1000)
    found = {
        (a, b)
        for block in duplicates_module._alike(hashes)
        for a, b in zip(*map(np.ndarray.tolist, block), strict=True)
    }
    every = {
        (a, b)
        for b in range(200)
        for a in range(b)
        if (int(hashes[a]) ^ int(hashes[b])).bit_count() <= duplicates_module.MAX_BITS
    }
    assert found == every


def test_no_images_and_one_image():
    assert find_duplicates([]).group == ()
    assert find_duplicates(inspect_facts([photo(0)])).group == (0,)


def inspect_facts(pictures) -> list[ImageFacts]:
    """Facts of pictures in memory."""
    from multimodal.data.images.inspect import perceptual_hash

    facts = []
    for i, picture in enumerate(pictures):
        thumbnail = np.asarray(picture.convert("RGB").resize((32, 32), Image.Resampling.BICUBIC))
        facts.append(
            ImageFacts(path=str(i), content=str(i), perceptual=perceptual_hash(thumbnail), thumbnail=thumbnail)
        )
    return facts

from __future__ import annotations

import hashlib
import time
from dataclasses import replace

import numpy as np
import pytest
from photos import photo, save
from PIL import Image
from test_shards import write_shard

import multimodal.data.images.inspect as inspect_module
from multimodal.data.images.inspect import inspect_images, leave_out_unreadable, perceptual_hash
from multimodal.data.images.samples import LabeledImages, Sample, Skipped
from multimodal.errors import DataError


def look(*paths):
    return inspect_images([Sample(str(path), (0,)) for path in paths])


def test_facts_of_a_file(tmp_path):
    path = save(tmp_path / "a.png", photo(0, (70, 50)).convert("RGBA"))
    (facts,) = look(path)
    assert (facts.path, facts.error) == (str(path), None)
    assert (facts.width, facts.height, facts.mode, facts.format, facts.frames) == (70, 50, "RGBA", "PNG", 1)
    assert facts.content == hashlib.blake2b(path.read_bytes(), digest_size=16).hexdigest()
    expected = np.asarray(photo(0, (70, 50)).resize((32, 32), Image.Resampling.BICUBIC))
    assert np.array_equal(facts.thumbnail, expected)


def test_sides_are_those_shown_and_frames_are_counted(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # stored lying on its side
    turned = save(tmp_path / "a.jpg", photo(0, (70, 50)), exif=exif)
    moving = save(tmp_path / "b.gif", photo(1), save_all=True, append_images=[photo(2)])
    facts = look(turned, moving)
    assert (facts[0].width, facts[0].height) == (50, 70)
    assert (facts[1].frames, facts[1].mode) == (2, "P")


def test_a_large_jpeg_decoded_small_gives_nearly_the_same_thumbnail(tmp_path):
    image = photo(0, (1203, 803))
    jpeg, png = save(tmp_path / "a.jpg", image, quality=95), save(tmp_path / "a.png", image)
    a, b = look(jpeg, png)
    assert np.abs(a.thumbnail.astype(int) - b.thumbnail).max() <= 6
    assert (a.perceptual ^ b.perceptual).bit_count() <= 2


def test_unusable_files_are_named_and_the_others_are_read(tmp_path):
    good = save(tmp_path / "good.jpg", photo(0, (300, 200)))
    text, cut, empty = tmp_path / "text.jpg", tmp_path / "cut.jpg", tmp_path / "empty.png"
    text.write_text("hello")
    cut.write_bytes(good.read_bytes()[:3000])
    empty.write_bytes(b"")
    facts = look(text, good, cut, empty, tmp_path / "none.jpg")
    assert [fact.error is None for fact in facts] == [False, True, False, False, False]
    for fact, name, reason in ((0, "text.jpg", "text file"), (2, "cut.jpg", "truncated"), (3, "empty.png", "empty")):
        assert name in facts[fact].error
        assert reason in facts[fact].error
    assert "none.jpg does not exist" in facts[4].error
    assert (facts[2].width, facts[2].height) == (300, 200)  # the header could be read


def test_members_of_shards_are_named_too(tmp_path):
    png = save(tmp_path / "a.png", photo(0)).read_bytes()
    shard = write_shard(tmp_path / "0.tar", {"a.png": png, "b.png": b"nothing of an image \x00\x01"})
    facts = look(f"{shard}::a.png", f"{shard}::b.png", tmp_path / "a.png")
    assert facts[0].content == facts[2].content
    assert f"{shard}::b.png" in facts[1].error


def test_order_is_kept_with_many_threads(tmp_path):
    paths = [save(tmp_path / f"{i}.png", Image.new("RGB", (i + 1, 3))) for i in range(40)]
    facts = inspect_images([Sample(str(path), (0,)) for path in paths], threads=8)
    assert [fact.width for fact in facts] == list(range(1, 41))


def test_an_interruption_does_not_wait_for_the_queue(tmp_path, monkeypatch):
    seen = []

    def slow(path):
        seen.append(path)
        time.sleep(0.005)

    def interrupted(items, total, what):
        yield next(items)
        raise KeyboardInterrupt

    monkeypatch.setattr(inspect_module, "_inspect", slow)
    monkeypatch.setattr(inspect_module, "track", interrupted)
    with pytest.raises(KeyboardInterrupt):
        inspect_images([Sample(str(i), (0,)) for i in range(1000)], threads=2)
    assert len(seen) < 100


def test_the_hash_is_the_sign_of_the_low_frequencies():
    pixels = np.asarray(photo(3, (32, 32)))
    grey = pixels @ np.array([0.299, 0.587, 0.114])
    n = np.arange(32)
    basis = np.cos(np.pi * np.outer(np.arange(8), 2 * n + 1) / 64) * np.sqrt(2 / 32)  # k n
    basis[0] /= np.sqrt(2)
    frequencies = (basis @ grey @ basis.T).ravel()
    bits = "".join("1" if f > np.median(frequencies[1:]) else "0" for f in frequencies)
    assert perceptual_hash(pixels) == int(bits, 2)


def test_unreadable_files_join_the_skipped(tmp_path):
    good, bad = save(tmp_path / "a.png", photo(0)), tmp_path / "b.png"
    bad.write_text("x")
    samples = {"train": (Sample(str(good), (0,)), Sample(str(bad), (1,))), "val": (Sample(str(bad), (0,)),)}
    images = LabeledImages("root", ("a", "b"), False, samples, (Skipped("c", "why"),))
    facts = {split: inspect_images(members) for split, members in samples.items()}
    left = leave_out_unreadable(images, facts)
    assert left.splits == {"train": (samples["train"][0],), "val": ()}
    assert [skipped.path for skipped in left.skipped] == ["c", str(bad), str(bad)]
    with pytest.raises(DataError, match="None of the training images of root can be read"):
        leave_out_unreadable(replace(images, splits={"train": samples["val"]}), {"train": facts["val"]})

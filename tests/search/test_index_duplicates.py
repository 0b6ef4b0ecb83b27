"""The same picture twice is found; two pictures of one scene are two."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from colour_embedder import ColourEmbedder
from PIL import Image, ImageDraw

from multimodal.errors import ArgumentError
from multimodal.search import ImageIndex


def scene(seed, shift=0, size=(320, 240)):
    """A landscape of blobs; with `shift`, what the same camera sees a moment later."""
    rng = np.random.default_rng(seed)
    image = Image.new("RGB", size, tuple(rng.integers(0, 256, 3).tolist()))
    draw = ImageDraw.Draw(image)
    for i in range(25):
        x, y, r = rng.integers(0, size[0]), rng.integers(0, size[1]), rng.integers(8, 60)
        x = x + shift * (i % 3)
        draw.ellipse((x - r, y - r, x + r, y + r), fill=tuple(rng.integers(0, 256, 3).tolist()))
    return image


@pytest.fixture
def index(tmp_path):
    photos = tmp_path / "photos"
    photos.mkdir()
    for seed in range(6):
        scene(seed).save(photos / f"{seed}.png")
    shutil.copy(photos / "0.png", photos / "0-copy.png")
    scene(1).save(photos / "1.jpg", quality=60)
    scene(1).resize((160, 120)).save(photos / "1-small.png")
    for i in (1, 2):
        scene(2, shift=14 * i).save(photos / f"2-later-{i}.png")  # a burst
    index = ImageIndex(tmp_path / "index", ColourEmbedder())
    index.sync(photos, progress=False)
    return index


def named(groups):
    return [sorted(path.name for path in group) for group in groups]


def test_exact_copies(index):
    assert named(index.duplicates()) == named(index.duplicates("exact")) == [["0-copy.png", "0.png"]]


def test_other_versions_of_a_picture_but_not_the_next_of_a_burst(index):
    assert named(index.duplicates("near")) == [["1-small.png", "1.jpg", "1.png"]]


def test_copies_join_the_group_of_another_version(index, tmp_path):
    scene(0).save(tmp_path / "photos" / "0.jpg", quality=70)
    index.sync(progress=False)
    assert named(index.duplicates("near"))[0] == ["0-copy.png", "0.jpg", "0.png"]


def test_the_model_has_a_say(index):
    """Where it sees a difference that hash and thumbnail do not, the two are not called one."""
    snapshot = index._session.snapshot()
    places = [snapshot.places[row.id] for row in index.rows("name LIKE '1%'")]
    vectors = snapshot.matrix
    vectors[places[0]] = np.roll(vectors[places[0]], 5) * np.where(np.arange(16) % 2, 1, -1)
    assert [len(group) for group in index.duplicates("near")] == [2]


def test_another_kind(index):
    with pytest.raises(ArgumentError, match="Did you mean 'near'"):
        index.duplicates("neer")

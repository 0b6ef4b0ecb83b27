"""Augmentation: repeatable from its seed, right sizes, off when off, and it does what it says."""

import numpy as np
import pytest
import torch
from PIL import Image

from multimodal.data.images.augment import AugmentConfig
from multimodal.tokenizers.image_transform import ImageTransformConfig

OFF = AugmentConfig(scale=1.0, flip=0.0)


@pytest.fixture
def photo():
    rng = np.random.default_rng(0)
    return Image.fromarray(rng.integers(0, 256, (40, 60, 3), dtype=np.uint8))


@pytest.mark.parametrize("resize", ["crop", "pad", "squash"])
@pytest.mark.parametrize(
    "config",
    [
        AugmentConfig(),
        AugmentConfig(scale=1.0, randaugment=9, jitter=0.4, erase=1.0),
        AugmentConfig(scale=0.2, randaugment=30),
    ],
)
def test_size_type_and_repeatability(photo, resize, config):
    augment = config.build(ImageTransformConfig(size=(24, 32), resize=resize))
    state = torch.get_rng_state()
    first = augment(photo, seed=5)
    assert first.shape == (3, 24, 32) and first.dtype == torch.uint8
    assert torch.equal(first, augment(photo, seed=5))
    assert not torch.equal(first, augment(photo, seed=6))
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize("resize", ["crop", "pad", "squash"])
def test_switched_off_it_is_the_evaluation_transform(photo, resize):
    transform = ImageTransformConfig(size=(24, 24), resize=resize)
    assert torch.equal(OFF.build(transform)(photo, seed=1), transform.build()(photo))


def test_flip_mirrors_about_half_of_the_pictures(photo):
    transform = ImageTransformConfig(size=(24, 24), resize="squash")
    plain = transform.build()(photo)
    augment = AugmentConfig(scale=1.0, flip=0.5).build(transform)
    seen = [augment(photo, seed=seed) for seed in range(100)]
    mirrored = sum(torch.equal(one, plain.flip(-1)) for one in seen)
    assert all(torch.equal(one, plain) or torch.equal(one, plain.flip(-1)) for one in seen)
    assert 30 < mirrored < 70


def test_padded_training_pictures_are_never_cut_below_the_scale():
    """A wide picture under `pad`: a crop of nearly the whole square still shows both ends."""
    picture = np.zeros((10, 100, 3), dtype=np.uint8)
    picture[:, :10], picture[:, -10:] = (255, 0, 0), (0, 0, 255)
    transform = ImageTransformConfig(size=(100, 100), resize="pad", mean=(0.0, 1.0, 0.0))
    seen = AugmentConfig(scale=0.99, flip=0.0).build(transform)(Image.fromarray(picture), seed=0)
    red = ((seen[0] > 128) & (seen[1] < 128)).any(0).nonzero()
    blue = ((seen[2] > 128) & (seen[1] < 128)).any(0).nonzero()
    assert red.min() < 5 and blue.max() > 94


def test_small_crops_ask_for_enough_pixels():
    transform = ImageTransformConfig(size=(100, 100))
    assert AugmentConfig(scale=0.25).build(transform).min_side == 200

"""image_transform: pixels equal to those of timm's evaluation transforms, normalised as torchvision does."""

import json
import pickle
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from timm.data import create_transform
from torchvision.transforms import Normalize

from multimodal.config import from_plain, to_plain
from multimodal.errors import ArgumentError
from multimodal.tokenizers.image_transform import ImageTransform, ImageTransformConfig

SHAPES = [(224, 224), (300, 200), (201, 333), (640, 97), (97, 640), (31, 23), (20, 1), (1, 3), (257, 256)]  # w, h


def noise(width: int, height: int) -> Image.Image:
    random = np.random.default_rng(width * 1000 + height)
    return Image.fromarray(random.integers(0, 256, (height, width, 3), dtype=np.uint8))


def timm_transform(config: ImageTransformConfig) -> Any:
    mode = {"crop": "center", "squash": "squash", "pad": "border"}[config.resize]
    return create_transform(
        (3, *config.size),
        crop_pct=config.crop_fraction if config.resize == "crop" else 1.0,
        crop_mode=mode,
        interpolation=config.interpolation,
        mean=config.mean,
        std=config.std,
    )


# --- against timm ---


@pytest.mark.parametrize("resize", ["crop", "squash", "pad"])
@pytest.mark.parametrize("size", [(64, 64), (224, 224), (48, 80), (80, 48)])
@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic"])
def test_equal_to_timm(resize, size, interpolation):
    config = ImageTransformConfig(size=size, resize=resize, interpolation=interpolation)
    transform, reference = config.build(), timm_transform(config)
    for shape in SHAPES:
        image = noise(*shape)
        pixels = transform(image)
        assert pixels.shape == (3, *size)
        assert pixels.dtype == torch.uint8
        if resize == "crop" and max(shape) > 8 * min(shape):
            difference = (transform.normalize(pixels) - reference(image)).abs().max()
            assert difference <= 1.01 / 255 / min(config.std)  # one level: the strip is resized in part only
        else:
            assert torch.equal(transform.normalize(pixels), reference(image)), shape


@pytest.mark.parametrize("crop_fraction", [1.0, 0.95, 0.875, 0.5])
def test_equal_to_timm_at_other_crop_fractions(crop_fraction):
    for size in ((224, 224), (32, 48)):
        config = ImageTransformConfig(size=size, crop_fraction=crop_fraction)
        for shape in SHAPES[:5]:
            image = noise(*shape)
            expected = timm_transform(config)(image)
            assert torch.equal(config.build().normalize(config.build()(image)), expected)


def test_pad_keeps_everything_on_the_mean_colour():
    config = ImageTransformConfig(size=(60, 60), resize="pad", mean=(0.5, 0.25, 0.75))
    pixels = config.build()(Image.new("RGB", (100, 50), "white"))  # becomes 60 x 30
    fill = torch.tensor([128, 64, 191], dtype=torch.uint8)
    assert (pixels[:, :15] == fill[:, None, None]).all()
    assert (pixels[:, 15:45] == 255).all()
    assert (pixels[:, 45:] == fill[:, None, None]).all()


def test_a_long_strip_does_not_fill_the_memory():
    strip = Image.fromarray(np.arange(40_000, dtype=np.uint32).astype(np.uint8)[None, :].repeat(2, axis=0))
    for resize in ("crop", "pad", "squash"):
        assert ImageTransformConfig(resize=resize).build()(strip).shape == (3, 224, 224)


@pytest.mark.parametrize("resize", ["crop", "squash", "pad"])
@pytest.mark.parametrize("shape", [(400, 300), (300, 500), (90, 70)])
def test_box_says_what_the_result_shows(resize, shape):
    """Cutting the box out of the picture and resizing that gives the result again, up to rounding."""
    transform = ImageTransformConfig(size=(60, 80), resize=resize, interpolation="bilinear").build()
    ramp = np.linspace(0, 255, shape[0])[None, :, None] * [1, 0, 0] + np.linspace(0, 255, shape[1])[:, None, None]
    image = Image.fromarray(ramp.clip(0, 255).astype(np.uint8))
    left, top, right, bottom = box = transform.box(*shape)
    if resize == "pad":
        x, y = 80 / (right - left), 60 / (bottom - top)  # pixels of the result for one of the picture
        inside = (
            slice(round(-top * y), round((shape[1] - top) * y)),
            slice(round(-left * x), round((shape[0] - left) * x)),
        )
        pixels = transform(Image.new("RGB", shape, "white"))
        assert (pixels[:, *inside] == 255).all()
        assert (pixels == 255).all(dim=0).sum() == pixels[0, *inside].numel()  # nothing of it lies outside
    else:
        again = torch.from_numpy(np.array(image.resize((80, 60), Image.Resampling.BILINEAR, box=box))).permute(2, 0, 1)
        assert (transform(image).int() - again.int()).abs().max() <= 1


# --- normalize ---


def test_normalize_equals_torchvision():
    config = ImageTransformConfig(mean=(0.1, 0.5, 0.9), std=(0.2, 0.5, 1.0))
    pixels = torch.randint(0, 256, (2, 3, 5, 7), dtype=torch.uint8)
    before = pixels.clone()
    expected = Normalize(config.mean, config.std)(pixels / 255)
    result = config.build().normalize(pixels)
    assert torch.equal(result, expected)
    assert torch.equal(pixels, before)
    assert torch.equal(config.build().normalize(pixels[0]), expected[0])
    mixed = pixels.float()
    assert torch.equal(config.build().normalize(mixed), expected)
    assert torch.equal(mixed, before.float())


def test_normalize_computes_in_float32_whatever_it_returns():
    transform = ImageTransformConfig().build()
    pixels = torch.arange(256, dtype=torch.uint8).expand(3, 1, 256)
    assert torch.equal(transform.normalize(pixels, torch.bfloat16), transform.normalize(pixels).bfloat16())


# --- config ---


def test_config_survives_json_and_pickle():
    config = ImageTransformConfig(size=(32, 48), resize="pad", interpolation="bilinear", mean=(0.5, 0.5, 0.5))
    assert from_plain(ImageTransformConfig, json.loads(json.dumps(to_plain(config)))) == config
    image = noise(50, 40)
    copy = pickle.loads(pickle.dumps(config.build()))
    assert isinstance(copy, ImageTransform)
    assert torch.equal(copy(image), config.build()(image))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"resize": "squish"}, r"resize is 'squish'.*'squash'\?"),
        ({"interpolation": "bicubik"}, r"interpolation is 'bicubik'.*'bicubic'\?"),
        ({"size": (0, 224)}, "size is"),
        ({"size": (224,)}, "size is"),
        ({"crop_fraction": 0.0}, "crop_fraction is 0.0"),
        ({"crop_fraction": 1.2}, "crop_fraction is 1.2"),
        ({"mean": (124.0, 117.0, 104.0)}, "mean is"),
        ({"std": (0.2, 0.0, 0.2)}, "std is"),
    ],
)
def test_wrong_values_are_refused(options, message):
    config = ImageTransformConfig()
    for name, value in options.items():
        object.__setattr__(config, name, value)  # in __init__ the tests' own type checks would come first
    with pytest.raises(ArgumentError, match=message):
        config.__post_init__()
    with pytest.raises((ArgumentError, TypeError)):
        ImageTransformConfig(**options)

"""image_transform: files are read at a scale that follows from the need, and a model does not notice."""

import io

import numpy as np
import pytest
import timm
import torch
from PIL import Image

from multimodal.media import read_image, read_reduced
from multimodal.tokenizers import image_transform
from multimodal.tokenizers.image_transform import ImageTransformConfig


def photo(width: int, height: int, seed: int) -> Image.Image:
    """Like a photograph: smooth light (1/f noise), hard edges, fine texture in places, a little sensor noise."""
    random = np.random.default_rng(seed)
    image = np.zeros((height, width, 3), np.float32)
    for octave in range(1, 7):
        n = 2**octave
        blobs = Image.fromarray(random.integers(0, 256, (n, n, 3), dtype=np.uint8))
        image += (np.asarray(blobs.resize((width, height), Image.Resampling.BICUBIC), np.float32) - 128) / n
    for _ in range(6):  # objects with sharp outlines and stripes
        radius = int(random.uniform(0.05, 0.2) * width)
        top, left = random.integers(0, height - radius), random.integers(0, width - radius)
        patch = image[top : top + 2 * radius, left : left + 2 * radius]
        y, x = np.mgrid[0 : patch.shape[0], 0 : patch.shape[1]].astype(np.float32)
        angle, pitch = random.uniform(0, np.pi), random.uniform(6, 40)
        stripes = 25 * np.sin((x * np.cos(angle) + y * np.sin(angle)) * (2 * np.pi / pitch))
        inside = np.hypot(x - radius, y - radius) < radius
        patch[inside] = (random.uniform(-90, 90, 3) + stripes[..., None])[inside]
    image += random.normal(0, 3, (height, width, 1))
    return Image.fromarray((image + 128).clip(0, 255).astype(np.uint8))


def jpeg(image: Image.Image, **options) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=90, **options)
    return stream.getvalue()


# --- reading ---


def test_read_makes_upright_and_rgb():
    exif = Image.Exif()
    exif[0x0112] = 6
    transform = ImageTransformConfig(size=(32, 32), resize="pad").build()
    data = jpeg(photo(90, 60, 0), exif=exif)
    upright = Image.open(io.BytesIO(data)).transpose(Image.Transpose.ROTATE_270)
    upright.info = {}
    assert torch.equal(transform.read(data), transform(upright))
    assert torch.equal(transform(Image.open(io.BytesIO(data))), transform(upright))
    grey = photo(90, 60, 0).convert("L")
    assert torch.equal(transform(grey), transform(grey.convert("RGB")))
    assert torch.equal(transform.read(np.asarray(grey)), transform(grey))


@pytest.mark.parametrize(
    ("options", "shape", "scale"),
    [
        ({}, (801, 401), 2),  # the shorter side becomes 100, so 200 are needed
        ({}, (801, 400), 2),
        ({}, (801, 399), 1),
        ({"crop_fraction": 1.0}, (801, 360), 2),  # 90
        ({"resize": "squash"}, (1601, 360), 2),
        ({"resize": "squash"}, (1601, 359), 1),
        ({"resize": "pad"}, (1601, 101), 8),  # the longer side decides: 1601 / 8 > 2 x 90
        ({"resize": "pad"}, (1439, 901), 4),
        ({"resize": "squash", "size": (40, 160)}, (641, 641), 2),  # each side is judged by its own target
        ({"resize": "squash", "size": (40, 160)}, (1300, 340), 4),
        ({"size": (45, 90)}, (840, 430), 4),  # becomes 100 wide, 51 high
        ({"size": (45, 90)}, (399, 801), 1),
        ({"interpolation": "nearest"}, (801, 401), 1),
    ],
)
def test_the_scale_follows_from_what_is_needed(options, shape, scale, monkeypatch):
    """JPEGs are reduced as far as both sides keep twice what they are resized to, and no further."""
    seen = []

    def spy(source, *, min_side):
        image, box = read_reduced(source, min_side=min_side)
        seen.append(image.size)
        return image, box

    monkeypatch.setattr(image_transform, "read_reduced", spy)
    transform = ImageTransformConfig(**{"size": (90, 90), **options}).build()
    for orientation in (1, 6):
        exif = Image.Exif()
        exif[0x0112] = orientation
        flat = Image.new("RGB", shape if orientation == 1 else shape[::-1], "teal")
        transform.read(jpeg(flat, exif=exif))
    assert seen == [tuple(-(-side // scale) for side in shape)] * 2


# --- reduced decoding is exact enough ---


@pytest.fixture(scope="module")
def photos() -> list[bytes]:
    """JPEGs of awkward sizes: the reduced ones end in an incomplete row or column; of 737 x 699 it costs a pixel."""
    sizes = [(1021, 771), (611, 807), (903, 453), (737, 699), (1203, 603), (449, 1001)]
    return [jpeg(photo(*size, seed)) for seed, size in enumerate(sizes)]


@pytest.fixture(scope="module")
def vit() -> torch.nn.Module:
    torch.manual_seed(0)
    return timm.create_model("vit_tiny_patch16_224", img_size=64, num_classes=0).eval()


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("resize", ["crop", "squash", "pad"])
def test_reduced_decoding_is_exact_enough(resize, interpolation, photos, vit):
    """Embeddings of the reduced and of the full decode agree to a cosine of 0.999, also around their mean.

    Random weights alone would prove little, since they embed all photos alike. Hence: the pixels are bounded too, the
    cosine is taken again after the mean embedding is removed (which tells photos apart), and the careless way,
    resizing the reduced picture as if it were complete, is seen to be several times worse.
    """
    transform = ImageTransformConfig(size=(64, 64), resize=resize, interpolation=interpolation).build()
    full = torch.stack([transform(read_image(data)) for data in photos])
    reduced = torch.stack([transform.read(data) for data in photos])
    careless = torch.stack([transform(read_image(data, min_side=transform.needed)) for data in photos])

    error = (reduced.float() - full.float()).abs().mean(dim=(1, 2, 3))  # levels of 255
    assert (error > 0).all()  # each was reduced
    assert error.max() < 1
    assert error.mean() < 0.5 * (careless.float() - full.float()).abs().mean()

    with torch.inference_mode():
        a, b = vit(transform.normalize(full)), vit(transform.normalize(reduced))
    assert torch.cosine_similarity(a, b).min() >= 0.999
    mean = a.mean(dim=0)
    assert torch.cosine_similarity(a - mean, b - mean).min() >= 0.999
    between = torch.corrcoef(a - mean) - torch.eye(len(a))
    assert between.max() < 0.97


def test_small_jpegs_and_other_formats_are_read_in_full(photos):
    small = jpeg(photo(300, 200, 0))
    stream = io.BytesIO()
    read_image(photos[0]).save(stream, "PNG")
    transform = ImageTransformConfig(size=(64, 64), crop_fraction=0.5).build()
    for data in (small, stream.getvalue()):
        assert torch.equal(transform.read(data), transform(read_image(data)))

"""Labelled images as items: right pixels, right targets, unreadable ones replaced and named."""

import numpy as np
import pytest
import torch
from PIL import Image

from multimodal.data.images.augment import AugmentConfig
from multimodal.data.images.dataset import ImageDataset, collate
from multimodal.data.images.samples import Sample
from multimodal.errors import DataError
from multimodal.tokenizers.image_transform import ImageTransformConfig

TRANSFORM = ImageTransformConfig(size=(8, 8), resize="squash")


@pytest.fixture
def samples(tmp_path):
    rng = np.random.default_rng(0)
    found = []
    for i in range(4):
        path = tmp_path / f"{i}.png"
        Image.fromarray(rng.integers(0, 256, (12, 10, 3), dtype=np.uint8)).save(path)
        found.append(Sample(str(path), (i % 3,)))
    return found


def test_items_are_what_the_transform_gives(samples):
    dataset = ImageDataset(samples, TRANSFORM.build(), classes=3)
    item = dataset[(0, 2)]
    assert torch.equal(item["pixels"], TRANSFORM.build().read(samples[2].path))
    assert item["target"].item() == 2 and item["index"] == 2 and item["failed"] == []


def test_augmented_items_follow_from_seed_epoch_and_index(samples):
    def pixels(seed, epoch):
        augment = AugmentConfig(scale=0.3).build(TRANSFORM)
        return ImageDataset(samples, augment, classes=3, seed=seed)[(epoch, 1)]["pixels"]

    assert torch.equal(pixels(0, 5), pixels(0, 5))
    assert not torch.equal(pixels(0, 5), pixels(0, 6))
    assert not torch.equal(pixels(1, 5), pixels(0, 5))


def test_an_image_that_became_unreadable_is_replaced_and_named(samples, tmp_path):
    (tmp_path / "1.png").write_bytes(b"no picture any more")
    (tmp_path / "2.png").unlink()
    dataset = ImageDataset(samples, TRANSFORM.build(), classes=3)
    item = dataset[(0, 1)]
    assert item["index"] == 3 and item["target"].item() == 0
    assert len(item["failed"]) == 2 and "1.png" in item["failed"][0] and "2.png" in item["failed"][1]


def test_nothing_readable_ends_in_a_sentence(samples, tmp_path):
    for sample in samples:
        (tmp_path / sample.path).unlink()
    with pytest.raises(DataError, match="None of the 4 files"):
        ImageDataset(samples, TRANSFORM.build(), classes=3)[(0, 0)]


def test_several_labels_and_batches(samples):
    several = [Sample(s.path, (0, 2)) for s in samples]
    dataset = ImageDataset(several, TRANSFORM.build(), classes=3, multi_label=True)
    batch = collate([dataset[(0, i)] for i in range(3)])
    assert batch["pixels"].shape == (3, 3, 8, 8) and batch["pixels"].dtype == torch.uint8
    assert torch.equal(batch["target"], torch.tensor([[1.0, 0.0, 1.0]] * 3))
    assert batch["index"].tolist() == [0, 1, 2]

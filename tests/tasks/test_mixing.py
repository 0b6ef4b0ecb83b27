"""Mixup and CutMix against their definitions."""

import pytest
import torch

from multimodal.tasks.mixing import MixConfig


@pytest.fixture
def batch():
    torch.manual_seed(0)
    return torch.rand(6, 3, 16, 16), torch.eye(6)


def test_off_changes_nothing(batch):
    pixels, target = MixConfig().build()(*batch)
    assert torch.equal(pixels, batch[0]) and torch.equal(target, batch[1])


@pytest.mark.parametrize("seed", range(5))
def test_mixup_blends_pictures_and_labels_alike(batch, seed):
    torch.manual_seed(seed)
    pixels, target = MixConfig(mixup=0.8).build()(*batch)
    weight = target.diagonal()
    assert torch.allclose(weight, weight[0].expand(6)) and 0 <= weight[0] <= 1
    expected = weight[0] * batch[0] + (1 - weight[0]) * batch[0].roll(1, 0)
    assert torch.allclose(pixels, expected, atol=1e-6)
    assert torch.allclose(target.sum(1), torch.ones(6))
    assert torch.allclose(target, weight[0] * batch[1] + (1 - weight[0]) * batch[1].roll(1, 0), atol=1e-6)


@pytest.mark.parametrize("seed", range(8))
def test_cutmix_labels_follow_the_pasted_area(batch, seed):
    torch.manual_seed(seed)
    pixels, target = MixConfig(cutmix=1.0).build()(*batch)
    own = (pixels == batch[0]).all(1)
    other = (pixels == batch[0].roll(1, 0)).all(1)
    assert bool((own | other).all()), "every pixel comes whole from one of the two"
    assert torch.allclose(target.diagonal(), own.float().mean((1, 2)), atol=1e-6)
    rows, columns = (~own[0]).any(1).sum(), (~own[0]).any(0).sum()
    assert int((~own[0]).sum()) == int(rows * columns), "the pasted part is a rectangle"


def test_both_alternate(batch):
    kinds = set()
    for seed in range(20):
        torch.manual_seed(seed)
        pixels, _ = MixConfig(mixup=1.0, cutmix=1.0).build()(*batch)
        untouched = (pixels == batch[0]).all(1).float().mean()
        kinds.add("cut" if untouched > 0 else "blend")
    assert kinds == {"cut", "blend"}

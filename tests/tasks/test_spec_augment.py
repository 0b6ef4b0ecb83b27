"""What SpecAugment hides, and that it leaves the rest."""

import pytest
import torch

from multimodal.errors import ArgumentError
from multimodal.tasks.spec_augment import SpecAugmentConfig

MEL = 1 + torch.rand(50, 20, 60, generator=torch.Generator().manual_seed(0))


def test_bands_and_stretches_are_hidden_as_wide_as_they_may_be():
    torch.manual_seed(0)
    hide = SpecAugmentConfig(bands=1, band=0.25, stretches=1, stretch=0.1).build()
    hidden = hide(MEL) == 0
    bands, stretches = hidden.all(2).sum(1), hidden.all(1).sum(1)
    assert set(bands.tolist()) == set(range(6)) and set(stretches.tolist()) == set(range(7))
    found = hide(MEL)
    assert torch.equal(found[found != 0], MEL[found != 0])
    for row in hidden:  # each is in one piece
        for places in (row.all(1), row.all(0)):
            assert (places.int().diff() == 1).sum() <= 1


def test_stretches_lie_within_the_clip():
    torch.manual_seed(0)
    keep = torch.arange(60) < 10
    hide = SpecAugmentConfig(bands=0, stretches=3, stretch=0.5).build()
    hidden = (hide(MEL, keep.expand(50, -1)) == 0).all(1)
    assert not hidden[:, 10:].any() and hidden[:, :10].any(0).all()


def test_nothing_to_hide_hides_nothing():
    assert torch.equal(SpecAugmentConfig(bands=0, stretches=0).build()(MEL), MEL)


def test_wrong_parts_are_refused():
    with pytest.raises(ArgumentError, match=r"band is 1\.5"):
        SpecAugmentConfig(band=1.5)
    with pytest.raises(ArgumentError, match="stretches is -1"):
        SpecAugmentConfig(stretches=-1)

"""Leaving out patches: as many as asked for, drawn for each image, with their positions; prefix tokens stay."""

from __future__ import annotations

import pytest
import torch

from multimodal.errors import ArgumentError
from multimodal.tokenizers.patch_drop import drop_patches
from multimodal.tokenizers.tokens import Tokens


def numbered(batch: int, prefix: int, patches: int, d: int = 3) -> Tokens:
    """Each token is its own place in its row, and so is its position."""
    places = torch.arange(prefix + patches, dtype=torch.float32)
    x = places[None, :, None].expand(batch, -1, d).contiguous()
    return Tokens(
        x=x, runs=((prefix + patches, False),), positions=places[None, :, None].expand(1, -1, 2), prefix=prefix
    )


@pytest.mark.parametrize(("drop", "kept"), [(0.5, 8), (0.75, 4), (0.3, 11), (0.99, 1), (0.0, 16)])
def test_as_many_as_asked_for_in_their_order(drop, kept):
    found = drop_patches(numbered(5, 2, 16), drop)
    assert found.x.shape == (5, 2 + kept, 3) and found.runs == ((2 + kept, False),) and found.prefix == 2
    places = found.x[..., 0]
    assert places[:, :2].tolist() == [[0.0, 1.0]] * 5  # the prefix stays in front
    assert (places.diff(dim=1) > 0).all()  # none twice, and in their order
    assert found.positions is not None and torch.equal(found.positions[..., 0], places)


def test_each_image_loses_others_and_all_are_drawn_alike():
    torch.manual_seed(0)
    places = drop_patches(numbered(2000, 0, 8), 0.5).x[..., 0].long()
    assert len({tuple(row) for row in places.tolist()}) == 70  # every choice of 4 of 8
    counts = places.flatten().bincount()
    assert counts.sum() == 8000 and (counts - 1000).abs().max() < 120


@pytest.mark.parametrize("drop", [-0.1, 1.0, 2.0])
def test_a_part_lies_between_0_and_1(drop):
    with pytest.raises(ArgumentError, match=r"patch_drop is .*; it is the part that is left out"):
        drop_patches(numbered(1, 1, 4), drop)


def test_whole_images_alone():
    tokens = numbered(1, 1, 4)
    padded = Tokens(x=tokens.x, runs=tokens.runs, keep=torch.ones(1, 5, dtype=torch.bool))
    with pytest.raises(ArgumentError, match="of whole images only"):
        drop_patches(padded, 0.5)

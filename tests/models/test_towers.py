"""Towers: texts one by one, written out, are what a padded batch gives; one trunk for both; dropped patches."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace

import pytest
import torch
from tiny_dual_encoders import IMAGE, built, clip_config, one_trunk_config, pictures, siglip_config

from multimodal.backbone.mask import Mask
from multimodal.errors import ArgumentError
from multimodal.models.image_encoder import TimmEncoderConfig
from multimodal.models.open_clip_towers import OpenClipImageConfig, OpenClipTextConfig
from multimodal.models.towers import (
    EndPoolConfig,
    ImageTowerConfig,
    MeanTextPoolConfig,
    PaddedPoolConfig,
    ProjectionConfig,
    TextTowerConfig,
)

END, PAD, DIM = 3, 0, 8  # [SEP] and [PAD] of the tiny vocabulary
ROWS = ([2, 9, 11, 7, END], [2, 8, END], [2, END], [2, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, END])
POOLS = {
    "the end token": EndPoolConfig(end=END),
    "the end token, padding read": EndPoolConfig(end=END, pad=5),
    "the last place": PaddedPoolConfig(pad=PAD),
    "the mean": MeanTextPoolConfig(),
}


def text_config() -> TextTowerConfig:
    text = clip_config().text
    assert isinstance(text, TextTowerConfig)
    return text


def padded(rows=ROWS, pad=PAD, length=12):
    ids = torch.full((len(rows), length), pad)
    for place, row in enumerate(rows):
        ids[place, : len(row)] = torch.tensor(row)
    return ids, torch.arange(length) < torch.tensor([len(row) for row in rows])[:, None]


def by_hand(tower, row):
    """The embedding of one text: padded if its pool reads padding, and nothing else beside it."""
    pool, config = tower.config.pool, tower.config
    full = row + [pool.pad] * (12 - len(row)) if pool.pad is not None else row
    hidden = tower.stack(tower.embedding(torch.tensor([full])), mask=Mask(causal=config.causal))[0]
    if isinstance(pool, MeanTextPoolConfig):
        pooled = hidden.mean(0)
    else:
        pooled = hidden[-1] if isinstance(pool, PaddedPoolConfig) else hidden[row.index(END)]
    return tower.projection(pooled)


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("name", POOLS)
@torch.no_grad()
def test_a_padded_batch_gives_what_each_text_gives_alone(name, causal):
    torch.manual_seed(0)
    config = replace(text_config(), pool=POOLS[name], causal=causal, projection=ProjectionConfig(bias=True))
    tower = config.build(DIM).eval()
    expected = torch.stack([by_hand(tower, row) for row in ROWS])
    ids, keep = padded()
    assert torch.allclose(tower(ids, keep=keep), expected, atol=1e-6)
    for row, wanted in zip(ROWS, expected, strict=True):
        assert torch.allclose(tower(torch.tensor([row]))[0], wanted, atol=1e-6)
    if isinstance(config.pool, EndPoolConfig):  # the end token itself says where a text ends
        filled, _ = padded(pad=config.pool.pad or PAD)
        assert torch.allclose(tower(filled), expected, atol=1e-6)


@torch.no_grad()
def test_what_follows_the_first_end_token_is_not_read():
    tower = text_config().build(DIM).eval()
    ids = torch.tensor([[2, 9, END, 8, END]])
    assert torch.allclose(tower(ids, keep=torch.ones_like(ids, dtype=torch.bool)), tower(ids[:, :3]), atol=1e-6)
    endless = torch.tensor([[2, 9, 7]])
    assert torch.isfinite(tower(endless)).all()


def test_towers_must_fit_the_embedding():
    with pytest.raises(ArgumentError, match="The text tower gives 16 features and the embedding has 8: project them"):
        replace(text_config(), projection=None).build(DIM)
    image = clip_config().image
    assert isinstance(image, ImageTowerConfig)
    with pytest.raises(ArgumentError, match="The image encoder gives 16 features and the embedding has 8: project"):
        replace(image, projection=None).build(DIM)
    assert replace(image, projection=None).build(IMAGE.dim)(torch.rand(1, 3, 16, 16)).shape == (1, IMAGE.dim)


def test_one_trunk_reads_both_and_exists_once():
    model = built("one trunk")
    assert model.text.backbone is None and model.text.stack is model.image.trunk
    names = [name for name, _ in model.named_parameters()]
    assert not any(name.startswith("text.backbone") for name in names)
    assert sum(p.numel() for p in model.parameters()) < sum(p.numel() for p in built("clip").parameters())
    again = deepcopy(model)
    assert again.text.stack is again.image.trunk and again.text.stack is not model.text.stack
    before = model.embed_texts("a dog")
    again.image.trunk.blocks[0].mlp.up.weight.data.mul_(2)
    assert torch.equal(model.embed_texts("a dog"), before)
    assert not torch.allclose(again.embed_texts("a dog"), before, atol=1e-3)


def test_one_trunk_learns_from_both():
    model = built("one trunk").train()
    ids, keep = padded(ROWS[:3])
    image, text = model(pictures(3), ids, keep=keep)
    weight = model.image.trunk.blocks[0].attention.q.weight
    for loss in (image[:, 0].sum(), text[:, 0].sum()):
        (gradient,) = torch.autograd.grad(loss, weight, retain_graph=True)
        assert gradient.abs().max() > 0


def test_one_trunk_needs_one():
    with pytest.raises(ArgumentError, match="has no backbone of its own, so it needs the image tower's trunk"):
        one_trunk_config().text.build(DIM)
    wrapped = ImageTowerConfig(encoder=TimmEncoderConfig(name="test_resnet"))
    with pytest.raises(ArgumentError, match="needs an image encoder on the shared backbone"):
        replace(one_trunk_config(), image=wrapped).build()


@pytest.mark.parametrize("config", [clip_config, siglip_config], ids=["clip", "siglip"])
def test_patches_are_left_out_only_when_asked_for(config):
    torch.manual_seed(0)
    tower = config().image.build(config().dim).train()
    pixels = torch.randn(2, 3, 16, 16)
    whole = tower(pixels)
    assert torch.equal(tower(pixels), whole) and torch.equal(tower(pixels, patch_drop=0.0), whole)
    counts = []
    tower.encoder.backbone.blocks[0].register_forward_hook(lambda _, given, __: counts.append(given[0].shape[1]))
    dropped = tower(pixels, patch_drop=0.5)
    assert counts == [8 + tower.encoder.config.tokenizer.prefix] and not torch.allclose(dropped, whole)
    dropped.sum().backward()


def test_a_wrapped_tower_has_no_patches():
    tower = ImageTowerConfig(encoder=TimmEncoderConfig(name="test_resnet")).build(DIM)
    with pytest.raises(ArgumentError, match="a wrapped one has no patches"):
        tower(torch.rand(1, 3, 32, 32), patch_drop=0.5)


def test_names_of_wrapped_towers():
    for config in (OpenClipImageConfig, lambda **k: OpenClipTextConfig(vocabulary=9, max_length=9, **k)):
        with pytest.raises(ArgumentError, match=r"open_clip has no architecture 'RN05'\. Did you mean"):
            config(architecture="RN05").build(DIM)
        with pytest.raises(ArgumentError, match="open_clip's RN50 embeds in 1024 numbers, not in 8"):
            config(architecture="RN50").build(DIM)
    text = OpenClipTextConfig(architecture="roberta-ViT-B-32", vocabulary=9, max_length=9)
    with pytest.raises(ArgumentError, match="The text tower of open_clip's roberta-ViT-B-32 is transformers'"):
        text.build(512)


def test_a_text_of_padding_alone_does_not_fail():
    """Alone or beside others it gets some vector, and theirs are as without it."""
    model = built().eval()
    ids = torch.randint(5, 20, (2, 5))
    keep = torch.tensor([[True] * 5, [False] * 5])
    assert model.encode_texts(ids, keep=torch.zeros_like(keep)).isfinite().all()
    found = model.encode_texts(ids, keep=keep)
    assert found.isfinite().all()
    torch.testing.assert_close(found[:1], model.encode_texts(ids[:1]))

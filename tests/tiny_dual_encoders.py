"""Small dual encoders of every kind, with pictures and captions to learn, for tests that need a whole one."""

from __future__ import annotations

from dataclasses import replace

import torch
from tiny_text_models import wordpiece

from multimodal.models.dual_encoder import DualEncoder, DualEncoderConfig
from multimodal.models.towers import TextTowerConfig
from multimodal.presets import Stack, ViT, clip, siglip

SIZE = 16  # px
IMAGE, TEXT = ViT(dim=16, depth=2, heads=2, patch=4), Stack(dim=16, depth=2, heads=2)
CAPTIONS = ("the cat sat", "a dog", "a big red house of stone", "anna lives in paris", "the dog ran", "on a mat")


def clip_config() -> DualEncoderConfig:
    tokenizer = wordpiece()
    assert tokenizer.sep_id is not None
    sizes = {"dim": 8, "image": IMAGE, "text": TEXT, "length": 12, "size": SIZE}
    return clip(tokenizer.vocabulary, end=tokenizer.sep_id, **sizes)


def siglip_config() -> DualEncoderConfig:
    tokenizer = wordpiece()
    assert tokenizer.pad_id is not None
    return siglip(tokenizer.vocabulary, pad=tokenizer.pad_id, image=IMAGE, text=TEXT, length=12, size=SIZE)


def one_trunk_config() -> DualEncoderConfig:
    config = clip_config()
    assert isinstance(config.text, TextTowerConfig)
    return replace(config, text=replace(config.text, backbone=None, causal=False))


KINDS = {"clip": clip_config, "siglip": siglip_config, "one trunk": one_trunk_config}


def built(kind: str = "clip", seed: int = 0) -> DualEncoder:
    torch.manual_seed(seed)
    return KINDS[kind]().build(wordpiece())


def pictures(count: int, seed: int = 0) -> torch.Tensor:
    """Noise of `count` images, uint8 (b 3 h w)."""
    draw = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, 3, SIZE, SIZE), generator=draw, dtype=torch.uint8)

"""CLIP and SigLIP of transformers here: equal embeddings and logits through folders, and back again bit for bit."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from clip_folders import LETTERS, write_tokenizer
from folders import change_config, exported, load, random_model, rewrite
from PIL import Image
from torch import Tensor

from multimodal.errors import ArgumentError, DataError
from multimodal.hub import save_transformers
from multimodal.models.dual_encoder import DualEncoder
from multimodal.models.similarity import SigmoidSimilarityConfig
from multimodal.models.towers import EndPoolConfig, PaddedPoolConfig, TextTowerConfig
from multimodal.presets import Stack, ViT, clip, siglip

transformers = pytest.importorskip("transformers")
Equal = Callable[[Tensor, Tensor], None]
END = len(LETTERS) + 3  # of the tokenizer over letters
TEXT: dict[str, Any] = {
    "vocab_size": END + 1,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "max_position_embeddings": 12,
    "bos_token_id": 1,
    "eos_token_id": END,
}
VISION: dict[str, Any] = {
    "hidden_size": 48,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "image_size": 32,
    "patch_size": 8,
}
TEXTS = ("a cat", "two dogs, on a sofa", "many " * 20, "")


def clip_config(**text: Any) -> Any:
    return transformers.CLIPConfig(text_config={**TEXT, **text}, vision_config=VISION, projection_dim=24)


def siglip_config(**vision: Any) -> Any:
    text = {**TEXT, "projection_size": 48, "pad_token_id": END}
    return transformers.SiglipConfig(text_config=text, vision_config={**VISION, **vision})


CASES: dict[str, tuple[str, Callable[[], Any]]] = {
    "clip": ("CLIPModel", clip_config),
    "clip whose end token was once written wrong": ("CLIPModel", lambda: clip_config(eos_token_id=2)),
    "clip with GELU": ("CLIPModel", lambda: clip_config(hidden_act="gelu")),
    "siglip": ("SiglipModel", siglip_config),
    "siglip, patches that do not divide the image": ("SiglipModel", lambda: siglip_config(image_size=37)),
}


def folder_of(name: str, folder: Path) -> Any:
    """Their model, and all of its files in `folder`."""
    kind, config = CASES[name]
    theirs = random_model(getattr(transformers, kind), config())
    with torch.no_grad():
        theirs.logit_scale.fill_(1.5)
    theirs.save_pretrained(folder)
    side = theirs.config.vision_config.image_size
    if kind == "CLIPModel":
        processor = transformers.CLIPImageProcessor(size={"shortest_edge": side}, crop_size=side)
    else:
        processor = transformers.SiglipImageProcessor(size={"height": side, "width": side})
    processor.save_pretrained(folder)
    write_tokenizer(folder, bert=False)
    return theirs


@pytest.mark.parametrize("name", CASES)
@torch.no_grad()
def test_equal_embeddings_there_and_back(name: str, tmp_path: Path, equal: Equal) -> None:
    theirs = folder_of(name, tmp_path / "read")
    ours: DualEncoder = load(tmp_path / "read")
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "read")
    ids = tokenizer(list(TEXTS), padding="max_length", max_length=12, truncation=True, return_tensors="pt").input_ids
    side = ours.transform.config.size[0]
    pixels = torch.randn(3, 3, side, side, generator=torch.Generator().manual_seed(2))
    for model in (theirs, exported(ours, theirs, tmp_path)):
        found = model(input_ids=ids, pixel_values=pixels)
        image, text = ours(pixels, ids)
        equal(image, found.image_embeds)
        equal(text, found.text_embeds)
        equal(ours.embed_texts(list(TEXTS), batch_size=2), found.text_embeds)
        equal(ours.similarity(image, text), found.logits_per_image)
    again: DualEncoder = load(tmp_path / "back")
    assert again.config.transform == ours.config.transform and again.tokenizer is not None
    assert isinstance(again.config.similarity, SigmoidSimilarityConfig) == name.startswith("siglip")


def test_a_tokenizer_travels_along(tmp_path: Path) -> None:
    folder_of("siglip", tmp_path / "read")
    ours: DualEncoder = load(tmp_path / "read")
    text = ours.config.text
    assert isinstance(text, TextTowerConfig) and text.pool == PaddedPoolConfig(pad=END)
    save_transformers(ours, tmp_path / "back")
    again: DualEncoder = load(tmp_path / "back")
    assert again.config == ours.config and torch.equal(again.embed_texts(TEXTS), ours.embed_texts(TEXTS))
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path / "back")
    assert ours.tokenizer is not None
    assert [theirs(text).input_ids for text in TEXTS] == ours.tokenizer.rows(list(TEXTS))


def test_the_tokenizers_padding_outranks_the_configs(tmp_path: Path) -> None:
    folder_of("siglip", tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    change_config(tmp_path, text_config={**config["text_config"], "pad_token_id": 1})
    text = load(tmp_path).config.text
    assert text.pool == PaddedPoolConfig(pad=END)  # SigLIP 2: written 1, and the tokenizer pads with 0


@torch.no_grad()
def test_pictures_are_prepared_as_theirs(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    pictures = []
    for height, width in ((40, 52), (34, 34), (92, 34), (20, 30)):
        noise = Image.fromarray(draw.integers(0, 256, (height // 4 + 1, width // 4 + 1, 3), dtype=np.uint8))
        pictures.append(noise.resize((width, height), Image.Resampling.BICUBIC))
    for name, kind in (("clip", "clip"), ("siglip", "siglip")):
        theirs = folder_of(name, tmp_path / name)
        ours: DualEncoder = load(tmp_path / name)
        module = getattr(transformers.models, kind)
        processor = getattr(module, f"{'CLIP' if kind == 'clip' else 'Siglip'}ImageProcessorPil")
        pixels = processor.from_pretrained(tmp_path / name)(pictures, return_tensors="pt").pixel_values
        expected = theirs(pixel_values=pixels, input_ids=torch.full((1, 12), END)).image_embeds
        assert (ours.embed_images(pictures) - expected).abs().max() < 1e-4


@pytest.mark.parametrize(
    ("fields", "size", "resize", "fraction"),
    [
        ({"size": 30, "crop_size": 24}, (24, 24), "crop", 0.8),
        ({"size": {"shortest_edge": 37}, "crop_size": {"height": 32, "width": 32}}, (32, 32), "crop", 32 / 37),
        ({"size": {"height": 20, "width": 30}, "do_center_crop": False}, (20, 30), "squash", 1.0),
        ({"size": {"height": 20, "width": 20}, "crop_size": 20}, (20, 20), "squash", 1.0),
    ],
)
def test_sizes_of_pictures(fields: dict[str, Any], size: Any, resize: str, fraction: float, tmp_path: Path) -> None:
    folder_of("clip", tmp_path)
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({"resample": 2, "do_normalize": False, **fields}))
    transform = load(tmp_path).config.transform
    assert (transform.size, transform.resize, transform.interpolation) == (size, resize, "bilinear")
    assert transform.crop_fraction == pytest.approx(fraction)
    assert transform.mean == (0.0, 0.0, 0.0) and transform.std == (1.0, 1.0, 1.0)
    edge = fields["size"] if isinstance(fields["size"], int) else fields["size"].get("shortest_edge")
    if edge:  # a picture of that size is not resized again
        assert transform.build().box(edge, edge)[2] - transform.build().box(edge, edge)[0] == size[1]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"do_resize": False}, "do_resize is False; only True can be done here"),
        ({"resample": 1}, "resample is 1; of Pillow's numbers, 0, 2, 3 can be done here"),
        ({"rescale_factor": 1.0}, "rescale_factor is 1.0; only 1/255 can be done here"),
        ({"size": {"shortest_edge": 32, "longest_edge": 64}}, "size is .*; it must be a number of pixels"),
        ({"size": {"shortest_edge": 32}, "do_center_crop": False}, "do_center_crop is False; without it"),
        ({"size": 32, "crop_size": 40}, "crop_size is 40; here, it must be a square of at most 32"),
        ({"size": 32, "crop_size": {"height": 8, "width": 16}}, "crop_size is .*; here, it must be a square"),
        ({"size": "big"}, "size is 'big'"),
        ({"image_mean": [1, 2]}, r"image_mean is \[1, 2\]; it must be three numbers"),
        ({"image_std": [0, 1, 1]}, "std is"),
    ],
)
def test_preprocessing_that_cannot_be_done(fields: dict[str, Any], message: str, tmp_path: Path) -> None:
    folder_of("clip", tmp_path)
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(fields))
    with pytest.raises(DataError, match=message):
        load(tmp_path)


def test_preprocessing_inside_a_newer_file_or_none(tmp_path: Path) -> None:
    folder_of("clip", tmp_path)
    inner = json.loads((tmp_path / "preprocessor_config.json").read_text()) | {"image_mean": 0.25}
    (tmp_path / "preprocessor_config.json").unlink()
    usual = load(tmp_path).config.transform
    assert usual.size == (32, 32) and usual.mean == clip(9, end=8).transform.mean
    (tmp_path / "processor_config.json").write_text(json.dumps({"image_processor": inner}))
    assert load(tmp_path).config.transform.mean == (0.25, 0.25, 0.25)


def test_old_files(tmp_path: Path) -> None:
    theirs = folder_of("clip", tmp_path)
    ids = {f"{part}_model.embeddings.position_ids": torch.arange(3)[None] for part in ("text", "vision")}
    rewrite(tmp_path, more=ids)
    config = json.loads((tmp_path / "config.json").read_text())
    change_config(tmp_path, text_config={}, text_config_dict=config["text_config"], vision_config_dict=None)
    expected = theirs.state_dict()["text_projection.weight"]
    assert torch.equal(load(tmp_path).text.projection.weight, expected)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("siglip", {"model_type": "siglip2"}, r"SigLIP 2 for pictures of any size \(NaFlex\), which cannot be read"),
        ("siglip", {"architectures": ["SiglipForImageClassification"]}, "one of these can be read: SiglipModel"),
        ("siglip", {"vision_config": {**VISION, "vision_use_head": False}}, "vision_use_head is False"),
        ("siglip", {"text_config": {**TEXT, "projection_size": 40}}, "projection_size is 40; the image tower gives 48"),
        ("clip", {"text_config": {**TEXT, "hidden_act": "swoosh"}}, "text_config: hidden_act is 'swoosh'"),
        ("clip", {"vision_config": {**VISION, "num_channels": 1}}, "vision_config: num_channels is 1; only 3"),
        ("clip", {"vision_config": [1]}, r"vision_config is \[1\]; it must be an object"),
        ("clip", {"projection_dim": 25}, "has shape"),
    ],
)
def test_what_cannot_be_read(name: str, change: dict[str, Any], message: str, tmp_path: Path) -> None:
    folder_of(name, tmp_path)
    change_config(tmp_path, **change)
    with pytest.raises(DataError, match=message):
        load(tmp_path)


def test_what_transformers_has_no_model_for(tmp_path: Path) -> None:
    sizes = {"dim": 24, "image": ViT(dim=16, depth=1, heads=1, patch=8), "text": Stack(dim=16, depth=1, heads=1)}
    config = clip(60, end=59, **sizes)
    assert isinstance(config.text, TextTowerConfig)
    padded = replace(config, text=replace(config.text, pool=EndPoolConfig(end=59, pad=0)))
    message = r"transformers has no model like this DualEncoder\. As clip, its text\.pool\.pad would be None and not 0"
    with pytest.raises(ArgumentError, match=message):
        save_transformers(padded.build(), tmp_path / "no")
    shared = replace(config, text=replace(config.text, backbone=None))
    with pytest.raises(ArgumentError, match=r"transformers has no model like this DualEncoder\.$"):
        save_transformers(shared.build(), tmp_path / "no")
    framed = replace(config, transform=replace(config.transform, resize="pad"))
    with pytest.raises(ArgumentError, match="transformers cannot prepare pictures with resize='pad'"):
        save_transformers(framed.build(), tmp_path / "no")
    assert not (tmp_path / "no").exists()


@pytest.mark.parametrize("config", [clip(60, end=59), siglip(60, pad=1)], ids=["clip", "siglip"])
def test_presets_are_their_designs(config: Any) -> None:
    with torch.device("meta"):
        ours = config.build()
        if config.dim == 512:
            theirs = transformers.CLIPModel(transformers.CLIPConfig(text_config={"vocab_size": 60}))
        else:
            theirs = transformers.SiglipModel(transformers.SiglipConfig(text_config={"vocab_size": 60}))
    counts = [sum(parameter.numel() for parameter in model.parameters()) for model in (ours, theirs)]
    assert counts[0] == counts[1]

"""The model folder of dual encoders: towers, similarity, transform and tokenizer come back equal."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from clip_folders import register
from tiny_dual_encoders import CAPTIONS, KINDS, built, pictures
from tiny_text_models import wordpiece

from multimodal.backbone.lora import LoraConfig, attach
from multimodal.checkpoint import load_folder, rebuilt, save
from multimodal.errors import DataError
from multimodal.models.dual_encoder import DualEncoderConfig
from multimodal.models.open_clip_towers import OpenClipImageConfig
from multimodal.tokenizers.text import TextTokenizer

FILES = {"config.json", "model.safetensors", "README.md", "tokenizer.json", "tokenizer_config.json"}


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_comes_back_equal(kind, tmp_path):
    model = built(kind)
    model.config = replace(model.config, transform=replace(model.config.transform, mean=(0.1, 0.2, 0.3)))
    tokenizer = wordpiece()
    model.tokenizer = TextTokenizer(tokenizer.tokenizer, replace(tokenizer.settings, cleaning="canonicalize"))
    model.transform = model.config.transform.build()
    model.similarity.log_scale.data.fill_(1.3)
    model.card = {"metrics": {"recall": 0.5}}
    folder = save(model.train(), tmp_path / "model")
    assert {path.name for path in folder.iterdir()} == FILES
    loaded = load_folder(folder)
    assert loaded.config == model.config and loaded.card == model.card and not loaded.training
    assert loaded.tokenizer.settings == model.tokenizer.settings
    assert torch.equal(loaded.embed_pixels(pictures(2)), model.embed_pixels(pictures(2)))
    assert torch.equal(loaded.embed_texts(CAPTIONS), model.embed_texts(CAPTIONS))
    assert torch.equal(loaded.similarity.log_scale, model.similarity.log_scale)
    fresh = rebuilt(loaded)
    assert fresh.config == model.config and fresh.tokenizer is loaded.tokenizer
    assert not torch.equal(fresh.embed_texts(CAPTIONS), model.embed_texts(CAPTIONS))
    words = (folder / "README.md").read_text()
    assert "mm.load" in words and "recall" in words


def test_without_a_tokenizer(tmp_path):
    model = built()
    model.tokenizer = None
    folder = save(model, tmp_path / "model")
    assert {path.name for path in folder.iterdir()} == FILES - {"tokenizer.json", "tokenizer_config.json"}
    assert load_folder(folder).tokenizer is None


def test_adapters_are_folded_in(tmp_path):
    model = built("one trunk")
    attach(model, LoraConfig(rank=2))
    for name, parameter in model.named_parameters():
        if "lora" in name.lower():
            torch.nn.init.normal_(parameter, std=0.1)
    folder = save(model, tmp_path / "model")
    expected = model.embed_texts(CAPTIONS)
    assert torch.allclose(load_folder(folder).embed_texts(CAPTIONS), expected, atol=1e-5)


def test_wrapped_towers(tmp_path, monkeypatch):
    vision = {"timm_model_name": "test_convnext", "timm_pool": "", "timm_proj": "linear", "image_size": 32}
    register(monkeypatch, "tiny", {"embed_dim": 8, "vision_cfg": vision, "text_cfg": {}})
    config = replace(built().config, image=OpenClipImageConfig(architecture="tiny"))
    assert isinstance(config, DualEncoderConfig)
    model = config.build(wordpiece()).eval()
    folder = save(model, tmp_path / "model")
    pixels = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    assert torch.equal(load_folder(folder).embed_pixels(pixels), model.embed_pixels(pixels))
    half = load_folder(folder, dtype=torch.bfloat16)
    assert half.embed_pixels(pixels).shape == (2, 8)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda config: config.update(dim=9), "does not fit model.safetensors"),
        (lambda config: config["text"].update(pool={"type": "EndPoolConfig", "stop": 3}), "stop"),
        (lambda config: config["similarity"].update(type="Softmax"), "SoftmaxSimilarityConfig"),
        (lambda config: config["text"]["embedding"].update(vocabulary=20), "ids up to .* and the model 20 embeddings"),
        (
            lambda config: config.update(image={"type": "OpenClipImageConfig", "architecture": "../x"}),
            "cannot be built",
        ),
    ],
)
def test_edited_configs(change, message, tmp_path):
    folder = save(built(), tmp_path / "model")
    header = json.loads((folder / "config.json").read_text())
    change(header["config"])
    (folder / "config.json").write_text(json.dumps(header))
    with pytest.raises(DataError, match=message):
        load_folder(folder)

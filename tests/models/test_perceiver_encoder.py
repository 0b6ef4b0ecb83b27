"""A Perceiver in a classifier: of images and sound, in a model folder, fine-tuned; and that it learns."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from sklearn.datasets import load_digits
from torch.nn import functional as F
from written_perceivers import BLOCK, READING

import multimodal as mm
from multimodal.backbone.attention import AttentionConfig
from multimodal.backbone.block import BlockConfig
from multimodal.backbone.cross_block import CrossBlockConfig
from multimodal.backbone.mlp import MlpConfig
from multimodal.backbone.norm import LayerNormConfig
from multimodal.backbone.pool import MeanPoolConfig
from multimodal.errors import ArgumentError
from multimodal.finetuning.adapt import with_head
from multimodal.models.classifier import Classifier, ClassifierConfig
from multimodal.models.perceiver import PerceiverConfig
from multimodal.models.perceiver_encoder import PerceiverEncoderConfig
from multimodal.models.perceiver_io import OutputQueriesConfig
from multimodal.tokenizers.audio_features import FbankConfig
from multimodal.tokenizers.audio_transform import AudioTransformConfig
from multimodal.tokenizers.fourier import FourierTokenizerConfig
from multimodal.tokenizers.image import ImageTokenizerConfig
from multimodal.tokenizers.image_transform import ImageTransformConfig

SMALL = PerceiverConfig(latents=5, dim=8, depth=1, block=BLOCK, reading=READING, rounds=2, readings=2)
QUERIES = OutputQueriesConfig(reading=READING, dim=6, queries=2)
PIXELS = FourierTokenizerConfig(size=(16, 16), bands=4)
PATCHES = ImageTokenizerConfig(size=(16, 16), patch=(4, 4), prefix=0)


def classifier(tokenizer=PIXELS, pool=MeanPoolConfig(), **parts) -> Classifier:
    encoder = PerceiverEncoderConfig(tokenizer=tokenizer, perceiver=SMALL, pool=pool)
    parts = {"transform": ImageTransformConfig(size=(16, 16), crop_fraction=1.0), **parts}
    return ClassifierConfig(encoder=encoder, classes=3, **parts).build(["ant", "bee", "cat"]).eval()


@pytest.mark.parametrize("tokenizer", [PIXELS, PATCHES], ids=["pixels", "patches"])
@pytest.mark.parametrize("pool", [MeanPoolConfig(), QUERIES], ids=["mean", "queries"])
def test_it_is_its_parts_in_a_row(tokenizer, pool):
    model, x = classifier(tokenizer, pool).encoder, torch.randn(2, 3, 16, 16)
    latents = model.perceiver(model.tokenizer(x).x)
    expected = latents.mean(1) if pool is not QUERIES else model.pool(latents).flatten(1)
    torch.testing.assert_close(model(x), expected)
    assert model(x).shape == (2, model.width) and model.width == (8 if pool is not QUERIES else 12)


def test_stages_hold_every_parameter_once_from_input_to_output():
    model = classifier(PATCHES, QUERIES).encoder
    stages = [parameter for stage in model.stages() for parameter in stage]
    assert len(stages) == len({id(p) for p in stages}) and {id(p) for p in stages} == {
        id(p) for p in model.parameters()
    }
    assert any(p is model.perceiver.latents for p in model.stages()[0])
    assert any(p is model.pool.queries for p in model.stages()[-1])


def test_a_model_folder_gives_the_same_predictions(tmp_path):
    model = classifier(PIXELS, QUERIES)
    loaded = mm.load(mm.save(model, tmp_path / "model"), device="cpu", dtype="float32")
    assert loaded.config == model.config
    x = torch.randn(2, 3, 16, 16)
    assert torch.equal(loaded(x), model(x))
    card = (tmp_path / "model" / "README.md").read_text()
    assert "a Perceiver of 5 latents of width 8, which go 2 times through 1 layers" in card
    image = torch.randint(256, (20, 30, 3), dtype=torch.uint8).numpy()
    assert loaded.predict(image) == model.predict(image) and len(model.predict(image)[0].labels) == 3


def test_it_hears():
    transform = AudioTransformConfig(features=FbankConfig(mels=16), seconds=0.2, mean=-4.0, std=4.0)
    tokens = FourierTokenizerConfig(size=transform.size, patch=(4, 2), channels=1, bands=3)
    found = classifier(tokens, transform=transform).predict(torch.randn(3200).numpy())
    assert sum(found[0].probabilities) == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize("tokenizer", [PIXELS, PATCHES], ids=["pixels", "patches"])
def test_a_fresh_head_and_another_size_keep_the_rest(tokenizer):
    model = classifier(tokenizer)
    size = replace(model.transform.config, size=(24, 24))
    adapted = with_head(model, ["yes", "no"], transform=size, drop_path=0.1)
    assert adapted(torch.randn(1, 3, 24, 24)).shape == (1, 2)
    mine, theirs = adapted.encoder.perceiver.state_dict(), model.encoder.perceiver.state_dict()
    assert all(torch.equal(mine[name], theirs[name]) for name in theirs)
    if tokenizer is PIXELS:
        assert adapted.config.encoder == model.config.encoder, "its frequencies are those that it has learned to read"
    else:
        assert adapted.encoder.tokenizer.position.grid == (6, 6)


def test_what_it_cannot_do_is_said():
    image = torch.randint(256, (16, 16, 3), dtype=torch.uint8).numpy()
    with pytest.raises(ArgumentError, match="A Perceiver mixes all places in its latents"):
        classifier().explain(image)
    with pytest.raises(ArgumentError, match="queries is 0; an image encoder asks at least one"):
        classifier(pool=replace(QUERIES, queries=0))


def test_it_learns_digits():
    torch.manual_seed(0)
    images, labels = load_digits(return_X_y=True)
    pixels = torch.tensor(images, dtype=torch.float32).reshape(-1, 1, 8, 8) / 8 - 1
    target = torch.tensor(labels)
    perceiver = PerceiverConfig(
        latents=12,
        dim=48,
        depth=1,
        block=BlockConfig(attention=AttentionConfig(heads=4), mlp=MlpConfig(hidden=96)),
        reading=CrossBlockConfig(attention=AttentionConfig(heads=2, head_dim=24), mlp=MlpConfig(hidden=96)),
        rounds=2,
        readings=2,
        norm=LayerNormConfig(),
    )
    tokens = FourierTokenizerConfig(size=(8, 8), channels=1, bands=4)
    encoder = PerceiverEncoderConfig(tokenizer=tokens, perceiver=perceiver)
    model = ClassifierConfig(encoder=encoder, classes=10).build()
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=250)
    for _ in range(250):
        rows = torch.randint(1400, (64,))
        loss = F.cross_entropy(model(pixels[rows]), target[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        right = (model.eval()(pixels[1400:]).argmax(-1) == target[1400:]).float().mean().item()
    assert right > 0.8, right

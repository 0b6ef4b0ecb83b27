"""Where a classifier looked: the methods against their definitions, a planted signal, the place on the original."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_models import ATTENTION_POOL, KINDS, LABELS, vit, wrapped
from torch.nn import functional as F

from multimodal.backbone.attention import Attention, AttentionConfig
from multimodal.backbone.mask import Mask, Scores
from multimodal.backbone.pool import ClassPoolConfig, MeanPoolConfig
from multimodal.errors import ArgumentError, DataError
from multimodal.media import MediaError
from multimodal.models.explanation import Explanation
from multimodal.models.watching import evaluating, recorded
from multimodal.tokenizers.image_transform import ImageTransformConfig


def photo(width=32, height=32, seed=0):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


# Recording


@pytest.mark.parametrize("causal", [False, True])
def test_recorded_weights_are_the_softmax_and_outputs_stay(causal):
    layer = AttentionConfig(heads=4, kv_heads=2).build(16)
    x = torch.randn(2, 5, 16)
    scores = Mask(causal=causal).scores(5, 5)
    plain = layer(x, scores=scores)
    with recorded(layer) as found:
        watched = layer(x, scores=scores)
    torch.testing.assert_close(watched, plain)
    q = layer.q(x).view(2, 5, 4, 4).transpose(1, 2)
    k = layer.k(x).view(2, 5, 2, 4).transpose(1, 2).repeat_interleave(2, 1)
    raw = q @ k.transpose(-1, -2) / 2
    if causal:
        raw = raw.masked_fill(~torch.ones(5, 5).tril().bool(), float("-inf"))
    assert len(found) == 1
    torch.testing.assert_close(found[0], raw.softmax(-1))


def test_the_kernel_comes_back_even_after_an_error():
    layer = AttentionConfig(heads=2).build(8)
    with pytest.raises(RuntimeError), recorded(layer):
        layer(torch.randn(1, 3, 9))
    assert "attend" not in layer.__dict__ and layer.attend is Attention.attend

    def own(*arguments, **options):
        return F.scaled_dot_product_attention(*arguments, **options)

    layer.attend = own
    with recorded(layer):
        assert layer.attend is not own
    assert layer.attend is own
    assert torch.isfinite(layer(torch.randn(1, 3, 8), scores=Scores())).all()


def test_modes_come_back_one_by_one():
    model = vit().train()
    model.encoder.eval()
    before = [module.training for module in model.modules()]
    with evaluating(model):
        assert not any(module.training for module in model.modules())
    assert [module.training for module in model.modules()] == before


# The methods against a transformer written out, in which the attention weights are variables


def by_hand(model, x):
    """(logits, weights of each layer, of the pool or None) of a pre-norm model."""
    encoder = model.encoder
    t = encoder.tokenizer(x).x
    layers, pool = [], None
    for block in encoder.backbone.blocks:
        t, weights = mix(block.attention, block.attention_branch.norm(t), t)
        layers.append(weights)
        t = t + block.mlp(block.mlp_branch.norm(t))
    t = encoder.backbone.norm(t)
    kind, prefix = encoder.config.pool, encoder.config.tokenizer.prefix
    if isinstance(kind, ClassPoolConfig):
        pooled = t[:, : kind.tokens].flatten(1)
    elif isinstance(kind, MeanPoolConfig):
        pooled = t[:, prefix:].mean(1)
    else:
        pooler = encoder.pool
        seen = t if kind.include_prefix else t[:, prefix:]
        y, pool = mix(pooler.attention, pooler.query[None], 0, context=seen)
        pooled = (y + pooler.mlp(pooler.norm(y)))[:, 0]
    return model.head(pooled), layers, pool


def mix(attention, x, residual, context=None):
    heads, source = attention.heads, x if context is None else context
    q, k, v = attention.q(x), attention.k(source), attention.v(source)
    q, k, v = (p.unflatten(-1, (heads, -1)).transpose(1, 2) for p in (q, k, v))
    weights = (q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5).softmax(-1)
    return residual + attention.out((weights @ v).transpose(1, 2).flatten(-2)), weights


POOLS = {
    "class": (ClassPoolConfig(), 1),
    "class and registers": (ClassPoolConfig(), 3),
    "mean": (MeanPoolConfig(), 1),
    "attention": (ATTENTION_POOL, 0),
    "attention without registers": (replace(ATTENTION_POOL, include_prefix=False), 2),
}


@pytest.mark.parametrize("method", ["rollout", "gradient"])
@pytest.mark.parametrize("kind", POOLS.keys())
def test_the_grid_is_what_the_papers_define(kind, method):
    pool, prefix = POOLS[kind]
    model = vit(pool, prefix=prefix).double()  # the least and the most relevance of random weights are close
    image, index = photo(), 1
    x = model.transform.normalize(model.transform(image), dtype=torch.float64)[None]
    logits, layers, pooling = by_hand(model, x)
    torch.testing.assert_close(logits, model(x))
    gradients = torch.autograd.grad(logits[0, index], [*layers, *([pooling] if pooling is not None else [])])
    n = layers[0].shape[-1]
    relevance = torch.eye(n).double()
    for weights, gradient in zip(layers, gradients, strict=False):
        if method == "rollout":
            step = 0.5 * weights[0].mean(0) + 0.5 * torch.eye(n)
            relevance = step @ relevance
        else:
            step = sum((weights[0, h] * gradient[0, h]).clamp(min=0) for h in range(2)) / 2
            relevance = relevance + step @ relevance
    if isinstance(pool, ClassPoolConfig):
        row = relevance[0]
    elif isinstance(pool, MeanPoolConfig):
        row = relevance[prefix:].mean(0)
    else:
        kept = pooling[0] if method == "rollout" else (pooling[0] * gradients[2][0]).clamp(min=0)
        row = kept.mean(0)[0] @ relevance[-kept.shape[-1] :]
    expected = row[prefix:].view(4, 4).detach()
    expected = ((expected - expected.min()) / (expected.max() - expected.min())).float()
    found = model.explain(image, label=LABELS[index], method=method)
    torch.testing.assert_close(found.grid, expected, atol=1e-5, rtol=1e-4)
    assert found.label == LABELS[index]
    assert found.probability == pytest.approx(logits.softmax(-1)[0, index].item(), abs=1e-6)


def test_grad_cam_is_what_the_paper_defines():
    model, image = wrapped("test_resnet"), photo(64, 64)
    x = model.transform.normalize(model.transform(image))[None]
    features = model.encoder.model.forward_features(x)
    logits = model.head(model.encoder.model.forward_head(features))
    slope = torch.autograd.grad(logits[0, 2], features)[0]
    expected = torch.zeros(features.shape[-2:])
    for channel in range(features.shape[1]):
        expected += slope[0, channel].mean() * features[0, channel].detach()
    expected = expected.clamp(min=0)
    found = model.explain(image, label=LABELS[2])
    expected = (expected - expected.min()) / (expected.max() - expected.min()).clamp(min=1e-12)
    torch.testing.assert_close(found.grid, expected, atol=1e-5, rtol=1e-4)
    with pytest.raises(ArgumentError, match=r"rollout.*use 'gradient'"):
        model.explain(image, method="rollout")


@pytest.mark.parametrize("name, size", [("test_mambaout", 64), ("test_vit_relpos", 160), ("test_convnext", 64)])
def test_other_shapes_of_features(name, size):
    model = wrapped(name, size=size)
    own = model.encoder.model.forward_features
    grid = model.explain(photo(size, size)).grid
    assert grid.ndim == 2 and grid.shape[0] == grid.shape[1] > 1
    assert model.encoder.model.forward_features == own


# A planted signal: the class is decided in one quadrant, the rest is noise


def planted(n, size, generator):
    """(pixels in [-1, 1], class, quadrant): a patch of one of three colours in one quadrant of grey noise."""
    half, quarter = size // 2, size // 4
    pixels = 0.3 * torch.randn(n, 1, size, size, generator=generator).repeat(1, 3, 1, 1)
    target = torch.randint(0, 3, (n,), generator=generator)
    quadrant = torch.randint(0, 4, (n,), generator=generator)
    for i, (colour, q) in enumerate(zip(target.tolist(), quadrant.tolist(), strict=True)):
        top, left = q // 2 * half, q % 2 * half
        pixels[i, colour, top : top + quarter, left : left + quarter] += 2.0
    return pixels.clamp(-1, 1), target, quadrant


def trained(model, steps):
    """`model` after learning the colour; and 32 new pixels with the quadrants that hold it."""
    generator, size = torch.Generator().manual_seed(1), model.config.transform.size[0]
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(steps):
        pixels, target, _ = planted(16, size, generator)
        loss = F.cross_entropy(model.train()(pixels), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    pixels, target, quadrant = planted(32, size, generator)
    assert (model.eval()(pixels).argmax(-1) == target).float().mean() >= 0.9, "it has learned"
    return pixels, quadrant


@pytest.mark.parametrize("kind", ["class", "wrapped"])
def test_relevance_falls_on_the_planted_signal(kind):
    torch.manual_seed(1)
    transform = ImageTransformConfig(size=(32, 32), crop_fraction=1.0, mean=(0.5,) * 3, std=(0.5,) * 3)
    if kind == "wrapped":
        model = wrapped("test_resnet", transform=replace(transform, size=(64, 64)))  # 2 x 2 features
    else:
        model = vit(POOLS[kind][0], prefix=POOLS[kind][1], transform=transform)
    hits = 0
    for x, quadrant in zip(*trained(model, 20 if kind == "wrapped" else 200), strict=True):
        image = Image.fromarray(((x.permute(1, 2, 0) + 1) * 127.5).numpy().astype(np.uint8))
        relevance = model.explain(image).relevance
        masses = relevance.unflatten(0, (2, -1)).unflatten(-1, (2, -1)).sum((1, 3)).flatten()
        hits += int(masses.argmax()) == int(quadrant)
    assert hits >= 20, f"{hits} of 32 explanations point at the quadrant that decides; chance is 8"


# The place on the original


@pytest.mark.parametrize("resize", ["crop", "pad", "squash"])
@pytest.mark.parametrize("size", [(400, 200), (150, 333), (224, 224), (31, 40)])
@pytest.mark.parametrize("target", [(64, 64), (96, 64)])
def test_relevance_lies_where_the_model_saw_it(resize, size, target):
    """A bright square goes through the transform; laid back, the brightness must lie on the square again."""
    width, height = size
    config = ImageTransformConfig(size=target, resize=resize, crop_fraction=0.875, mean=(0.0,) * 3)
    transform = config.build()
    pixels = np.zeros((height, width, 3), dtype=np.uint8)
    y0, y1, x0, x1 = height * 5 // 10, height * 7 // 10, width * 4 // 10, width * 5 // 10
    pixels[y0:y1, x0:x1] = 255
    image = Image.fromarray(pixels)
    seen = transform(image).float().mean(0) / 255
    explanation = Explanation(
        grid=seen,
        cells=(float(target[0]), float(target[1])),
        box=transform.box(width, height),
        photo=image,
        label="x",
        probability=1.0,
        method="gradient",
    )
    relevance = explanation.relevance
    assert relevance.shape == (height, width)
    expected = torch.from_numpy(pixels[..., 0] / 255).float()
    places = torch.stack(torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij"))
    centre = [(places * weight).sum((1, 2)) / weight.sum() for weight in (relevance, expected)]
    assert (centre[0] - centre[1]).abs().max() < 0.01 * max(size) + 0.3
    assert relevance[expected > 0].mean() > 0.7 and relevance[expected == 0].mean() < 0.02


def test_what_was_cut_off_has_no_relevance():
    model = vit(transform=ImageTransformConfig(size=(32, 32), crop_fraction=1.0))
    explanation = model.explain(photo(100, 50))
    assert explanation.box == (25.0, 0.0, 75.0, 50.0)
    relevance = explanation.relevance
    assert relevance.shape == (50, 100) and relevance[:, 25:75].max() > 0.5
    assert not relevance[:, :25].any() and not relevance[:, 75:].any()


def test_patches_that_do_not_divide_the_image():
    model = vit(transform=ImageTransformConfig(size=(30, 36), crop_fraction=1.0))
    explanation = model.explain(photo(36, 30))
    assert explanation.grid.shape == (4, 5) and explanation.cells == (30 / 8, 36 / 8)
    relevance = explanation.relevance  # patch row 1 is pixels 8 to 15: its middle has its value
    torch.testing.assert_close(relevance[11:13, 3:5].mean(), explanation.grid[1, 0], atol=0.1, rtol=0)


def test_a_photo_taken_sideways(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    photo(80, 40).save(tmp_path / "sideways.jpg", exif=exif)
    explanation = vit().explain(tmp_path / "sideways.jpg")
    assert explanation.photo.size == (40, 80) and explanation.relevance.shape == (80, 40)


# Use


@pytest.mark.parametrize("kind", KINDS.keys())
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_model_is_the_same_afterwards(kind, dtype):
    model = KINDS[kind]().to(dtype).train()
    size = model.config.transform.size[0]
    x = torch.randn(2, 3, size, size)
    with torch.no_grad():
        before = model.eval()(x)
        model.train()
    for frozen in (False, True):
        model.requires_grad_(not frozen)
        with torch.no_grad():
            explanation = model.explain(photo(size, size))
        assert explanation.grid.min() >= 0 and explanation.grid.max() <= 1 and torch.isfinite(explanation.grid).all()
        assert all(module.training for module in model.modules())
    assert all(p.grad is None for p in model.parameters())
    with torch.no_grad():
        assert torch.equal(model.eval()(x), before)


def test_the_kernel_comes_back_when_an_explanation_fails(monkeypatch):
    model = vit()
    monkeypatch.setattr(model, "head", torch.nn.Linear(17, 3))
    with pytest.raises(RuntimeError):
        model.explain(photo())
    assert all("attend" not in module.__dict__ for module in model.modules())


def test_in_inference_mode():
    model = vit()
    with torch.inference_mode():
        assert model.explain(photo()).grid.any()


def test_labels_and_methods():
    model = vit()
    best = model.predict(photo())[0]
    explanation = model.explain(photo())
    assert (explanation.label, explanation.probability) == (best.label, pytest.approx(best.probability, abs=1e-5))
    model.temperature = 3.0
    assert model.explain(photo()).probability == pytest.approx(model.predict(photo())[0].probability, abs=1e-5)
    grids = [model.explain(photo(), label=label).grid for label in LABELS]
    assert not torch.allclose(grids[0], grids[1]), "relevance is of a label"
    rollouts = [model.explain(photo(), label=label, method="rollout").grid for label in LABELS[:2]]
    assert torch.equal(*rollouts), "rollout is not"
    with pytest.raises(ArgumentError, match=r"'bea' is not a label of this model\. Did you mean 'bee'"):
        model.explain(photo(), label="bea")
    with pytest.raises(ArgumentError, match=r"method is 'rolout'; it must be 'gradient' or 'rollout'.*Did you mean"):
        model.explain(photo(), method="rolout")
    with pytest.raises(MediaError, match="does not exist"):
        model.explain("nothing.jpg")


def test_every_kind_of_source(tmp_path):
    model, image = vit(), photo(40, 30)
    image.save(tmp_path / "a.png")
    data = (tmp_path / "a.png").read_bytes()

    class Pipe(io.BytesIO):
        def seekable(self):
            return False

    sources = [
        tmp_path / "a.png",
        str(tmp_path / "a.png"),
        data,
        io.BytesIO(data),
        Pipe(data),
        image,
        np.asarray(image),
    ]
    grids = [model.explain(source).grid for source in sources]
    assert all(torch.equal(grid, grids[0]) for grid in grids)


def test_the_picture(tmp_path):
    explanation = vit().explain(photo(600, 300))
    picture = explanation.image()
    assert picture.mode == "RGB" and picture.width == 600 and picture.height > 300
    assert explanation.save(tmp_path / "x.png") == tmp_path / "x.png"
    assert [path.name for path in tmp_path.iterdir()] == ["x.png"]
    with Image.open(tmp_path / "x.png") as read:
        assert read.format == "PNG" and np.array_equal(np.asarray(read), np.asarray(picture))
    assert explanation._repr_png_() == (tmp_path / "x.png").read_bytes()
    assert max(vit().explain(photo(9, 8)).image().size) >= 400, "tiny images are shown large"
    assert max(vit().explain(photo(3000, 20)).image().size) == 1024, "large ones small"
    with pytest.raises(DataError, match="cannot be written to"):
        explanation.save(tmp_path / "x.png" / "x.png")


def test_relevant_places_are_brighter_and_unseen_ones_dim():
    grey = Image.new("RGB", (512, 512), (128, 128, 128))
    grid = torch.zeros(4, 4)
    grid[1, 2] = 1.0
    parts = {"photo": grey, "probability": 0.5, "method": "gradient", "cells": (4.0, 4.0)}
    explanation = Explanation(grid=grid, box=(0.0, 0.0, 512.0, 512.0), label="a", **parts)
    light = np.asarray(explanation.image().convert("L"), dtype=float)[:512]
    assert light[192, 320] > light[64, 64] + 40
    cut = Explanation(grid=grid, box=(128.0, 0.0, 384.0, 512.0), label="a", **parts)
    light = np.asarray(cut.image().convert("L"), dtype=float)[:512]
    assert light[:, :120].max() < light[:, 140:370].min()


@pytest.mark.parametrize("label", ["a" * 300, "Käfer, 甲虫", "line\nbreak", "", "[red]{}"])
def test_any_label_can_be_a_caption(label):
    grid = torch.rand(2, 2)
    explanation = Explanation(grid, (2.0, 2.0), (0.0, 0.0, 40.0, 400.0), photo(40, 400), label, 0.25, "gradient")
    assert explanation.image().width == 45


def test_no_difference_is_no_relevance():
    model = vit(size=8)
    assert not model.explain(photo(8, 8)).grid.any(), "one patch: nothing to compare"


def test_matplotlib_waits_for_a_picture():
    source = Path(__file__).parents[2] / "multimodal" / "models" / "explanation.py"
    assert not [
        line for line in source.read_text().splitlines() if line.startswith(("import matplotlib", "from matplotlib"))
    ]

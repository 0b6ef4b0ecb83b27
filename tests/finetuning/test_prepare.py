"""Before training: what is left out, what the split keeps together, the new head, the baseline by hand."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from small import MODEL, small_digits

from multimodal.errors import ArgumentError, DataError
from multimodal.finetuning.adapt import adapt, with_head
from multimodal.finetuning.prepare import inspect, nearest_mean, split
from multimodal.finetuning.settings import AdaptConfig


@pytest.fixture
def folder(tmp_path):
    return small_digits(tmp_path)


def test_unreadable_files_are_left_out_and_named(folder):
    (folder / "train" / "0" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n but no more")
    inspected = inspect(str(folder))
    assert len(inspected.images.splits["train"]) == 40 and inspected.median_side == 8
    assert [s.path for s in inspected.images.skipped if "broken" in s.path]


def test_the_fingerprint_follows_contents_and_labels_only(folder, tmp_path):
    before = inspect(str(folder)).fingerprint
    folder = folder.rename(tmp_path / "elsewhere")
    assert inspect(str(folder)).fingerprint == before
    image = next((folder / "train" / "0").iterdir())
    image.rename(folder / "train" / "1" / f"moved-{image.name}")
    assert inspect(str(folder)).fingerprint != before


def test_versions_of_one_picture_stay_on_one_side(tmp_path):
    rng = np.random.default_rng(0)
    for name in "ab":
        (tmp_path / name).mkdir()
        for i in range(10):
            noise = Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8))
            noise.resize((96, 96), Image.Resampling.BICUBIC).save(tmp_path / name / f"{i}.png")
            noise.resize((64, 64), Image.Resampling.BICUBIC).save(tmp_path / name / f"{i}.jpg", quality=90)
    inspected = inspect(str(tmp_path))
    for seed in range(5):
        images = split(inspected, 0.3, seed)
        train, val = ({Path(s.path).with_suffix("") for s in images.splits[part]} for part in ("train", "val"))
        assert len(train) + len(val) == 20 and not train & val and val


def test_an_empty_validation_folder_is_named(folder):
    (folder / "val" / "0").mkdir(parents=True)
    (folder / "val" / "0" / "x.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match="val part"):
        split(inspect(str(folder)), 0.2, 0)


def test_a_new_head_keeps_the_encoder_and_what_training_adds():
    start = MODEL.build()
    new = with_head(start, ("cat", "dog", "owl"), drop_path=0.2, dropout=0.1)
    assert new.labels == ("cat", "dog", "owl") and new.config.classes == 3
    assert new.config.encoder.backbone.drop_path == 0.2
    pixels = torch.randn(2, 3, 8, 8)
    assert torch.equal(new.eval().features(pixels), start.eval().features(pixels))


@pytest.mark.parametrize("fresh", [False, True])
def test_another_image_size_gets_positions_of_its_own(fresh):
    start = MODEL.build().eval()
    transform = replace(MODEL.transform, size=(12, 12))
    new = with_head(start, ("a", "b"), transform=transform, fresh=fresh).eval()
    position = new.encoder.tokenizer.position
    assert position.grid == (6, 6) and position.weight.shape == (36, 16)
    pixels = torch.randn(2, 3, 12, 12)
    same = torch.allclose(new.features(pixels), start.features(pixels), atol=1e-6)
    assert same != fresh, "trained positions are those that the model would have resized itself"
    if fresh:
        assert position.weight.std() > 0.015, "drawn anew, not shrunk"


def test_lora_trains_adapters_and_head_alone(folder):
    images = split(inspect(str(folder)), 0.2, 0)
    model = adapt(MODEL.build(), images, AdaptConfig(method="lora", image_size=8, resize="squash"))
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    assert trained and all(".a." in name or ".b." in name or name.startswith("head") for name in trained)
    assert any("head" in name for name in trained)


def test_lora_on_a_wrapped_model_is_refused_in_a_sentence(folder):
    from multimodal.hub import load

    images = split(inspect(str(folder)), 0.2, 0)
    with pytest.raises(ArgumentError, match="wrapped timm model"):
        adapt(load("timm:test_convnext", pretrained=False, dtype="fp32"), images, AdaptConfig(method="lora"))


def test_nearest_mean_by_hand():
    torch.manual_seed(0)
    x, y, queries = torch.randn(30, 5), torch.arange(30) % 3, torch.randn(7, 5)
    center = x.mean(0)
    unit = lambda v: v / v.norm()  # noqa: E731
    means = [unit(torch.stack([unit(x[i] - center) for i in range(30) if y[i] == c]).mean(0)) for c in range(3)]
    by_hand = [max(range(3), key=lambda c: float(unit(q - center) @ means[c])) for q in queries]
    assert nearest_mean(x, y, queries, 3).tolist() == by_hand

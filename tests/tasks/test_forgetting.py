"""The guard against forgetting: interpolated weights, the choice among them, and a training that would forget."""

import lightning.pytorch as pl
import pytest
import torch
from tiny_dual_encoders import CAPTIONS, built, pictures
from torch.utils.data import DataLoader

from multimodal.backbone.lora import LoraConfig
from multimodal.data.pairs.batches import caption_number
from multimodal.errors import ArgumentError
from multimodal.tasks.contrastive import ContrastiveConfig, ContrastiveTask
from multimodal.tasks.forgetting import ForgettingGuard, between, chosen
from multimodal.tasks.optimizer import OptimizerConfig


def test_between_is_a_straight_line_that_ends_exactly():
    before = {"w": torch.tensor([0.1, 2.0]), "n": torch.tensor(3)}
    after = {"w": torch.tensor([0.3, -2.0]), "n": torch.tensor(5)}
    assert torch.equal(between(before, after, 0.0)["w"], before["w"])
    assert torch.equal(between(before, after, 1.0)["w"], after["w"])
    torch.testing.assert_close(between(before, after, 0.25)["w"], torch.tensor([0.15, 1.0]))
    assert between(before, after, 0.5)["n"] == 5


def point(part, kept, learned):
    return {"part": part, "kept": kept, "learned": learned}


def test_the_best_point_that_keeps_enough_is_chosen():
    points = [point(0.0, 0.80, 0.3), point(0.5, 0.79, 0.6), point(0.7, 0.79, 0.6), point(1.0, 0.5, 0.9)]
    assert chosen(points, 0.01)["part"] == 0.7
    assert chosen(points, 0.0)["part"] == 0.0, "before training nothing is forgotten"
    assert chosen(points, 0.5)["part"] == 1.0


def training_batch(model):
    rows = model.tokenizer.batch(list(CAPTIONS))
    numbers = torch.tensor([caption_number(caption) for caption in CAPTIONS])
    places = torch.arange(len(CAPTIONS))
    shared = {"pixels": pictures(len(CAPTIONS)), "ids": rows.ids, "keep": rows.keep, "caption": numbers, "failed": []}
    return {**shared, "index": places}, {**shared, "image": places, "owner": places}


@pytest.mark.parametrize(
    ("lora", "limit"), [(None, 0.05), (LoraConfig(rank=2, alpha=8.0, targets=("q", "v", "up")), 0.005)]
)
def test_what_would_be_forgotten_is_kept(tmp_path, lora, limit):
    """The score is how near the first picture's vector stays to what it was; training moves it far away."""
    model = built()
    first = model.embed_pixels(pictures(1))

    def near(now):
        return float((now.embed_pixels(pictures(1)) * first).sum())

    guard = ForgettingGuard(model, near, max_forget=limit)
    torch.manual_seed(0)  # of the adapters
    training = ContrastiveConfig(lora=lora)
    task = ContrastiveTask(model, training=training, optimizer=OptimizerConfig(lr=0.02, warmup=0.0), callbacks=[guard])
    train, val = training_batch(model)
    trainer = pl.Trainer(
        max_epochs=20,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        default_root_dir=tmp_path,
    )
    trainer.fit(task, DataLoader([train], batch_size=None), DataLoader([val], batch_size=None))  # pyright: ignore
    assert guard.kept_before == pytest.approx(1.0, abs=1e-5)
    assert guard.points[-1]["kept"] < 1 - 2 * limit, "training alone forgets"
    best = chosen(guard.points, limit)
    assert best["kept"] >= 1 - limit and near(model) == pytest.approx(best["kept"], abs=1e-5)
    assert set(model.state_dict()) == set(built().state_dict()), "a plain model is left"
    assert trainer.callback_metrics["keep"].item() == pytest.approx(best["kept"])
    assert max(point["learned"] for point in guard.points) > guard.points[0]["learned"], "training alone learns"
    assert "val_forgot" in trainer.callback_metrics


def test_wrong_limits_are_refused():
    with pytest.raises(ArgumentError, match="max_forget"):
        ForgettingGuard(built(), lambda model: 0.0, max_forget=1.5)
    with pytest.raises(ArgumentError, match="steps"):
        ForgettingGuard(built(), lambda model: 0.0, steps=0)

"""Where training of a model that sees starts, and the part that it leaves behind."""

from __future__ import annotations

import shutil

import pytest
import tiny_models
import tiny_text_models
import torch
from lightning.pytorch import Trainer
from tiny_vision_language import picture
from torch.utils.data import DataLoader

from multimodal.backbone.lora import LoraConfig
from multimodal.checkpoint import save
from multimodal.errors import ArgumentError
from multimodal.finetuning.vision_language_start import PART, aligned, joined
from multimodal.hub import load
from multimodal.losses import IGNORE
from multimodal.models.chat.views import Views
from multimodal.tasks.optimizer import OptimizerConfig
from multimodal.tasks.vision_language import VisionLanguageTask, VisionLanguageTrainingConfig


@pytest.fixture
def bases(tmp_path):
    """An image classifier and a language model as folders."""
    return save(tiny_models.vit(), tmp_path / "vit"), save(tiny_text_models.gpt(max_length=64), tmp_path / "gpt")


def trained(model, part, folder, **training):
    seen = model.reader.read(picture())
    ids = torch.tensor([[model.config.placeholder] * seen.tokens + [5, 6, 7]])
    targets = torch.tensor([[IGNORE] * seen.tokens + [6, 7, 0]])
    batch = {"ids": ids, "targets": targets, "keep": torch.ones_like(ids).bool(), "views": Views.of([seen])}
    config = VisionLanguageTrainingConfig(**training)
    fast = OptimizerConfig(lr=1e-2, warmup=0.0)
    task = VisionLanguageTask(model, training=config, optimizer=fast, callbacks=(part,))
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    trainer = Trainer(max_steps=2, accelerator="cpu", default_root_dir=folder, enable_model_summary=False, **quiet)
    trainer.fit(task, DataLoader([{**batch, "failed": []}] * 2, batch_size=None))
    return task.model.eval()


def same(one, other):
    ours, theirs = one.state_dict(), other.state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in ours.items())


def test_a_projector_is_left_behind_and_becomes_the_whole_model_again(bases, tmp_path):
    model, part = joined(*bases, seed=0, layers=(-1,))
    whole = trained(model, part, tmp_path / "run", train="projector")
    same(load(tmp_path / "run" / PART, dtype="float32"), whole)
    assert not (tmp_path / "run" / PART / "model.safetensors").exists()


def test_images_of_other_proportions_may_be_read_as_they_are(bases, tmp_path):
    usual, _ = joined(*bases, seed=0, layers=(-1,))
    height, width = usual.config.transform.size
    model, part = joined(*bases, seed=0, layers=(-1,), image_size=(height, 2 * width), resize="squash")
    assert (model.config.transform.size, model.config.transform.resize) == ((height, 2 * width), "squash")
    assert model.config.transform.mean == usual.config.transform.mean
    assert model.reader.read(picture()).tokens == 2 * usual.reader.length
    whole = trained(model, part, tmp_path / "run", train="projector")
    again = load(tmp_path / "run" / PART, dtype="float32")
    same(again, whole)
    assert again.config.transform == model.config.transform


def test_adapters_are_left_behind_before_they_become_part_of_the_weights(bases, tmp_path):
    first, _ = joined(*bases, seed=0, layers=(-1,))
    model, part = aligned(save(first, tmp_path / "first"))
    lora = LoraConfig(rank=2, targets=("q", "v"))
    whole = trained(model, part, tmp_path / "run", train="language", lora=lora)
    again = load(tmp_path / "run" / PART, dtype="float32")
    ids = torch.tensor([[5, 6, 7]])
    torch.testing.assert_close(again(ids), whole(ids), atol=1e-5, rtol=1e-5)
    assert not torch.equal(again(ids), first(ids))


def test_weights_that_are_all_trained_leave_no_part(bases, tmp_path):
    model, part = joined(*bases, seed=0, layers=(-1,))
    trained(model, part, tmp_path / "run", train="language")
    assert not (tmp_path / "run" / PART).exists()


def test_a_base_that_is_gone_does_not_end_the_training(bases, tmp_path, capsys):
    model, part = joined(*bases, seed=0, layers=(-1,))
    shutil.rmtree(bases[1])
    trained(model, part, tmp_path / "run", train="projector")
    assert "What was trained is not saved apart from the whole model" in capsys.readouterr().err


def test_models_of_another_kind_are_refused(bases):
    vit, gpt = bases
    with pytest.raises(ArgumentError, match="this recipe trains a LanguageModel"):
        joined(vit, vit, seed=0)
    with pytest.raises(ArgumentError, match="cannot be joined: encoder is a LanguageModel"):
        joined(gpt, gpt, seed=0)
    with pytest.raises(ArgumentError, match="this recipe trains a VisionLanguageModel"):
        aligned(gpt)

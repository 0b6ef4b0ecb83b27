"""Parts of spectrograms hidden in training: of classifiers and of dual encoders, and refused for images."""

from __future__ import annotations

import pytest
import torch
from tiny_models import vit
from tiny_sounds import classifier, dual_encoder

from multimodal.errors import ArgumentError
from multimodal.tasks.classification import ClassificationTask, ObjectiveConfig
from multimodal.tasks.contrastive import ContrastiveConfig, ContrastiveTask
from multimodal.tasks.mixing import MixConfig
from multimodal.tasks.spec_augment import SpecAugmentConfig

ALL = SpecAugmentConfig(bands=1, band=1.0, stretches=40, stretch=1.0)  # nearly everything
NOTHING = SpecAugmentConfig(bands=0, stretches=0)


def batch(model, count=4):
    mel = torch.randn(count, 1, 24, 50, generator=torch.Generator().manual_seed(0))
    return {"pixels": mel, "target": torch.arange(count) % 3, "index": torch.arange(count), "failed": []}


def loss(hide, seed=0):
    task = ClassificationTask(classifier(), objective=ObjectiveConfig(hide=hide))
    torch.manual_seed(seed)
    return task.training_step(batch(task.model), 0)


def test_a_classifier_is_trained_on_what_is_left():
    assert torch.equal(loss(None), loss(NOTHING))
    assert not torch.equal(loss(None), loss(ALL)) and torch.equal(loss(ALL, 3), loss(ALL, 3))


def test_hiding_comes_after_mixing():
    task = ClassificationTask(
        classifier(), objective=ObjectiveConfig(mix=MixConfig(mixup=0.4, cutmix=0.4), hide=SpecAugmentConfig())
    )
    seen = []
    task.model.register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0]))
    for seed in range(6):
        torch.manual_seed(seed)
        task.training_step(batch(task.model), 0)
    columns = torch.cat(seen)[:, 0]
    assert (columns == 0).all(1).any() and (columns == 0).all(2).any(), "whole frames and whole channels are 0"


def test_a_dual_encoder_is_trained_on_what_is_left():
    def found(hide):
        model = dual_encoder()
        task = ContrastiveTask(model, training=ContrastiveConfig(hide=hide))
        torch.manual_seed(1)
        ids = torch.randint(4, 20, (4, 6), generator=torch.Generator().manual_seed(0))
        more = {"ids": ids, "keep": torch.ones(4, 6, dtype=torch.bool), "caption": torch.arange(4)}
        return task.training_step({**batch(model), **more}, 0)

    assert torch.equal(found(None), found(NOTHING)) and not torch.equal(found(None), found(ALL))


def test_it_is_for_spectrograms_alone():
    task = ClassificationTask(vit(), objective=ObjectiveConfig(hide=SpecAugmentConfig()))
    pixels = torch.zeros(2, 3, 32, 32, dtype=torch.uint8)
    with pytest.raises(ArgumentError, match="hide is set, which hides parts of spectrograms"):
        task.training_step({"pixels": pixels, "target": torch.tensor([0, 1]), "failed": []}, 0)
    with pytest.raises(ArgumentError, match="hide and locked='image' exclude each other"):
        ContrastiveConfig(hide=SpecAugmentConfig(), locked="image")

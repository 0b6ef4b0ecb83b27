"""The classification task: its loss against the definition, what is trained, its metrics."""

import pytest
import torch
from torch.nn import functional as F

from multimodal.backbone.attention import AttentionConfig
from multimodal.backbone.backbone import BackboneConfig
from multimodal.backbone.block import BlockConfig
from multimodal.backbone.mlp import MlpConfig
from multimodal.backbone.pool import ClassPoolConfig
from multimodal.models.classifier import ClassifierConfig
from multimodal.models.image_encoder import ImageEncoderConfig
from multimodal.tasks.classification import ClassificationTask, ObjectiveConfig
from multimodal.tasks.mixing import MixConfig
from multimodal.tokenizers.image import ImageTokenizerConfig
from multimodal.tokenizers.image_transform import ImageTransformConfig


def classifier(**options):
    block = BlockConfig(attention=AttentionConfig(heads=2), mlp=MlpConfig(hidden=16))
    encoder = ImageEncoderConfig(
        tokenizer=ImageTokenizerConfig(size=(8, 8), patch=(4, 4)),
        backbone=BackboneConfig(dim=8, depth=2, block=block),
        pool=ClassPoolConfig(),
    )
    torch.manual_seed(0)
    return ClassifierConfig(encoder=encoder, classes=4, transform=ImageTransformConfig(size=(8, 8)), **options).build()


def batch():
    torch.manual_seed(1)
    return {
        "pixels": torch.randint(0, 256, (5, 3, 8, 8), dtype=torch.uint8),
        "target": torch.tensor([0, 1, 2, 3, 1]),
        "index": torch.arange(5),
        "failed": [],
    }


def test_smoothed_weighted_cross_entropy_by_hand():
    objective = ObjectiveConfig(smoothing=0.1, class_weights=(1.0, 2.0, 0.5, 1.0))
    task = ClassificationTask(classifier(), objective=objective)
    data = batch()
    loss = task.training_step(data, 0)
    weights = torch.tensor([1.0, 2.0, 0.5, 1.0])
    logits = task.model(data["pixels"])
    target = F.one_hot(data["target"], 4) * 0.9 + 0.1 / 4
    by_hand = -(target * weights * logits.log_softmax(-1)).sum() / (target @ weights).sum()
    assert loss.item() == pytest.approx(by_hand.item(), rel=1e-5)


def test_plain_loss_is_cross_entropy():
    task = ClassificationTask(classifier())
    data = batch()
    expected = F.cross_entropy(task.model(data["pixels"]), data["target"])
    assert task.training_step(data, 0).item() == pytest.approx(expected.item(), rel=1e-5)


def test_several_labels_are_independent_questions():
    task = ClassificationTask(classifier(output="sigmoid"))
    data = batch()
    data["target"] = torch.tensor([[0, 1, 1, 0]] * 5).float()
    logits = task.model(data["pixels"])
    by_hand = -(data["target"] * logits.sigmoid().log() + (1 - data["target"]) * (-logits).sigmoid().log()).mean()
    assert task.training_step(data, 0).item() == pytest.approx(by_hand.item(), rel=1e-5)


def test_a_linear_probe_leaves_the_encoder_alone():
    task = ClassificationTask(classifier(), train_encoder=False)
    task.training_step(batch(), 0).backward()
    assert all(p.grad is None and not p.requires_grad for p in task.model.encoder.parameters())
    assert all(p.grad is not None for p in task.model.head.parameters())
    assert task.stages() == [list(task.model.head.parameters())]


def test_every_parameter_is_in_one_stage_and_tokens_do_not_decay():
    task = ClassificationTask(classifier())
    staged = [id(p) for stage in task.stages() for p in stage]
    assert sorted(staged) == sorted(id(p) for p in task.model.parameters())
    undecayed = {id(p) for p in task.undecayed()}
    tokenizer = task.model.encoder.tokenizer
    assert id(tokenizer.prefix) in undecayed and id(tokenizer.position.weight) in undecayed
    assert id(tokenizer.patches.weight) not in undecayed


def test_mixing_uses_the_seeded_state():
    task = ClassificationTask(classifier(), objective=ObjectiveConfig(mix=MixConfig(mixup=1.0)))
    losses, data = [], batch()
    for seed in (3, 3, 4):
        torch.manual_seed(seed)
        losses.append(task.training_step(data, 0).item())
    assert losses[0] == losses[1] != losses[2]


def test_unreadable_images_are_remembered_by_name():
    task = ClassificationTask(classifier())
    task.training_step({**batch(), "failed": ["cat.jpg: cut short"]}, 0)
    assert task.failed == {"cat.jpg: cut short"}

"""A classifier on a language model's blocks: the same blocks under the same mask, and what of them may learn."""

from __future__ import annotations

import pytest
import torch
from tiny_text_models import gpt
from torch.nn import functional as F

import multimodal as mm
from multimodal.errors import ArgumentError
from multimodal.finetuning.frozen_start import freeze_blocks, on_blocks_of
from multimodal.presets import llama
from multimodal.tasks.classification import ClassificationTask
from multimodal.tasks.optimizer import OptimizerConfig, adamw, parameter_groups
from multimodal.tokenizers.audio_features import FbankConfig
from multimodal.tokenizers.audio_transform import AudioTransformConfig
from multimodal.tokenizers.image_transform import ImageTransformConfig
from multimodal.tokenizers.patch_drop import drop_patches
from multimodal.tokenizers.tokens import Tokens

IMAGES = ImageTransformConfig(size=(8, 8), resize="squash")


def model_of(language, transform=IMAGES, patch=(2, 4)):
    return on_blocks_of(language, ["ant", "bee", "cat"], transform, patch).eval()


@pytest.mark.parametrize("design", ["learned positions", "rotary"])
def test_the_patches_go_through_the_language_model_as_words_do(design):
    language = gpt() if design == "learned positions" else rotary()
    model, x = model_of(language), torch.randn(2, 3, 8, 8)
    patches = model.encoder.tokenizer(x).x
    assert patches.shape[1] == 8
    hidden = language.eval().mix(Tokens(x=patches, runs=((8, True),)))
    torch.testing.assert_close(model(x), model.head(hidden[:, -1]))


def rotary():
    return llama(50, length=16, dim=16, depth=2, heads=2).build()


def test_a_patch_sees_only_those_before_it():
    encoder, x = model_of(gpt()).encoder, torch.randn(1, 3, 8, 8)
    changed = x.clone()
    changed[..., 6:, 4:] += 1.0  # of the last patch
    before, after = encoder.tokens(x).x, encoder.tokens(changed).x
    torch.testing.assert_close(after[:, :-1], before[:, :-1])
    assert not torch.allclose(after[:, -1], before[:, -1])
    assert drop_patches(encoder.tokenizer(x), 0.5).runs == ((4, True),)


def test_training_leaves_the_blocks_bit_identical():
    language = gpt()
    before = {name: tensor.clone() for name, tensor in language.backbone.state_dict().items()}
    model = model_of(language)
    freeze_blocks(model)
    task = ClassificationTask(model, optimizer=OptimizerConfig(lr=0.1, weight_decay=0.5))
    groups = parameter_groups(task.stages(), task.optimizer_config, undecayed=task.undecayed())
    optimizer = adamw(groups, task.optimizer_config)
    start = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    for _ in range(3):
        loss = F.cross_entropy(model.train()(torch.randn(6, 3, 8, 8)), torch.arange(6) % 3)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    after = model.state_dict()
    still = {name for name in after if torch.equal(after[name], start[name])}
    frozen = {name for name in after if ".blocks." in name and "norm" not in name}
    assert frozen and still == frozen, "norms, input and output learn, and nothing else"
    for name in frozen:
        own = name.removeprefix("encoder.backbone.")
        assert torch.equal(after[name], before[own])
    assert all(torch.equal(tensor, before[name]) for name, tensor in language.backbone.state_dict().items())


def test_it_hears_and_lives_in_a_folder(tmp_path):
    transform = AudioTransformConfig(features=FbankConfig(mels=16), seconds=0.2, mean=-4.0, std=4.0)
    model = model_of(gpt(), transform, (16, 4))
    loaded = mm.load(mm.save(model, tmp_path / "model"), device="cpu", dtype="float32")
    sound = torch.randn(3200).numpy()
    assert loaded.config == model.config and loaded.predict(sound)[0].labels == model.predict(sound)[0].labels


@pytest.mark.parametrize("method", ["gradient", "rollout"])
def test_it_can_be_explained(method):
    image = torch.randint(256, (8, 8, 3), dtype=torch.uint8).numpy()
    assert model_of(gpt()).explain(image, method=method).grid.shape == (4, 2)


def test_a_patch_larger_than_the_input_is_refused():
    with pytest.raises(ArgumentError, match=r"patch is \(2, 9\), larger than the 8 x 8 of the input"):
        model_of(gpt(), patch=(2, 9))

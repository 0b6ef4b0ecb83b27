"""timm models that the shared backbone cannot express, wrapped; and what every timm model brings along."""

from __future__ import annotations

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from timm.data import create_transform, resolve_model_data_config
from timm.models import get_pretrained_cfg
from timm_pairs import assert_equal_outputs, assert_same_tensors, convert, randomize
from torch import nn

from multimodal.errors import ArgumentError
from multimodal.finetuning.adapt import with_head
from multimodal.hub import export_timm
from multimodal.hub.timm_convert import find_labels, find_transform, read_timm
from multimodal.models.image_encoder import TimmEncoderConfig

WRAPPED = ["test_convnext", "test_resnet", "test_efficientnet", "test_nfnet", "test_mambaout", "test_byobnet"]


@pytest.mark.parametrize("name", WRAPPED)
def test_wrapped_model_computes_the_same(name: str) -> None:
    model = randomize(timm.create_model(name, num_classes=5))
    classifier = convert(model, name, {})
    assert isinstance(classifier.config.encoder, TimmEncoderConfig)
    assert_equal_outputs(model, classifier, classifier.transform.config.size)
    assert_same_tensors(export_timm(classifier), model.state_dict())


def test_wrapped_model_with_a_convolution_as_its_head() -> None:
    model = randomize(timm.create_model("resnetv2_18", num_classes=5))
    assert isinstance(model.get_classifier(), nn.Conv2d)
    classifier = convert(model, "resnetv2_18", {})
    assert_equal_outputs(model, classifier, (64, 64))
    assert_same_tensors(export_timm(classifier), model.state_dict())


def test_wrapped_model_whose_head_is_no_linear_layer_gives_features() -> None:
    model = randomize(timm.create_model("levit_128s", num_classes=5))
    classifier = convert(model, "levit_128s", {})
    assert classifier.labels == ()
    headless = timm.create_model("levit_128s", num_classes=0).eval()
    headless.load_state_dict({name: model.state_dict()[name] for name in headless.state_dict()})
    assert_equal_outputs(headless, classifier, (224, 224))
    with pytest.raises(ArgumentError, match="no classes, only features"):
        classifier.predict([torch.zeros(8, 8, 3, dtype=torch.uint8).numpy()])
    assert with_head(classifier, ["a", "b"])(torch.zeros(1, 3, 224, 224)).shape == (1, 2)


def test_model_that_gives_no_vector_is_refused() -> None:
    with torch.device("meta"):
        model = timm.create_model("test_resnet", num_classes=0, global_pool="")
    with pytest.raises(ArgumentError, match="not one vector"):
        read_timm(model, "test_resnet", {"global_pool": ""})


@pytest.mark.parametrize(
    "name",
    [
        "vit_small_patch16_224.augreg_in21k",  # crop to 0.9, symmetric mean
        "eva02_base_patch14_448.mim_in22k_ft_in22k_in1k",  # squash
        "deepseek_vit_412m.deepseek_v4_1_flash",  # pad
        "resnet50.tv_in1k",  # bilinear, crop to 0.875
    ],
)
def test_transform_is_timms(name: str) -> None:
    model = nn.Module()
    model.pretrained_cfg = get_pretrained_cfg(name).to_dict()  # pyright: ignore
    theirs = create_transform(**resolve_model_data_config(model))
    ours = find_transform(model, None).build()
    photo = Image.fromarray(np.random.default_rng(0).integers(0, 256, (300, 411, 3), dtype=np.uint8))
    assert (ours.normalize(ours(photo)) - theirs(photo)).abs().max() < 1e-5


def test_labels_are_words_and_differ_from_each_other() -> None:
    model = nn.Module()
    model.pretrained_cfg = {}  # pyright: ignore
    imagenet = find_labels(model, 1000)
    assert imagenet is not None
    assert imagenet[0] == "tench, Tinca tinca"
    assert {"crane (n02012849)", "crane (n03126707)"} <= set(imagenet)
    assert len(set(imagenet)) == 1000
    assert len(set(find_labels(model, 21841) or [])) == 21841
    assert find_labels(model, 7) is None
    model.pretrained_cfg = {"label_names": ["n1", "n2"], "label_descriptions": {"n1": "cat"}}  # pyright: ignore
    assert find_labels(model, 2) == ["cat", "n2"]
    model.pretrained_cfg = {"label_names": {"0": "cat", "2": "dog"}}  # pyright: ignore
    assert find_labels(model, 3) == ["cat", "1", "dog"]

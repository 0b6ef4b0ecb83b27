"""Both image encoders: what they compute, their width, and their stages."""

from __future__ import annotations

import pytest
import timm
import torch
from tiny_models import KINDS, vit, wrapped

from multimodal.backbone.norm import LayerNormConfig
from multimodal.config import from_plain, to_plain
from multimodal.errors import ArgumentError
from multimodal.models.image_encoder import ImageEncoderConfig, TimmEncoderConfig


@pytest.mark.parametrize("kind", KINDS.keys())
def test_features_have_the_stated_width(kind):
    encoder = KINDS[kind]().encoder
    size = (160, 160) if kind == "tables" else (64, 64) if kind == "batch norm" else (32, 32)
    assert encoder(torch.randn(2, 3, *size)).shape == (2, encoder.width)


@pytest.mark.parametrize("kind", KINDS.keys())
def test_stages_hold_every_parameter_once(kind):
    encoder = KINDS[kind]().encoder
    stages = [parameter for stage in encoder.stages() for parameter in stage]
    assert len(stages) == len({id(p) for p in stages}), "no parameter twice"
    assert {id(p) for p in stages} == {id(p) for p in encoder.parameters()}, "none left out"


def test_stages_go_from_input_to_output():
    encoder = vit(depth=3).encoder
    stages = encoder.stages()
    assert len(stages) == 5, "tokenizer, three blocks, the rest"
    assert any(p is encoder.tokenizer.patches.weight for p in stages[0])
    for i, block in enumerate(encoder.backbone.blocks):
        assert {id(p) for p in stages[i + 1]} == {id(p) for p in block.parameters()}
    assert any(p is encoder.backbone.norm.weight for p in stages[4])
    foreign = wrapped().encoder
    first, last = foreign.stages()[0], [p for stage in foreign.stages()[-2:] for p in stage]
    assert any(p is foreign.model.conv1[0].weight for p in first)
    assert any(p is foreign.model.layer4[-1].conv1.weight for p in last)


def test_the_encoder_is_its_parts_in_a_row():
    config = vit().config.encoder
    normed = ImageEncoderConfig(**{**vars(config), "norm": LayerNormConfig()}).build().eval()
    x = torch.randn(2, 3, 32, 32)
    tokens = normed.tokenizer(x)
    y = normed.backbone(tokens.x, positions=tokens.positions)
    torch.testing.assert_close(normed(x), torch.nn.functional.layer_norm(y[:, 0], (16,), eps=1e-5))
    found = normed.tokens(x)
    torch.testing.assert_close(found.x, y)
    assert found.prefix == 1 and found.runs == ((17, False),)


@pytest.mark.parametrize("kind", ["class token", "mean, rotary", "mean, sinusoidal", "attention pool, grouped"])
@pytest.mark.parametrize("size", [(40, 24), (33, 50), (5, 5)])
def test_any_image_size(kind, size):
    model = KINDS[kind]()
    with torch.no_grad():
        assert torch.isfinite(model(torch.randn(1, 3, *size))).all()


def test_rows_of_a_batch_do_not_see_each_other():
    model, x = vit(), torch.randn(3, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(model(x)[1:2], model(x[1:2]))


def test_a_wrapped_model_is_timms_own():
    encoder = wrapped("test_resnet").encoder
    plain = timm.create_model("test_resnet", num_classes=0).eval()
    plain.load_state_dict(encoder.model.state_dict())
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(encoder(x), plain(x))


def test_arguments_reach_timm():
    config = TimmEncoderConfig(name="test_convnext", arguments=(("drop_path_rate", 0.3), ("in_chans", 1)))
    encoder = config.build().eval()
    assert encoder(torch.randn(1, 1, 64, 64)).shape == (1, encoder.width)
    assert from_plain(TimmEncoderConfig, to_plain(config)) == config


def test_a_config_names_an_architecture_and_nothing_else():
    with pytest.raises(ArgumentError, match=r"'test_resnt' is no model of timm\. Did you mean 'test_resnet'"):
        TimmEncoderConfig(name="test_resnt").build()
    for name in ("hf-hub:someone/model", "local-dir:somewhere"):
        with pytest.raises(ArgumentError, match="is no model of timm"):
            TimmEncoderConfig(name=name).build()
    for argument in ("checkpoint_path", "pretrained", "pretrained_cfg", "cache_dir"):
        with pytest.raises(ArgumentError, match=f"'{argument}' makes timm read a file"):
            TimmEncoderConfig(name="test_resnet", arguments=((argument, "x"),)).build()

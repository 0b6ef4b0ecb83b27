"""Merging, unmerging, detaching and the names of the plain model; attaching and training are in `test_lora.py`."""

import copy

import pytest
import torch
from torch import Tensor, nn

from multimodal.backbone.attention import AttentionConfig
from multimodal.backbone.backbone import Backbone, BackboneConfig
from multimodal.backbone.block import BlockConfig
from multimodal.backbone.lora import LoraConfig, adapters, attach, detach, merge, merged_state_dict, unmerge
from multimodal.backbone.mlp import MlpConfig

CONFIG = LoraConfig(rank=3, alpha=6.0, targets=("q", "v", "mlp.up"))


def backbone(**options) -> Backbone:
    torch.manual_seed(0)
    block = BlockConfig(attention=AttentionConfig(heads=2), mlp=MlpConfig(hidden=24))
    return BackboneConfig(dim=12, depth=2, block=block, **options).build().eval()


def adapted(config: LoraConfig = CONFIG, **options) -> Backbone:
    """A backbone whose adapters have learned something."""
    model = backbone(**options)
    attach(model, config)
    for layer in adapters(model).values():
        nn.init.normal_(layer.b.weight)
    return model


def tokens(**options) -> Tensor:
    return torch.randn(2, 5, 12, generator=torch.Generator().manual_seed(1)).to(**options)


def largest_gap(a: Tensor, b: Tensor) -> float:
    return (a - b).abs().max().item()


def test_merging_keeps_the_output_and_unmerging_is_exact():
    model, x = adapted(), tokens()
    before, state = model(x), {name: value.clone() for name, value in model.state_dict().items()}
    merge(model)
    assert largest_gap(model(x), before) < 1e-6 * before.abs().max().item()
    with torch.no_grad():
        model.blocks[0].attention.q.b.weight.mul_(100)  # a merged layer does not look at its factors
    assert largest_gap(model(x), before) < 1e-6 * before.abs().max().item()
    model.load_state_dict(state)
    merge(model)
    assert model.state_dict().keys() == state.keys()
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    unmerge(model)
    assert torch.equal(model(x), before)


@pytest.mark.parametrize("change", [lambda m: m.train(), lambda m: m.load_state_dict(m.state_dict())])
def test_what_changes_the_factors_unmerges(change):
    model = adapted()
    merge(model)
    change(model)
    assert all(layer.merged is None for layer in adapters(model).values())


def test_detaching_gives_the_plain_model_with_or_without_the_update():
    x = tokens()
    model = adapted()
    detach(model)
    assert torch.equal(model(x), backbone()(x))
    assert model.state_dict().keys() == backbone().state_dict().keys() and not adapters(model)
    model = adapted()
    expected = model(x)
    merge(model)
    detach(model)
    assert largest_gap(model(x), expected) < 1e-6 * expected.abs().max().item()
    attach(model, CONFIG)  # and it can be adapted again


@pytest.mark.parametrize("shared", [False, True])
def test_the_merged_state_dict_fits_the_plain_model(shared):
    model, plain, x = adapted(shared=shared), backbone(shared=shared), tokens()
    expected, names = model(x), model.state_dict().keys()
    state = merged_state_dict(model)
    assert list(state) == list(plain.state_dict())
    plain.load_state_dict(state)
    assert largest_gap(plain(x), expected) < 1e-6 * expected.abs().max().item()
    assert torch.equal(model(x), expected) and model.state_dict().keys() == names
    assert all(torch.equal(value, state[name]) for name, value in merged_state_dict(plain).items())


def test_a_shared_block_is_named_under_all_its_names_in_the_merged_state_dict():
    block = nn.Sequential(nn.Linear(3, 3))
    model = nn.ModuleList([block, block])
    plain = list(model.state_dict())
    assert attach(model, LoraConfig(targets=("0.0",))) == ["0.0"]
    assert list(merged_state_dict(model)) == plain


def test_merging_inside_autocast_sums_in_float32():
    layer = adapted().blocks[0].attention.q
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = layer.merged_weight()
    assert torch.equal(inside, layer.merged_weight())


def test_copies_are_independent():
    model, x = adapted(), tokens()
    merge(model)
    twin = copy.deepcopy(model)
    expected = model(x)
    for layer in adapters(model).values():
        nn.init.zeros_(layer.b.weight)
    unmerge(model)
    assert torch.equal(twin(x), expected) and not torch.equal(model(x), expected)
    unmerge(twin)
    assert largest_gap(twin(x), expected) < 1e-6 * expected.abs().max().item()

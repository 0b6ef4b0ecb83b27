import copy
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from multimodal.backbone.attention import AttentionConfig
from multimodal.backbone.backbone import Backbone, BackboneConfig
from multimodal.backbone.block import BlockConfig
from multimodal.backbone.lora import LoraConfig, adapters, attach, merge, unmerge
from multimodal.backbone.mask import Mask
from multimodal.backbone.mlp import MlpConfig
from multimodal.errors import ArgumentError

CONFIG = LoraConfig(rank=3, alpha=6.0, targets=("q", "v", "mlp.up"))
NAMES = [f"blocks.{i}.{layer}" for i in (0, 1) for layer in ("attention.q", "attention.v", "mlp.up")]


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


@pytest.mark.parametrize(("stabilized", "scale"), [(False, 6 / 4), (True, 6 / 2)])
def test_the_definition(stabilized, scale):
    base = nn.Linear(5, 7)
    layer = LoraConfig(rank=4, alpha=6.0, rank_stabilized=stabilized).build(base)
    nn.init.normal_(layer.b.weight)
    x = torch.randn(3, 2, 5)
    expected = torch.empty(3, 2, 7)
    for i in range(3):
        for j in range(2):
            expected[i, j] = base.weight @ x[i, j] + base.bias + scale * (layer.b.weight @ (layer.a.weight @ x[i, j]))
    assert layer.a.weight.shape == (4, 5) and layer.b.weight.shape == (7, 4)
    assert not hasattr(layer, "weight")  # code that multiplied by it would miss the update
    assert largest_gap(layer(x), expected) < 1e-5


def test_attaching_changes_no_output_and_names_the_layers():
    model, x = backbone(), tokens()
    before = model(x)
    assert attach(model, CONFIG) == NAMES == list(adapters(model))
    assert torch.equal(model(x), before)
    assert all(layer.a.weight.abs().max() > 0 for layer in adapters(model).values())  # else nothing could be learned
    assert not any(module.training for module in model.modules())


def test_a_longer_target_means_fewer_layers():
    assert attach(backbone(), LoraConfig(targets=("0.attention.q",))) == ["blocks.0.attention.q"]
    assert attach(nn.ModuleDict({"q": nn.Linear(2, 2), "seq": nn.Linear(2, 2)}), LoraConfig(targets=("q",))) == ["q"]


def test_training_moves_the_adapters_only():
    model, x = backbone().train(), tokens()
    attach(model, CONFIG)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    trainable = [p for p in model.parameters() if p.requires_grad]
    for _ in range(2):  # at the first step A has no gradient yet, since B is zero
        (model(x) * x.flip(1)).sum().backward()
        for parameter in trainable:
            parameter.data -= parameter.grad
            parameter.grad = None
    moved = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert moved == {f"{name}.{factor}.weight" for name in NAMES for factor in "ab"}
    assert all(p.grad is None for p in model.parameters() if not p.requires_grad)


def test_gradients_are_those_of_the_sum_of_weights():
    layer = LoraConfig(rank=2, alpha=3.0).build(nn.Linear(4, 3).double())
    nn.init.normal_(layer.b.weight)
    assert layer.a.weight.dtype == torch.float64
    a, b = (factor.weight.detach().clone().requires_grad_() for factor in (layer.a, layer.b))
    x = torch.randn(6, 4, dtype=torch.float64)
    layer(x).pow(2).sum().backward()
    F.linear(x, layer.base.weight + 1.5 * b @ a, layer.base.bias).pow(2).sum().backward()
    assert largest_gap(layer.a.weight.grad, a.grad) < 1e-12
    assert largest_gap(layer.b.weight.grad, b.grad) < 1e-12
    assert layer.base.weight.grad is None and layer.base.bias.grad is None


def test_bfloat16_models_keep_float32_factors():
    model, x = backbone().bfloat16(), tokens(dtype=torch.bfloat16)
    before = model(x)
    attach(model, CONFIG)
    assert torch.equal(model(x), before) and model(x).dtype == torch.bfloat16
    assert {p.dtype for p in model.parameters() if p.requires_grad} == {torch.float32}
    for layer in adapters(model).values():
        nn.init.normal_(layer.b.weight)
    exact = copy.deepcopy(model).float()(x.float())
    assert largest_gap(model(x).float(), exact) < 0.05 * exact.abs().max().item()
    separate = model(x)
    merge(model)
    assert model.blocks[0].attention.q.merged.dtype == torch.bfloat16
    assert largest_gap(model(x).float(), exact) < 0.05 * exact.abs().max().item()
    unmerge(model)
    assert torch.equal(model(x), separate)


def test_a_cache_has_the_dtype_of_the_model_and_gives_the_same_tokens():
    model, x, causal = backbone().bfloat16(), tokens(dtype=torch.bfloat16), Mask(causal=True)
    attach(model, CONFIG)
    cache = model.new_cache(2, 5)
    chunks = [model(part, mask=causal, cache=cache) for part in x.split(2, dim=1)]
    assert cache.layers[0].k.dtype == torch.bfloat16
    assert largest_gap(torch.cat(chunks, 1).float(), model(x, mask=causal).float()) < 0.05


def test_dropout_acts_on_the_update_while_training_only():
    model, x = adapted(LoraConfig(rank=3, dropout=0.5)), tokens()
    assert torch.equal(model(x), model(x))
    model.train()
    torch.manual_seed(0)
    assert not torch.equal(model(x), model(x))
    layer = LoraConfig(dropout=0.999999).build(nn.Linear(4, 4)).train()
    nn.init.normal_(layer.b.weight)
    assert torch.equal(layer(x[..., :4]), layer.base(x[..., :4]))  # the base path has no dropout


def test_an_unknown_target_is_refused_with_the_nearest_name():
    model = backbone()
    with pytest.raises(ArgumentError, match=r"target 'qq' names no linear layer \(down, k, out, q, up, v\)"):
        attach(model, LoraConfig(targets=("v", "qq")))
    with pytest.raises(ArgumentError, match=r"Did you mean 'attention\.out'"):
        attach(model, LoraConfig(targets=("attention.ou",)))
    with pytest.raises(ArgumentError, match="'norm' names no linear layer"):
        attach(model, LoraConfig(targets=("norm",)))
    assert not adapters(model) and all(p.requires_grad for p in model.parameters())


def test_a_second_adapter_is_refused():
    with pytest.raises(ArgumentError, match="adapters already"):
        attach(adapted(), CONFIG)


def test_layers_that_would_be_bypassed_are_refused():
    with pytest.raises(ArgumentError, match=r"'attention\.out_proj' is a NonDynamicallyQuantizableLinear"):
        attach(nn.ModuleDict({"attention": nn.MultiheadAttention(4, 2)}), LoraConfig(targets=("out_proj",)))
    tied = nn.ModuleDict({"embed": nn.Embedding(5, 4), "head": nn.Linear(4, 5, bias=False)})
    tied["head"].weight = tied["embed"].weight
    with pytest.raises(ArgumentError, match="'head' shares its weight"):
        attach(tied, LoraConfig(targets=("head",)))
    one = nn.Linear(4, 4)
    with pytest.raises(ArgumentError, match="'first' shares its weight"):
        attach(nn.ModuleDict({"first": one, "second": one}), LoraConfig(targets=("first",)))


@pytest.mark.parametrize(
    "fields",
    [{"rank": 0}, {"alpha": 0.0}, {"alpha": float("nan")}, {"dropout": 1.0}, {"targets": ()}, {"targets": ("",)}],
)
def test_values_out_of_range_are_refused(fields):
    with pytest.raises(ArgumentError, match=f"^{next(iter(fields))} is "):
        LoraConfig(**fields)


UNCHECKED = """
import torch
from test_lora import adapted, tokens
from multimodal.backbone.lora import LoraConfig, adapters, merge, merged_state_dict
from multimodal.errors import ArgumentError

model, x = adapted(), tokens()
compiled = torch.compile(model, backend="eager", fullgraph=True)
assert torch.allclose(compiled(x), model(x), atol=1e-6)
compiled(x).sum().backward()
assert all(layer.a.weight.grad is not None for layer in adapters(compiled).values())
assert list(merged_state_dict(compiled)) == list(merged_state_dict(model))
expected = model(x)
merge(model)
assert torch.allclose(compiled(x), expected, atol=1e-5)

try:
    LoraConfig(targets="qv")  # would be read as ("q", "v")
except ArgumentError as error:
    assert "targets is 'qv'" in str(error)
else:
    raise AssertionError("a string was accepted as targets")
"""


def test_compilation_and_targets_without_the_type_checks():
    folder = Path(__file__).parent
    environment = {**os.environ, "JAXTYPING_DISABLE": "1", "OMP_NUM_THREADS": "1"}
    run = subprocess.run([sys.executable, "-c", UNCHECKED], env=environment, cwd=folder, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr

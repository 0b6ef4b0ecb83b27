"""What the stack itself does: shared layers, fresh weights, checkpointing, positions; variants are in the contract."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from multimodal.backbone.attention import AttentionConfig
from multimodal.backbone.backbone import Backbone, BackboneConfig
from multimodal.backbone.block import BlockConfig
from multimodal.backbone.mask import Mask
from multimodal.backbone.mlp import MlpConfig
from multimodal.backbone.rotary import RotaryConfig
from multimodal.errors import ArgumentError

B, T, D = 2, 8, 16
HEADS = AttentionConfig(heads=4)
BLOCK = BlockConfig(attention=HEADS, mlp=MlpConfig(hidden=24))
CROSS = replace(BLOCK, cross_attention=HEADS)
X = torch.randn(B, T, D, generator=torch.Generator().manual_seed(0))


def build(block: BlockConfig = BLOCK, **fields) -> Backbone:
    """A backbone in eval mode whose every parameter matters."""
    backbone = BackboneConfig(dim=D, depth=2, block=block, **fields).build().eval()
    with torch.no_grad():
        for parameter in backbone.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    return backbone


def same(found: Tensor, expected: Tensor) -> None:
    assert (found - expected).abs().max() <= 1e-5 * expected.abs().max()


def test_checkpointing_recomputes_in_the_backward_pass():
    backbone, calls = build().train(), []
    backbone.blocks[0].attention.register_forward_hook(lambda *_: calls.append(1))
    for checkpointing, expected in ((False, 1), (True, 2)):
        calls.clear()
        backbone.checkpointing = checkpointing
        backbone(X).sum().backward()
        assert len(calls) == expected


def test_shared_layers_are_one_set_of_weights():
    shared = build(shared=True)
    assert len(shared.blocks) == 1
    apart = build()
    weights = shared.state_dict()
    twice = {name.replace("blocks.0", "blocks.1"): value for name, value in weights.items()}
    apart.load_state_dict({**weights, **twice})
    same(shared(X), apart(X))


def test_fresh_weights():
    backbone = BackboneConfig(dim=64, depth=1, block=BlockConfig(attention=HEADS, mlp=MlpConfig(hidden=256))).build()
    for name, parameter in backbone.named_parameters():
        if "norm" in name:
            assert (parameter == (1.0 if name.endswith("weight") else 0.0)).all(), name
        elif name.endswith("bias"):
            assert (parameter == 0).all(), name
        else:  # a normal of deviation 0.02 that is cut at two deviations has deviation 0.0176
            assert parameter.abs().max() <= 0.04, name
            assert float(parameter.detach().std()) == pytest.approx(0.0176, rel=0.05), name


def test_context_and_cross_attention_go_together():
    with pytest.raises(ArgumentError, match="needs `context`"):
        build(block=CROSS)(X)
    with pytest.raises(ArgumentError, match="only such a backbone takes one"):
        build()(X, context=X)


def test_positions_are_counted_from_the_left_unless_given():
    backbone = build(position=RotaryConfig())
    counted = backbone(X)
    same(backbone(X, positions=torch.arange(T)[None, :, None]), counted)
    same(backbone(X, positions=torch.arange(T)[None, :, None] + 9), counted)  # only distances count
    assert not torch.allclose(backbone(X, positions=torch.arange(T)[None, :, None] * 2), counted, atol=1e-3)


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("rotary", [True, False])
@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_is_left_out_and_the_rest_is_the_same(causal, rotary, side, monkeypatch):
    """Outputs at real tokens, and all gradients, are those of the padded computation, by a mask that is drawn."""
    torch.manual_seed(0)
    config = BackboneConfig(
        dim=16,
        depth=2,
        block=BlockConfig(attention=AttentionConfig(heads=2), mlp=MlpConfig(hidden=32)),
        position=RotaryConfig() if rotary else None,
    )
    net, x = config.build(), torch.randn(3, 6, 16, requires_grad=True)
    keep = torch.arange(6) < torch.tensor([6, 2, 4])[:, None]
    keep = keep.flip(1) if side == "left" else keep
    results = []
    for packing in (True, False):
        if not packing:
            monkeypatch.setattr(type(net), "_leaves_out_padding", lambda *_: False)
        found = net(x, mask=Mask(causal=causal, keep=keep))[keep]
        gradients = torch.autograd.grad(found.square().sum(), [x, *net.parameters()])
        results.append([found, *gradients])
    for mine, expected in zip(*results, strict=True):
        assert torch.allclose(mine, expected, atol=1e-5)

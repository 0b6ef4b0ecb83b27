"""One block: the order of its steps, layer scale, dropout and drop path."""

import pytest
import torch

from multimodal.backbone.attention import AttentionConfig
from multimodal.backbone.backbone import BackboneConfig
from multimodal.backbone.block import Block, BlockConfig
from multimodal.backbone.mlp import MlpConfig
from multimodal.backbone.norm import RMSNormConfig

B, T, D = 2, 5, 12
X = torch.randn(B, T, D, generator=torch.Generator().manual_seed(0))
CONTEXT = torch.randn(B, 4, D, generator=torch.Generator().manual_seed(1))
ATTENTION, MLP = AttentionConfig(heads=3), MlpConfig(hidden=24)


def build(**fields) -> Block:
    """A block whose every parameter matters."""
    block = BlockConfig(attention=ATTENTION, mlp=MLP, **fields).build(D)
    for parameter in block.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return block


def test_pre_norm():
    block = build()
    x = X + block.attention(block.attention_branch.norm(X))
    torch.testing.assert_close(block(X), x + block.mlp(block.mlp_branch.norm(x)))


def test_post_norm():
    block = build(placement="post", norm=RMSNormConfig())
    x = block.attention_branch.norm(X + block.attention(X))
    torch.testing.assert_close(block(X), block.mlp_branch.norm(x + block.mlp(x)))


@pytest.mark.parametrize("placement", ["pre", "post"])
def test_cross_attention_stands_between(placement):
    block = build(placement=placement, cross_attention=ATTENTION)
    before = (lambda norm, x: norm(x)) if placement == "pre" else (lambda norm, x: x)
    after = (lambda norm, x: x) if placement == "pre" else (lambda norm, x: norm(x))
    first, second, third = block.attention_branch.norm, block.cross_branch.norm, block.mlp_branch.norm
    x = after(first, X + block.attention(before(first, X)))
    x = after(second, x + block.cross(before(second, x), context=CONTEXT))
    x = after(third, x + block.mlp(before(third, x)))
    torch.testing.assert_close(block(X, context=CONTEXT), x)


def test_layer_scale_weighs_each_channel_of_each_branch():
    block = build(layer_scale=1e-5, cross_attention=ATTENTION)
    x = X + block.attention_branch.scale * block.attention(block.attention_branch.norm(X))
    x = x + block.cross_branch.scale * block.cross(block.cross_branch.norm(x), context=CONTEXT)
    x = x + block.mlp_branch.scale * block.mlp(block.mlp_branch.norm(x))
    torch.testing.assert_close(block(X, context=CONTEXT), x)


def test_layer_scale_begins_at_its_value():
    block = BlockConfig(attention=ATTENTION, mlp=MLP, layer_scale=1e-5).build(D)
    assert torch.equal(block.mlp_branch.scale, torch.full((D,), 1e-5))


def test_dropout_only_while_training():
    block = build(dropout=0.5)
    assert not torch.equal(block(X), block(X))
    block.eval()
    assert torch.equal(block(X), block(X))


def test_drop_path_skips_whole_rows_and_keeps_the_expectation():
    """Each branch of each row is left out, or weighed by 1 / (1 - rate); on the average nothing changes."""
    rate, rows = 0.4, 4000
    branch = BlockConfig(attention=ATTENTION, mlp=MLP).build(D, drop_path=rate).mlp_branch
    x, y = torch.zeros(rows, T, D), torch.rand(rows, T, D) + 0.5
    torch.manual_seed(0)
    factor = branch.leave(x, y) / y  # b t d
    torch.testing.assert_close(factor, factor[:, :1, :1].expand_as(factor))
    kept = factor[:, 0, 0] > 0
    torch.testing.assert_close(factor[kept, 0, 0], torch.full((int(kept.sum()),), 1 / (1 - rate)))
    assert abs(kept.float().mean() - (1 - rate)) < 4 * (rate * (1 - rate) / rows) ** 0.5  # four deviations
    branch.eval()
    assert torch.equal(branch.leave(x, y), y)


def test_drop_path_grows_with_depth():
    block = BlockConfig(attention=ATTENTION, mlp=MLP, cross_attention=ATTENTION)

    def rates(**fields) -> list[tuple[float, ...]]:
        backbone = BackboneConfig(dim=D, block=block, drop_path=0.3, **fields).build()
        return [
            (b.attention_branch.drop_path, b.cross_branch.drop_path, b.mlp_branch.drop_path) for b in backbone.blocks
        ]

    for found, rate in zip(rates(depth=4), [0.0, 0.1, 0.2, 0.3], strict=True):
        assert found == pytest.approx((rate,) * 3)
    assert rates(depth=1) == [(0.0,) * 3]
    assert rates(depth=4, shared=True) == [(0.3,) * 3]

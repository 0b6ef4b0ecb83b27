"""A block that looks only at a context: the order of its steps, padding, and widths."""

from __future__ import annotations

import pytest
import torch

from multimodal.backbone.attention import AttentionConfig
from multimodal.backbone.cross_block import CrossBlock, CrossBlockConfig
from multimodal.backbone.mlp import GatedMlpConfig, MlpConfig
from multimodal.backbone.norm import RMSNormConfig

X = torch.randn(2, 5, 12, generator=torch.Generator().manual_seed(0))
CONTEXT = torch.randn(2, 7, 9, generator=torch.Generator().manual_seed(1))


def build(**fields) -> CrossBlock:
    """A block whose every parameter matters."""
    fields = {"mlp": MlpConfig(hidden=24), **fields}
    block = CrossBlockConfig(attention=AttentionConfig(heads=3), **fields).build(12, 9)
    for parameter in block.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return block


@pytest.mark.parametrize(
    "fields", [{}, {"residual": False}, {"norm": RMSNormConfig(), "mlp": GatedMlpConfig(hidden=8)}]
)
def test_it_reads_then_thinks(fields):
    block = build(**fields)
    found = block.attention(block.norm(X), context=block.context_norm(CONTEXT))
    x = X + found if fields.get("residual", True) else found
    torch.testing.assert_close(block(X, CONTEXT), x + block.mlp(block.mlp_norm(x)))


def test_padding_of_the_context_is_not_read():
    block, padded = build(), torch.cat([CONTEXT, torch.full((2, 3, 9), 1e3)], dim=1)
    keep = torch.arange(10).expand(2, -1) < 7
    torch.testing.assert_close(block(X, padded, keep=keep), block(X, CONTEXT))


def test_the_tokens_do_not_see_each_other():
    block = build()
    torch.testing.assert_close(block(X[:, :2], CONTEXT), block(X, CONTEXT)[:, :2])

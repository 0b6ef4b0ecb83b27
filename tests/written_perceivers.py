"""The parts of Perceivers written out, for the tests of all of them."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional as F

from multimodal.backbone.attention import AttentionConfig
from multimodal.backbone.block import BlockConfig
from multimodal.backbone.cross_block import CrossBlockConfig
from multimodal.backbone.mlp import MlpConfig

BLOCK = BlockConfig(attention=AttentionConfig(heads=4), mlp=MlpConfig(hidden=12))
READING = CrossBlockConfig(attention=AttentionConfig(heads=2), mlp=MlpConfig(hidden=10))


def randomized(model: nn.Module) -> nn.Module:
    """`model` with all numbers large enough to matter."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))
    return model.eval()


def norm(x, layer):
    deviation = (x.var(-1, unbiased=False, keepdim=True) + layer.eps).sqrt()
    return (x - x.mean(-1, keepdim=True)) / deviation * layer.weight + layer.bias


def attention(x, context, layer, seen=None):
    """Softmax attention, one row and one head after the other."""
    q, k, v = layer.q(x), layer.k(context), layer.v(context)
    width = q.shape[-1] // layer.heads
    rows = []
    for row in range(len(x)):
        kept = slice(None) if seen is None else seen[row]
        heads = []
        for head in range(layer.heads):
            part = slice(head * width, (head + 1) * width)
            scores = q[row, :, part] @ k[row, kept, part].T / math.sqrt(width)
            heads.append(scores.softmax(-1) @ v[row, kept, part])
        rows.append(torch.cat(heads, dim=-1))
    return layer.out(torch.stack(rows))


def mlp(x, layer):
    return layer.down(F.gelu(layer.up(x)))


def read(z, x, block, seen=None):
    z = z + attention(norm(z, block.norm), norm(x, block.context_norm), block.attention, seen)
    return z + mlp(norm(z, block.mlp_norm), block.mlp)


def think(z, backbone):
    for block in backbone.blocks:
        y = norm(z, block.attention_branch.norm)
        z = z + attention(y, y, block.attention)
        z = z + mlp(norm(z, block.mlp_branch.norm), block.mlp)
    return z

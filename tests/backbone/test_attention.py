"""Attention, against softmax(q k^T) v written out head by head."""

import itertools
import math

import pytest
import torch
from torch import Tensor

from multimodal.backbone.attention import Attention, AttentionConfig
from multimodal.backbone.mask import Mask, Scores
from multimodal.backbone.norm import LayerNormConfig, RMSNormConfig
from multimodal.errors import ArgumentError

B, T, S, D = 2, 5, 7, 24
X = torch.randn(B, T, D, generator=torch.Generator().manual_seed(0))


def build(config: AttentionConfig, context_dim: int | None = None) -> Attention:
    """An attention whose every parameter, biases and norms too, matters."""
    attention = config.build(D, context_dim)
    for parameter in attention.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return attention.eval()


def by_hand(attention: Attention, x: Tensor, source: Tensor, allowed: Tensor | None = None) -> Tensor:
    """softmax(q k^T · scale) v of each head, in loops; query head h reads key/value head h // (heads per group)."""
    config = attention.config
    groups = config.kv_heads or config.heads
    rows = []
    for b in range(len(x)):
        q = (attention.q(x[b])).reshape(len(x[b]), config.heads, -1)
        k = (attention.k(source[b])).reshape(len(source[b]), groups, -1)
        v = (attention.v(source[b])).reshape(len(source[b]), groups, -1)
        scale = config.scale if config.scale is not None else 1 / math.sqrt(q.shape[-1])
        heads = []
        for h in range(config.heads):
            g = h // (config.heads // groups)
            scores = attention.q_norm(q[:, h]) @ attention.k_norm(k[:, g]).t() * scale
            if allowed is not None:
                scores = scores.masked_fill(~allowed, -torch.inf)
            weights = scores.exp() / scores.exp().sum(-1, keepdim=True)
            heads.append(weights @ v[:, g])
        rows.append(attention.out(attention.out_norm(torch.cat(heads, dim=-1))))
    return torch.stack(rows)


CONFIGS = {
    "multi-head": AttentionConfig(heads=4),
    "grouped-query": AttentionConfig(heads=6, kv_heads=2),
    "multi-query": AttentionConfig(heads=4, kv_heads=1),
    "free head width": AttentionConfig(heads=5, head_dim=10, kv_heads=5),
    "scale": AttentionConfig(heads=4, scale=1.0),
    "qk layer norm": AttentionConfig(heads=4, qk_norm=LayerNormConfig()),
    "qk rms norm, grouped": AttentionConfig(heads=4, kv_heads=2, qk_norm=RMSNormConfig()),
    "output norm": AttentionConfig(heads=4, out_norm=LayerNormConfig()),
}


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_self_attention(config: AttentionConfig):
    attention = build(config)
    torch.testing.assert_close(attention(X), by_hand(attention, X, X))


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_masked_self_attention(config: AttentionConfig):
    attention = build(config)
    graph = torch.rand(T, T, generator=torch.Generator().manual_seed(1)) < 0.5
    graph |= torch.eye(T, dtype=torch.bool)
    torch.testing.assert_close(attention(X, scores=Mask(graph=graph).scores(T, T)), by_hand(attention, X, X, graph))
    causal = torch.ones(T, T).tril().bool()
    torch.testing.assert_close(attention(X, scores=Mask(causal=True).scores(T, T)), by_hand(attention, X, X, causal))


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_cross_attention(config: AttentionConfig):
    attention = build(config, context_dim=10)
    context = torch.randn(B, S, 10)
    torch.testing.assert_close(attention(X, context=context), by_hand(attention, X, context))
    keep = torch.arange(S) < 4
    found = attention(X, context=context, scores=Scores(keep.expand(B, 1, 1, S)))
    torch.testing.assert_close(found, by_hand(attention, X, context, keep.expand(T, S)))


@pytest.mark.parametrize("bias", ["qkvo", "qkv", "qvo", "qv", "o", ""])
def test_biases(bias):
    attention = build(AttentionConfig(heads=4, bias=bias))
    layers = {"q": attention.q, "k": attention.k, "v": attention.v, "o": attention.out}
    assert {name for name, layer in layers.items() if layer.bias is not None} == set(bias)
    torch.testing.assert_close(attention(X), by_hand(attention, X, X))


def test_query_that_may_look_at_nothing_gives_the_bias_and_finite_gradients():
    attention = build(AttentionConfig(heads=4))
    graph = torch.ones(T, T, dtype=torch.bool)
    graph[2] = False
    for bias in (None, torch.zeros(1, 4, T, T)):
        x = X.clone().requires_grad_()
        found = attention(x, scores=Mask(graph=graph).scores(T, T, bias=bias))
        torch.testing.assert_close(found[:, 2], attention.out.bias.expand(B, D))
        found.sum().backward()
        assert x.grad is not None
        assert x.grad.isfinite().all()


def test_dropout_only_while_training():
    attention = build(AttentionConfig(heads=4, dropout=0.5))
    assert torch.equal(attention(X), attention(X))
    attention.train()
    assert not torch.equal(attention(X), attention(X))


def test_kernel_can_be_replaced():
    attention, seen = build(AttentionConfig(heads=4)), []

    def record(q: Tensor, k: Tensor, v: Tensor, **options) -> Tensor:
        seen.append((q.shape, k.shape, v.shape, options["attn_mask"], options["is_causal"]))
        return torch.nn.functional.scaled_dot_product_attention(q, k, v, **options)

    expected = attention(X)
    attention.attend = record
    assert torch.equal(attention(X), expected)
    assert seen == [((B, 4, T, 6), (B, 4, T, 6), (B, 4, T, 6), None, False)]


def test_impossible_head_counts_are_refused():
    with pytest.raises(ArgumentError, match="width 24 is not divisible by heads=5"):
        AttentionConfig(heads=5).build(D)
    with pytest.raises(ArgumentError, match="heads=6 is not a multiple of kv_heads=4"):
        AttentionConfig(heads=6, kv_heads=4).build(D)


def test_tokens_without_positions_are_a_set():
    attention = build(AttentionConfig(heads=4))
    for order in itertools.islice(itertools.permutations(range(T)), 20, 24):
        torch.testing.assert_close(attention(X[:, order]), attention(X)[:, order])


def test_many_tokens_are_projected_together_with_equal_results_and_gradients(monkeypatch):
    from multimodal.backbone import attention as module

    torch.manual_seed(0)
    layer = module.AttentionConfig(heads=4, kv_heads=2).build(16)
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter)
    x = torch.randn(2, 5, 16)
    found = []
    for many in (1, 10**9):
        monkeypatch.setattr(module, "MANY_TOKENS", many)
        layer.zero_grad()
        y = layer(x)
        y.square().sum().backward()
        found.append([y.detach(), *(p.grad.clone() for p in layer.parameters())])
    scale = max(tensor.abs().max().item() for tensor in found[1])  # the keys' bias has no gradient but rounding
    for together, apart in zip(*found, strict=True):
        assert torch.allclose(together, apart, atol=1e-5 * scale)

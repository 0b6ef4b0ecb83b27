"""Pooling: by hand with and without padding, attention pooling against timm's."""

import pytest
import torch

from multimodal.backbone.attention import AttentionConfig
from multimodal.backbone.mlp import MlpConfig
from multimodal.backbone.norm import LayerNormConfig
from multimodal.backbone.pool import (
    AttentionPoolConfig,
    ClassMeanPoolConfig,
    ClassPoolConfig,
    LastPoolConfig,
    MeanPoolConfig,
    PoolConfig,
)
from multimodal.weights.keymap import Row, Table

B, T, D = 3, 7, 12
X = torch.randn(B, T, D, generator=torch.Generator().manual_seed(0))
KEEP = torch.tensor([[1, 1, 1, 1, 0, 0, 0], [1, 1, 1, 1, 1, 1, 1], [1, 1, 1, 0, 0, 1, 0]]).bool()
ATTENTION = AttentionPoolConfig(
    attention=AttentionConfig(heads=3), mlp=MlpConfig(hidden=24), norm=LayerNormConfig(eps=1e-6)
)


def test_class_token():
    assert torch.equal(ClassPoolConfig().build(D)(X, prefix=2, keep=KEEP), X[:, 0])


def test_last_token():
    pool = LastPoolConfig().build(D)
    assert torch.equal(pool(X, prefix=2), X[:, -1])
    assert torch.equal(pool(X, keep=KEEP), torch.stack([X[0, 3], X[1, 6], X[2, 5]]))


def test_mean_of_the_class_and_the_distillation_token():
    torch.testing.assert_close(ClassMeanPoolConfig().build(D)(X, prefix=2), (X[:, 0] + X[:, 1]) / 2)
    assert torch.equal(ClassMeanPoolConfig(tokens=1).build(D)(X), X[:, 0])


@pytest.mark.parametrize("include", [True, False])
@pytest.mark.parametrize("prefix", [0, 2])
@pytest.mark.parametrize("keep", [None, KEEP], ids=["full", "padded"])
def test_mean(include: bool, prefix: int, keep: torch.Tensor | None):
    found = MeanPoolConfig(include_prefix=include).build(D)(X, prefix=prefix, keep=keep)
    first = 0 if include else prefix
    for b in range(B):
        tokens = [X[b, i] for i in range(first, T) if keep is None or keep[b, i]]
        torch.testing.assert_close(found[b], sum(tokens) / len(tokens))


def test_mean_of_nothing_is_zero():
    keep = torch.zeros(B, T, dtype=torch.bool)
    assert torch.equal(MeanPoolConfig().build(D)(X, keep=keep), torch.zeros(B, D))


@pytest.mark.parametrize(
    "config", [ClassPoolConfig(), ClassMeanPoolConfig(), MeanPoolConfig(), ATTENTION], ids=lambda c: type(c).__name__
)
def test_padding_does_not_count(config: PoolConfig):
    pool = config.build(D).eval()
    other = torch.where(KEEP[..., None], X, torch.full_like(X, 100.0))
    torch.testing.assert_close(pool(X, keep=KEEP), pool(other, keep=KEEP))
    torch.testing.assert_close(pool(X, keep=KEEP)[:1], pool(X[:1, :4]))  # a padded row is the row alone
    assert pool(X).shape == (B, D)


def test_attention_pool_equals_timm():
    layers = pytest.importorskip("timm.layers")
    torch.manual_seed(0)
    theirs = layers.AttentionPoolLatent(D, num_heads=3, mlp_ratio=2.0, norm_layer=layers.LayerNorm).eval()
    for parameter in theirs.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    rows = [Row("latent", "query", shape=(1, 1, -1))]
    for part in ("weight", "bias"):
        rows += [
            Row(f"q.{part}", f"attention.q.{part}"),
            Row(f"kv.{part}", f"attention.{{k,v}}.{part}"),
            Row(f"proj.{part}", f"attention.out.{part}"),
            Row(f"norm.{part}", f"norm.{part}"),
            Row(f"mlp.fc1.{part}", f"mlp.up.{part}"),
            Row(f"mlp.fc2.{part}", f"mlp.down.{part}"),
        ]
    ours = AttentionPoolConfig(
        attention=AttentionConfig(heads=3), mlp=MlpConfig(hidden=24), norm=LayerNormConfig(eps=theirs.norm.eps)
    ).build(D)
    ours.load_state_dict(Table(*rows).convert(theirs.state_dict(), ours.state_dict()))
    expected = theirs(X)
    assert (ours(X) - expected).abs().max() <= 1e-5 * expected.abs().max()
    masked = theirs(X, attn_mask=KEEP[:, None, None])
    assert (ours(X, keep=KEEP) - masked).abs().max() <= 1e-5 * masked.abs().max()


def test_gradients_reach_the_query():
    pool = ATTENTION.build(D)
    (pool(X) * torch.randn(B, D)).sum().backward()
    for name, parameter in pool.named_parameters():
        assert parameter.grad is not None, name
        assert name == "attention.k.bias" or parameter.grad.abs().max() > 0, name  # softmax ignores k's bias

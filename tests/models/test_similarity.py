"""From cosines to logits and probabilities, against the formulas written out."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn.functional import normalize

from multimodal.errors import ArgumentError
from multimodal.models.similarity import SigmoidSimilarityConfig, SoftmaxSimilarityConfig

IMAGE, TEXT = (normalize(torch.randn(n, 8, generator=torch.Generator().manual_seed(n)), dim=-1) for n in (3, 4))


def test_softmax():
    similarity = SoftmaxSimilarityConfig(scale=20.0).build()
    assert similarity.scale.item() == pytest.approx(20.0) and similarity.bias is None
    logits = similarity(IMAGE, TEXT)
    assert torch.allclose(logits, 20.0 * torch.einsum("ne,me->nm", IMAGE, TEXT), atol=1e-5)
    expected = logits.exp() / logits.exp().sum(1, keepdim=True)
    assert torch.allclose(similarity.probabilities(logits), expected, atol=1e-6)


def test_sigmoid():
    similarity = SigmoidSimilarityConfig(scale=5.0, bias=-2.0).build()
    logits = similarity(IMAGE, TEXT)
    assert torch.allclose(logits, 5.0 * IMAGE @ TEXT.T - 2.0, atol=1e-6)
    assert torch.allclose(similarity.probabilities(logits), 1 / (1 + (-logits).exp()), atol=1e-6)
    one = similarity.probabilities(similarity(IMAGE, TEXT[:1]))
    assert torch.allclose(one, similarity.probabilities(logits)[:, :1])  # the other texts do not matter


def test_the_scale_stays_where_the_config_wants_it():
    similarity = SoftmaxSimilarityConfig(max_scale=50.0).build()
    for value, kept in ((80.0, 50.0), (0.5, 1.0), (30.0, 30.0)):
        similarity.log_scale.data.fill_(math.log(value))
        similarity.clamp()
        assert similarity.scale.item() == pytest.approx(kept)
    free = SigmoidSimilarityConfig().build()
    free.log_scale.data.fill_(math.log(500.0))
    free.clamp()
    assert free.scale.item() == pytest.approx(500.0)


def test_logits_are_float32_whatever_the_weights_are():
    similarity = SigmoidSimilarityConfig().build().to(torch.bfloat16)
    assert similarity(IMAGE, TEXT).dtype == torch.float32


@pytest.mark.parametrize("scale", [0.0, -1.0, float("nan")])
def test_a_scale_must_be_above_zero(scale):
    with pytest.raises(ArgumentError, match=r"scale is .*; it must be above 0"):
        SoftmaxSimilarityConfig(scale=scale).build()


@pytest.mark.parametrize("limit", [0.5, -1.0, float("nan")])
def test_the_limit_of_the_scale_is_not_below_its_least(limit):
    with pytest.raises(ArgumentError, match=r"max_scale is .*; training keeps the scale from 1 on"):
        SoftmaxSimilarityConfig(max_scale=limit).build()

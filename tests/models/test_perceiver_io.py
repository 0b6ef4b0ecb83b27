"""Perceiver IO: output queries against their definition, and that they do not see each other."""

from __future__ import annotations

import pytest
import torch
from written_perceivers import BLOCK, READING, attention, mlp, norm, randomized

from multimodal.backbone.attention import AttentionConfig
from multimodal.backbone.cross_block import CrossBlockConfig
from multimodal.backbone.mlp import MlpConfig
from multimodal.config import from_plain, to_plain
from multimodal.errors import ArgumentError
from multimodal.models.perceiver import PerceiverConfig
from multimodal.models.perceiver_io import OutputQueriesConfig, PerceiverIOConfig

PERCEIVER = PerceiverConfig(latents=5, dim=8, depth=1, block=BLOCK, reading=READING, rounds=2)


def perceiver_io(queries: int = 0, *, residual: bool = True):
    reading = CrossBlockConfig(attention=AttentionConfig(heads=1), mlp=MlpConfig(hidden=7), residual=residual)
    asked = OutputQueriesConfig(reading=reading, dim=4, queries=queries)
    return randomized(PerceiverIOConfig(input=6, perceiver=PERCEIVER, queries=asked, output=3).build())


@pytest.mark.parametrize("residual", [True, False])
def test_it_is_its_definition(residual):
    model, x, queries = perceiver_io(residual=residual), torch.randn(2, 9, 6), torch.randn(2, 7, 4)
    z, block = model.perceiver(x), model.queries.reading
    y = attention(norm(queries, block.norm), norm(z, block.context_norm), block.attention)
    y = y + queries if residual else y
    y = y + mlp(norm(y, block.mlp_norm), block.mlp)
    torch.testing.assert_close(model(x, queries), model.out(y))


def test_queries_do_not_see_each_other_and_may_be_asked_in_parts():
    model, x, queries = perceiver_io(), torch.randn(2, 9, 6), torch.randn(2, 7, 4)
    parts = [model(x, part) for part in queries.split(3, dim=1)]
    torch.testing.assert_close(torch.cat(parts, dim=1), model(x, queries))
    torch.testing.assert_close(model(x, queries[:1])[1], model(x, queries[:1].expand(2, -1, -1))[1])


def test_padding_is_not_read():
    model, x, queries = perceiver_io(), torch.randn(2, 9, 6), torch.randn(1, 4, 4)
    padded = torch.cat([x, torch.full((2, 2, 6), 1e3)], dim=1)
    keep = torch.arange(11).expand(2, -1) < 9
    torch.testing.assert_close(model(padded, queries, keep=keep), model(x, queries))


def test_learned_queries_give_an_output_of_their_number():
    model = perceiver_io(queries=6)
    assert model(torch.randn(2, 30, 6)).shape == (2, 6, 3)
    assert from_plain(PerceiverIOConfig, to_plain(model.config)) == model.config


def test_what_does_not_fit_is_refused():
    x = torch.randn(2, 9, 6)
    with pytest.raises(ArgumentError, match="has no queries of its own"):
        perceiver_io()(x)
    with pytest.raises(ArgumentError, match="learned 6 queries of its own"):
        perceiver_io(queries=6)(x, torch.randn(1, 2, 4))
    with pytest.raises(ArgumentError, match="width 5; the model takes 6"):
        perceiver_io(queries=6)(torch.randn(2, 9, 5))
    with pytest.raises(ArgumentError, match="queries is -1"):
        perceiver_io(queries=-1)


def test_it_learns_to_copy_what_each_query_points_at():
    """The output for query i is the input at place i: only cross-attention that reads the queries can do that."""
    torch.manual_seed(0)
    places = torch.eye(4)
    shape = PerceiverConfig(latents=8, dim=32, depth=1, block=BLOCK, reading=READING)
    asked = OutputQueriesConfig(reading=READING, dim=4, queries=0)
    model = PerceiverIOConfig(input=6, perceiver=shape, queries=asked, output=2).build()
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    for _ in range(150):
        bits = torch.randint(2, (64, 4))
        x = torch.cat([places.expand(64, -1, -1), torch.nn.functional.one_hot(bits, 2).float()], dim=-1)
        loss = torch.nn.functional.cross_entropy(model(x, places[None]).flatten(0, 1), bits.flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    bits = torch.randint(2, (256, 4))
    x = torch.cat([places.expand(256, -1, -1), torch.nn.functional.one_hot(bits, 2).float()], dim=-1)
    right = (model(x, places[None]).argmax(-1) == bits).float().mean().item()
    assert right > 0.9, right

"""The one mask type, against a table filled in place by place."""

from itertools import product

import pytest
import torch
from torch import Tensor

from multimodal.backbone.attention import AttentionConfig
from multimodal.backbone.mask import Mask, Scores
from multimodal.errors import ArgumentError

B, T = 3, 6
STEPS = torch.tensor([[0, 0, 0, 1, 2, 3], [0, 1, 2, 3, 4, 5], [0, 0, 0, 0, 0, 0]])
RIGHT = torch.tensor([[1, 1, 1, 1, 0, 0], [1, 1, 1, 1, 1, 1], [1, 0, 0, 0, 0, 0]]).bool()
DOCUMENT = torch.tensor([[0, 0, 1, 1, 1, 2], [0, 0, 0, 0, 0, 0], [0, 1, 2, 3, 4, 4]])
GRAPH = torch.rand(B, 1, T, T, generator=torch.Generator().manual_seed(0)) < 0.6
PAST = torch.tensor([0, 4, 2])


def table(mask: Mask, t: int, s: int, past: list[int]) -> Tensor:
    """Whether query i of row b may look at slot j, decided one by one."""
    allowed = torch.zeros(len(past), t, s, dtype=torch.bool)
    for b, i, slot in product(range(len(past)), range(t), range(s)):
        j = slot - past[b]  # the key's place among the new tokens
        if j >= t:
            continue  # nothing was written there
        see = True
        if j >= 0:  # otherwise it comes from the cache, which all new tokens see
            see &= not mask.causal or j <= i
            if mask.steps is not None:
                steps = mask.steps[b if len(mask.steps) > 1 else 0]
                see &= bool(steps[j] <= steps[i])
            if mask.keep is not None:
                see &= bool(mask.keep[b, j])
            if mask.document is not None:
                see &= bool(mask.document[b, j] == mask.document[b, i])
        if mask.graph is not None:
            see &= bool(mask.graph.expand(len(past), 1, t, s)[b, 0, i, slot])
        allowed[b, i, slot] = see
    return allowed


COMBINATIONS = [
    pytest.param(
        {"causal": causal, "steps": steps, "keep": keep, "document": document, "graph": graph},
        id="+".join(
            name
            for name, on in zip(
                ["causal", "steps", "keep", "document", "graph"],
                [causal, steps is not None, keep is not None, document is not None, graph is not None],
                strict=True,
            )
            if on
        )
        or "none",
    )
    for causal, steps, keep, document, graph in product(
        [False, True], [None, STEPS], [None, RIGHT], [None, DOCUMENT], [None, GRAPH]
    )
]


@pytest.mark.parametrize("parts", COMBINATIONS)
def test_every_combination_without_cache(parts: dict):
    mask = Mask(**parts)
    scores = mask.scores(T, T)
    if scores.segments:
        drawn = torch.zeros(B, 1, T, T, dtype=torch.bool)
        for row, start, stop in scores.segments:
            whole = torch.ones(stop - start, stop - start, dtype=torch.bool)
            drawn[row, 0, start:stop, start:stop] = whole.tril() if scores.is_causal else whole
    elif scores.attn_mask is None:
        drawn = torch.ones(T, T).tril().bool() if scores.is_causal else torch.ones(T, T).bool()
    else:
        assert not scores.is_causal
        drawn = scores.attn_mask
    assert torch.equal(drawn.expand(B, 1, T, T)[:, 0], table(mask, T, T, [0] * B))


@pytest.mark.parametrize("parts", [param for param in COMBINATIONS if "document" not in str(param.id)])
@pytest.mark.parametrize("past", [3, PAST], ids=["even", "ragged"])
def test_every_combination_with_cache(parts: dict, past: int | Tensor):
    pasts = past.tolist() if isinstance(past, Tensor) else [past] * B
    s = max(pasts) + T
    if parts["graph"] is not None:
        parts = {**parts, "graph": torch.rand(B, 1, T, s) < 0.6}
    mask = Mask(**parts)
    drawn = mask.scores(T, s, past=past).attn_mask
    expected = table(mask, T, s, pasts)
    if drawn is None:
        assert expected.all()
    else:
        assert torch.equal(drawn.expand(B, 1, T, s)[:, 0], expected)


@pytest.mark.parametrize("steps", [STEPS[:1], STEPS], ids=["one for all rows", "one per row"])
def test_steps_meet_a_ragged_cache(steps: Tensor):
    mask = Mask(steps=steps)
    drawn = mask.scores(T, 4 + T, past=PAST).attn_mask
    assert drawn is not None
    assert torch.equal(drawn[:, 0], table(mask, T, 4 + T, PAST.tolist()))


def test_slots_that_nothing_was_written_to_are_hidden():
    mask = Mask()
    drawn = mask.scores(2, 8, past=3).attn_mask  # 8 slots, of which 5 are filled
    assert drawn is not None
    assert torch.equal(drawn.expand(B, 1, 2, 8)[:, 0], table(mask, 2, 8, [3] * B))


def test_static_cases_are_not_drawn():
    assert Mask().scores(T, T) == Scores()
    assert Mask(causal=True).scores(T, T) == Scores(is_causal=True)
    assert Mask(causal=True).scores(1, 9, past=8) == Scores()  # one new token sees all earlier ones
    assert Mask().scores(3, 9, past=6) == Scores()
    assert Mask(causal=True).scores(3, 9, past=6).attn_mask is not None  # is_causal would align 0 with 0


def test_runs():
    assert Mask.runs([(3, True), (2, True)]).causal
    assert Mask.runs([(5, False)]).scores(5, 5) == Scores()
    for runs in (
        [(3, False), (2, True)],
        [(2, True), (3, False), (1, False), (2, True)],
        [(2, False), (0, True), (2, False)],
    ):
        kinds = [(number, causal) for number, (length, causal) in enumerate(runs) for _ in range(length)]
        n = len(kinds)
        expected = torch.zeros(n, n, dtype=torch.bool)
        for i, j in product(range(n), range(n)):
            (run_i, causal), (run_j, _) = kinds[i], kinds[j]
            expected[i, j] = run_j < run_i or (run_j == run_i and (not causal or j <= i))
        drawn = Mask.runs(runs).scores(n, n).attn_mask
        assert drawn is not None
        assert torch.equal(drawn[0, 0], expected), runs


def test_runs_take_padding_too():
    mask = Mask.runs([(2, False), (4, True)], keep=RIGHT)
    drawn = mask.scores(T, T).attn_mask
    assert drawn is not None
    assert torch.equal(drawn[:, 0], table(mask, T, T, [0] * B))
    assert not drawn[0, 0, :, 4:].any()


def test_prefix():
    lengths = torch.tensor([0, 2, 6])
    drawn = Mask.prefix(lengths, T).scores(T, T).attn_mask
    assert drawn is not None
    for b, i, j in product(range(3), range(T), range(T)):
        assert bool(drawn[b, 0, i, j]) == (j <= i or (i < lengths[b] and j < lengths[b]))


@pytest.mark.parametrize("shape", [(T, T), (1, T, T), (B, 1, T, T), (B, 4, T, T), (1, 4, 1, T)])
def test_graph_of_any_broadcastable_shape(shape: tuple[int, ...]):
    graph = torch.rand(shape) < 0.5
    drawn = Mask(graph=graph, keep=RIGHT).scores(T, T).attn_mask
    assert drawn is not None
    assert torch.equal(drawn.expand(B, 4, T, T), graph.expand(B, 4, T, T) & RIGHT[:, None, None])


@pytest.mark.parametrize(
    "parts", [{}, {"causal": True}, {"keep": RIGHT}, {"causal": True, "keep": RIGHT}, {"graph": GRAPH}], ids=str
)
def test_bias_is_added_where_allowed_and_minus_infinity_elsewhere(parts: dict):
    bias = torch.randn(1, 4, T, T)
    scores = Mask(**parts).scores(T, T, bias=bias)
    assert scores.attn_mask is not None
    assert not scores.is_causal
    allowed = table(Mask(**parts), T, T, [0] * B)[:, None].expand(B, 4, T, T)
    expected = torch.where(allowed, bias.expand(B, 4, T, T), torch.tensor(float("-inf")))
    assert torch.equal(scores.attn_mask.expand(B, 4, T, T), expected)


@pytest.mark.parametrize("past", [2, PAST], ids=["even", "ragged"])
def test_packed_documents_refuse_a_cache(past: int | Tensor):
    with pytest.raises(ArgumentError, match="Packed documents cannot be combined with a cache"):
        Mask(causal=True, document=DOCUMENT).scores(T, 10, past=past)


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("kv_heads", [4, 2])
def test_packed_documents_by_segment_or_by_a_drawn_mask(causal, kv_heads):
    """Where a document lies in one piece it is attended to for itself; the drawn mask says the same."""
    layer = AttentionConfig(heads=4, kv_heads=kv_heads).build(16)
    x = torch.randn(2, 9, 16)
    document = torch.tensor([[3, 3, 3, 5, 5, 0, 0, 0, 0], [1, 2, 2, 2, 2, 2, 2, -1, -1]])
    scores = Mask(causal=causal, document=document).scores(9, 9)
    assert [(s.row, s.stop - s.start) for s in scores.segments] == [(0, 3), (0, 2), (0, 4), (1, 1), (1, 6), (1, 2)]
    drawn = Mask(causal=causal, document=document, keep=torch.ones(2, 9, dtype=torch.bool)).scores(9, 9)
    assert drawn.attn_mask is not None and not drawn.segments
    assert torch.allclose(layer(x, scores=scores), layer(x, scores=drawn), atol=1e-6)


def test_a_document_in_two_pieces_is_drawn():
    scores = Mask(document=torch.tensor([[1, 2, 1]])).scores(3, 3)
    assert not scores.segments
    assert scores.attn_mask.squeeze().tolist() == [[True, False, True], [False, True, False], [True, False, True]]


def test_a_window_looks_back_so_far_and_no_further():
    allowed = Mask(causal=True, window=3).scores(6, 6).attn_mask.squeeze()
    assert allowed.tolist() == [[0 <= i - j < 3 for j in range(6)] for i in range(6)]
    assert Mask(causal=True, window=6).scores(6, 6) == Mask(causal=True).scores(6, 6)  # nothing to cut: the fast kernel
    later = Mask(causal=True, window=3).scores(2, 6, past=4).attn_mask.squeeze()
    assert torch.equal(later, allowed[4:])

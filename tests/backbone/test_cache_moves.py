"""A cache that goes back, follows other rows, shares contexts and is kept: always as if each row had been read anew."""

from __future__ import annotations

import pytest
import torch
from test_cache import CAUSAL, CONFIGS, CONTEXT_KEEP, B, D, X, build, close
from torch import Tensor

from multimodal.backbone.backbone import Backbone
from multimodal.backbone.cache import Cache
from multimodal.backbone.mask import Mask
from multimodal.errors import ArgumentError

LATER = torch.randn(8, 5, D, generator=torch.Generator().manual_seed(3))
LENGTHS = [7, 2, 5]


@pytest.fixture(params=CONFIGS.values(), ids=CONFIGS)
def case(request: pytest.FixtureRequest) -> tuple[Backbone, dict[str, Tensor]]:
    return build(request.param)


def read(backbone: Backbone, context: dict[str, Tensor], lengths: list[int], capacity: int = 12) -> Cache:
    """A cache that has read the first tokens of each row of X."""
    cache, longest = backbone.new_cache(B, capacity), max(lengths)
    keep = torch.arange(longest) < torch.tensor(lengths)[:, None]
    backbone(X[:, :longest], mask=Mask(causal=True, keep=None if keep.all() else keep), cache=cache, **context)
    return cache


def row_of(context: dict[str, Tensor], row: int) -> dict[str, Tensor]:
    return {name: value[row : row + 1] for name, value in context.items()}


def alone(backbone: Backbone, context: dict[str, Tensor], row: int, length: int, later: Tensor) -> Tensor:
    """The outputs of `later` behind the first tokens of a row, without a cache."""
    whole = torch.cat([X[row, :length], later])[None]
    return backbone(whole, mask=CAUSAL, **row_of(context, row))[0, length:]


@torch.no_grad()
@pytest.mark.parametrize("back", [[4, 4, 4], [6, 0, 3], [7, 7, 7]], ids=str)
def test_going_back(case, back: list[int]):
    backbone, context = case
    cache = read(backbone, context, [7, 7, 7])
    cache.rewind(back)
    assert cache.lengths.tolist() == cache.counts == back and cache.longest == max(back)
    found = backbone(LATER[:B], mask=CAUSAL, cache=cache, **context)
    for row, length in enumerate(back):
        close(found[row], alone(backbone, context, row, length, LATER[row]))


@torch.no_grad()
def test_rows_become_copies_of_others(case):
    """As many rows (beams that change places), fewer (rows that are finished) and more (a prompt's first beams)."""
    backbone, context = case
    for rows in ([2, 1, 2], [1], [0, 2], [0, 0, 1, 1, 2, 2]):
        cache = read(backbone, context, LENGTHS)
        places = [layer.k.data_ptr() for layer in cache.layers]
        # Which context a row looks at is the model's to say here; sharing is tested below.
        cache.reorder(rows, rows)
        same = [layer.k.data_ptr() for layer in cache.layers] == places
        assert same == (len(rows) <= B), "rows that finish ask for no second cache beside the first"
        assert all(len(layer.k) == len(layer.v) == len(rows) for layer in cache.layers)
        lengths = [LENGTHS[row] for row in rows]
        assert cache.counts == cache.lengths.tolist() == lengths and cache.ragged == (len(set(lengths)) > 1)
        later = LATER[: len(rows)]
        moved = {name: value[rows] for name, value in context.items()}
        found = backbone(later, mask=CAUSAL, cache=cache, **moved)
        for place, row in enumerate(rows):
            close(found[place], alone(backbone, context, row, LENGTHS[row], later[place]))


@torch.no_grad()
def test_rows_that_stay_even_need_no_drawn_mask():
    """What is left of an uneven batch may be even again."""
    backbone, _ = build(CONFIGS["rotary"])
    cache = read(backbone, {}, [6, 2, 6])
    assert cache.ragged
    cache.reorder([0, 2])
    assert not cache.ragged and cache.begin(1, None) == (6, 7)


@torch.no_grad()
def test_room_is_counted_over_the_rows_that_are_left():
    backbone, _ = build(CONFIGS["no position"])
    cache = read(backbone, {}, [7, 2, 5], capacity=7)
    with pytest.raises(ArgumentError, match="8 are needed"):
        backbone(LATER[:3, :1], mask=CAUSAL, cache=cache)
    cache.reorder([1, 2])
    backbone(LATER[:2, :2], mask=CAUSAL, cache=cache)
    assert cache.counts == [4, 7]


@torch.no_grad()
@pytest.mark.parametrize("name", ["cross", "cross, relative", "cross, rotary"])
def test_beams_share_their_context(name: str):
    """Two beams for each context, then one context fewer; the context's keys exist once for each."""
    backbone, context = build(CONFIGS[name])
    cache = read(backbone, context, LENGTHS)
    rows = [0, 0, 1, 1, 2, 2]
    cache.reorder(rows)
    found = backbone(LATER[:6, :2], mask=CAUSAL, cache=cache, **context)
    for place, row in enumerate(rows):
        close(found[place], alone(backbone, context, row, LENGTHS[row], LATER[place, :2]))
    kept = cache.layers[0].context
    assert kept is not None and kept[0].shape[0] == B
    cache.reorder([1, 0, 5, 5], [0, 2])
    left = {key: value[[0, 2]] for key, value in context.items()}
    found = backbone(LATER[4:8, 2:4], mask=CAUSAL, cache=cache, **left)
    for place, (beam, row) in enumerate([(1, 0), (0, 0), (5, 2), (5, 2)]):
        text = torch.cat([LATER[beam, :2], LATER[4 + place, 2:4]])
        close(found[place], alone(backbone, context, row, LENGTHS[row], text)[2:])
    assert context["context_keep"] is CONTEXT_KEEP


@torch.no_grad()
def test_a_beginning_is_kept_and_put_under_every_row(case):
    backbone, context = case
    one = backbone.new_cache(1, 4)
    backbone(X[:1, :4], mask=CAUSAL, cache=one, **row_of(context, 0))
    state = one.state()
    assert state.keys() == {f"{layer}.{name}" for layer in range(2) for name in "kv"}
    assert all(value.shape[1] == 4 for value in state.values())
    held = [value.untyped_storage().nbytes() == value.nbytes for value in state.values()]
    assert all(held), "what is kept must not keep the room of the whole cache"
    cache = backbone.new_cache(B, 9)
    cache.fill(state)
    same = {name: value[:1].expand(B, *value.shape[1:]) for name, value in context.items()}
    keep = torch.arange(3) < torch.tensor([3, 1, 2])[:, None]
    found = backbone(LATER[:B, :3], mask=Mask(causal=True, keep=keep), cache=cache, **same)
    for row in range(B):
        close(found[row][keep[row]], alone(backbone, context, 0, 4, LATER[row, :3][keep[row]]))


@torch.no_grad()
def test_what_does_not_fit_is_refused():
    backbone, _ = build(CONFIGS["rotary"])
    other, _ = build(CONFIGS["rotary, grouped"])
    cache = read(backbone, {}, [4, 4, 4])
    for lengths in ([4, 4], [5, 4, 4], [-1, 2, 2]):
        with pytest.raises(ArgumentError, match="cannot go back"):
            cache.rewind(lengths)
    uneven = read(backbone, {}, LENGTHS)
    with pytest.raises(ArgumentError, match="cannot go back"):
        uneven.rewind([7, 3, 5])
    with pytest.raises(ArgumentError, match="another model"):
        other.new_cache(1, 9).fill(cache.state())
    with pytest.raises(ArgumentError, match="empty cache"):
        cache.fill(cache.state())
    with pytest.raises(ArgumentError, match="empty cache with room"):
        backbone.new_cache(1, 3).fill(cache.state())

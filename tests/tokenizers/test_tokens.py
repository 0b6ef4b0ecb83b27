"""`concat`: vectors, positions and masks of mixed runs, against a table drawn cell by cell."""

from __future__ import annotations

import pytest
import torch

from multimodal.backbone.mask import Scores
from multimodal.errors import ArgumentError
from multimodal.tokenizers.tokens import Tokens, concat


def part(*runs, b=2, d=4, **more):
    return Tokens(x=torch.randn(b, sum(length for length, _ in runs), d), runs=tuple(runs), **more)


def drawn(tokens):
    """(b, t, t) True where row i may look at column j: the mask as the model applies it."""
    t = tokens.x.shape[1]
    scores = tokens.mask.scores(t, t)
    if scores.segments:  # packed documents one by one
        allowed = torch.zeros(tokens.x.shape[0], t, t, dtype=torch.bool)
        for row, start, stop in scores.segments:
            square = torch.ones(stop - start, stop - start, dtype=torch.bool)
            allowed[row, start:stop, start:stop] = square.tril() if scores.is_causal else square
        return allowed
    allowed = torch.ones(1, 1, t, t, dtype=torch.bool) if scores.attn_mask is None else scores.attn_mask
    if scores.is_causal:
        allowed = allowed & torch.ones(t, t).tril().bool()
    return allowed.expand(tokens.x.shape[0], 1, t, t)[:, 0]


def brute_force(tokens):
    """The same from the definition: a run sees all runs before it; inside, a causal run sees its past and itself."""
    b, t = tokens.x.shape[:2]
    run = [i for i, (length, _) in enumerate(tokens.runs) for _ in range(length)]
    table = torch.zeros(b, t, t, dtype=torch.bool)
    for row in range(b):
        for i in range(t):
            for j in range(t):
                same, causal = run[i] == run[j], tokens.runs[run[i]][1]
                allowed = run[j] < run[i] or (same and (j <= i or not causal))
                if tokens.keep is not None:
                    allowed = allowed and bool(tokens.keep[row, j])
                if tokens.document is not None:
                    allowed = allowed and int(tokens.document[row, i]) == int(tokens.document[row, j])
                table[row, i, j] = allowed
    return table


IMAGE, TEXT = (3, False), (4, True)
KEEP = torch.tensor([[True, True, True, False], [True, False, True, True]])
DOCUMENT = torch.tensor([[0, 0, 1, 1], [0, 1, 1, 1]])
MIXES = {
    "image": [part(IMAGE)],
    "text": [part(TEXT)],
    "image, text": [part(IMAGE), part(TEXT)],
    "text, image, text": [part(TEXT), part(IMAGE), part(TEXT)],
    "image, image": [part(IMAGE), part((2, False))],
    "text, text": [part(TEXT), part((2, True))],
    "runs inside a part": [part(IMAGE, (2, True)), part((1, True), (2, False))],
    "one token": [part((1, False)), part((1, True)), part((1, False))],
    "padding": [part(IMAGE), part(TEXT, keep=KEEP)],
    "documents": [part(TEXT, document=DOCUMENT)],
    "documents behind an image": [part(IMAGE), part(TEXT, document=DOCUMENT)],
    "all of it": [part(TEXT, keep=KEEP), part(IMAGE), part(TEXT, keep=KEEP.flip(0), document=DOCUMENT)],
}


@pytest.mark.parametrize("kind", MIXES.keys())
def test_the_mask_of_mixed_runs(kind):
    tokens = concat(MIXES[kind])
    assert torch.equal(drawn(tokens), brute_force(tokens))


def test_static_masks_are_not_drawn():
    assert concat([part(IMAGE)]).mask.scores(3, 3) == Scores()
    assert concat([part(TEXT), part(TEXT)]).mask.scores(8, 8) == Scores(is_causal=True)


def test_vectors_stand_side_by_side():
    parts = [part(IMAGE, prefix=1), part(TEXT), part(IMAGE, prefix=2)]
    tokens = concat(parts)
    assert torch.equal(tokens.x, torch.cat([p.x for p in parts], 1))
    assert tokens.runs == (IMAGE, TEXT, IMAGE) and tokens.prefix == 1


def test_what_a_part_lacks_is_filled_in():
    tokens = concat([part(IMAGE), part(TEXT, keep=KEEP, document=DOCUMENT + 1)])
    assert tokens.keep.tolist() == [[True] * 3 + row for row in KEEP.tolist()]
    assert tokens.document.tolist() == [[0] * 3 + row for row in (DOCUMENT + 1).tolist()]
    plain = concat([part(IMAGE), part(TEXT)])
    assert plain.keep is None and plain.document is None and plain.positions is None


def test_positions():
    shared, own = torch.rand(1, 3, 2), torch.rand(2, 4, 2)
    tokens = concat([part(IMAGE, positions=shared), part(TEXT, positions=own)])
    assert torch.equal(tokens.positions[:, :3], shared.expand(2, -1, -1))
    assert torch.equal(tokens.positions[:, 3:], own)
    with pytest.raises(ArgumentError, match="Either all parts have positions or none"):
        concat([part(IMAGE, positions=shared), part(TEXT)])


def test_runs_must_add_up():
    with pytest.raises(ArgumentError, match=r"do not add up to 3 tokens"):
        Tokens(x=torch.zeros(1, 3, 2), runs=((2, True),))

"""An encoder-decoder's methods: the target of each source, whatever the batch, and clear errors."""

from __future__ import annotations

import pytest
import torch
from tiny_text_models import bytelevel, marian, randomized, t5

from multimodal.errors import ArgumentError

TEXTS = ["a cat sat", "x", "the dog ran to paris"]


def greedy(model, text, count):
    """Written out: everything is read anew for each token."""
    source, row = torch.tensor([bytelevel().encode(text).ids]), [model.config.start]
    for _ in range(count):
        with torch.no_grad():
            row.append(int(model(source, torch.tensor([row]))[0, -1].argmax()))
        if row[-1] == 0:
            break
    return row[1:]


@pytest.mark.parametrize("build", [t5, marian])
def test_generate_is_greedy_and_each_text_gets_what_it_gets_alone(build):
    model = build()
    found = model.generate(TEXTS, max_new_tokens=6, batch_size=2)
    for text, target in zip(TEXTS, found, strict=True):
        expected = greedy(model, text, 6)
        assert target == bytelevel().decode(expected)
        assert model.generate(text, max_new_tokens=6) == target
        assert "".join(model.stream(text, max_new_tokens=6)) == target
    best = model.complete(TEXTS, beams=3, n_best=2, max_new_tokens=4)
    assert [len(one) for one in best] == [2, 2, 2] and all(one[0].score >= one[1].score for one in best)
    assert [[one.text for one in texts] for texts in best] == model.generate(
        TEXTS, beams=3, n_best=2, max_new_tokens=4, batch_size=1
    )


def test_ids_in_and_out():
    model = t5()
    ids = list(bytelevel().encode(TEXTS[0]).ids)
    expected = greedy(model, TEXTS[0], 6)
    model.tokenizer = None
    assert model.generate(ids, max_new_tokens=6) == expected
    with pytest.raises(ArgumentError, match="EncoderDecoder has no tokenizer"):
        model.generate("a")


def test_errors():
    model = t5()
    with pytest.raises(ArgumentError, match="has 65 tokens, and at most 64"):
        model.generate("x" * 65)
    assert model.generate("x" * 65, truncate=True) == model.generate("x" * 64)
    with pytest.raises(ArgumentError, match="Text 2 of 2 is empty"):
        model.generate(["a", ""])
    with pytest.raises(ArgumentError, match="beam is not an option of generation"):
        model.generate("a", beam=3)
    with pytest.raises(ArgumentError, match="Only one text can be streamed"):
        model.stream(["a", "b"])
    with pytest.raises(ArgumentError, match="cannot be streamed"):
        model.stream("a", beams=2)
    assert randomized(t5(tied=False)).generate([]) == []

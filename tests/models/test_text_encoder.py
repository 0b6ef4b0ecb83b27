"""A text encoder's methods: vectors that do not depend on the batch, and words for masks."""

from __future__ import annotations

import pytest
import torch
from tiny_text_models import bert, bert_config, bytelevel, wordpiece

from multimodal.errors import ArgumentError

TEXTS = ["the cat sat on a mat", "a dog", "", "anna lives in a big red house in paris ."]


def hidden(model, text):
    with torch.no_grad():
        return model(torch.tensor([wordpiece().encode(text).ids]))[0]


def test_embeddings_are_means_of_hidden_states_of_length_one():
    model = bert()
    found = model.embed(TEXTS, batch_size=2)
    means = torch.stack([hidden(model, text).mean(0) for text in TEXTS])
    torch.testing.assert_close(model.embed(TEXTS, normalize=False), means, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found, means / means.norm(dim=-1, keepdim=True), atol=1e-5, rtol=1e-5)
    first = model.embed(TEXTS, pool="first", normalize=False, batch_size=3)
    torch.testing.assert_close(first, torch.stack([hidden(model, t)[0] for t in TEXTS]), atol=1e-5, rtol=1e-5)
    assert found.dtype == torch.float32 and model.embed("a dog").shape == (1, 16)
    torch.testing.assert_close(model.embed("a dog")[0], found[1], atol=1e-5, rtol=1e-5)
    ids = [list(wordpiece().encode(text).ids) for text in TEXTS]
    torch.testing.assert_close(model.embed(ids), found)
    assert model.embed([]).shape == (0, 16)


def test_embedding_errors():
    model = bert()
    with pytest.raises(ArgumentError, match="pool is 'max'"):
        model.embed(TEXTS, pool="max")
    long = "cat " * 70
    assert torch.equal(model.embed(long), model.embed("cat " * 62))
    with pytest.raises(ArgumentError, match="has 72 tokens, and at most 64"):
        model.embed(long, truncation="refuse")
    with pytest.raises(ArgumentError, match="TextEncoder has no tokenizer"):
        bert_config().build().embed("a")
    silent = bert_config().build(bytelevel())
    with pytest.raises(ArgumentError, match="Text 1 of 1 is empty"):
        silent.embed("")


def test_one_mask():
    model = bert()
    text = "The cat [MASK] on a mat"
    ids = wordpiece().encode(text).ids
    place = ids.index(wordpiece().mask_id)
    with torch.no_grad():
        chances = model.mask_logits(model(torch.tensor([ids])))[0, place].softmax(-1).sort(descending=True)
    found = model.fill_mask(text, top=3)
    assert [one.tokens for one in found] == [(wordpiece().token_of(int(i)),) for i in chances.indices[:3]]
    assert [one.probability for one in found] == pytest.approx(chances.values[:3].tolist(), rel=1e-4)
    for one in found:
        assert one.text == f"The cat {one.tokens[0].removeprefix('##')} on a mat"


def test_several_masks_are_ranked_together():
    model = bert()
    text = "[MASK] cat [MASK]"
    ids = wordpiece().encode(text).ids
    places = [i for i, id in enumerate(ids) if id == wordpiece().mask_id]
    with torch.no_grad():
        chances = model.mask_logits(model(torch.tensor([ids])))[0, places].softmax(-1)
    together = (chances[0][:, None] * chances[1]).flatten().sort(descending=True)
    found = model.fill_mask(text, top=6)
    assert [one.probability for one in found] == pytest.approx(together.values[:6].tolist(), rel=1e-4)
    v = chances.shape[1]
    assert found[0].tokens == tuple(wordpiece().token_of(int(i)) for i in divmod(int(together.indices[0]), v))


def test_mask_errors():
    model = bert()
    with pytest.raises(ArgumentError, match=r"has no mask: write '\[MASK\]' where"):
        model.fill_mask("the <mask> sat")
    with pytest.raises(ArgumentError, match="top is 0"):
        model.fill_mask("[MASK]", top=0)
    with pytest.raises(ArgumentError, match="at most 64"):
        model.fill_mask("[MASK] " * 70)
    with pytest.raises(ArgumentError, match="no head for masked words"):
        bert_config().build(wordpiece()).fill_mask("[MASK]")
    silent = bert_config().build(bytelevel())
    with pytest.raises(ArgumentError, match="tokenizer has no mask token"):
        silent.fill_mask("a")

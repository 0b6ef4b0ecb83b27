"""Attention maps are softmax(q k / sqrt(k)) of each head, and the picture shows each of them once."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from matplotlib import colormaps
from PIL import Image
from tiny_text_models import bert, bytelevel, gpt, llama, t5, wordpiece

from multimodal.errors import ArgumentError
from multimodal.models.attention_maps import AttentionMaps


def by_hand(model, x, layer, causal):
    """Weights of both heads of a layer from its input `x` (t d), written out."""
    attention = model.backbone.blocks[layer].attention
    q, k = (part(x).unflatten(-1, (2, 8)).transpose(0, 1) for part in (attention.q, attention.k))
    scores = q @ k.transpose(-1, -2) / 8**0.5
    if causal:
        scores = scores.masked_fill(torch.ones_like(scores[0], dtype=torch.bool).triu(1), -torch.inf)
    return scores.softmax(-1)


def test_maps_of_a_language_model():
    model = gpt().train()
    found = model.attention_maps("a cat é")
    ids = torch.tensor([bytelevel().encode("a cat é").ids])
    model.eval()
    with torch.no_grad():
        x = model.backbone.blocks[0].attention_branch.enter(model.embedding(ids))[0]
        torch.testing.assert_close(found.maps[0], by_hand(model, x, 0, causal=True), atol=1e-5, rtol=1e-4)
    assert found.maps.shape == (2, 2, 8, 8) and found.tokens == ("a", "␣", "c", "a", "t", "␣", "é", "é") == found.keys
    torch.testing.assert_close(found.maps.sum(-1), torch.ones(2, 2, 8))
    assert (found.maps.triu(1) == 0).all()


def test_maps_of_an_encoder_and_a_pair():
    model = bert()
    found = model.attention_maps("The cats", "in Paris")
    assert found.tokens == ("[CLS]", "The", "cat", "s", "[SEP]", "in", "Paris", "[SEP]")
    row = wordpiece().encode("The cats", "in Paris")
    with torch.no_grad():
        x = model.embedding(torch.tensor([row.ids]), types=torch.tensor([row.types]))[0]
        torch.testing.assert_close(found.maps[0], by_hand(model, x, 0, causal=False), atol=1e-5, rtol=1e-4)


def test_maps_of_a_decoder_show_the_source():
    model = t5()
    found = model.attention_maps("a cat", "un")
    assert found.maps.shape == (2, 2, 2, 5) and found.tokens == ("u", "n") and found.keys[2] == "c"
    torch.testing.assert_close(found.maps.sum(-1), torch.ones(2, 2, 2))
    source, start = torch.tensor([bytelevel().encode("a cat").ids]), torch.tensor([[0]])
    with torch.no_grad():
        context = model.encode(source)
        block = model.decoder.blocks[0]
        x = model.embedding.words(start)
        x = block.attention_branch.leave(x, block.attention.out(block.attention.v(block.attention_branch.enter(x))))
        x, cross = block.cross_branch.enter(x)[0], block.cross
        q, k = (y.unflatten(-1, (2, 8)).transpose(0, 1) for y in (cross.q(x), cross.k(context[0])))
        expected = (q @ k.transpose(-1, -2) / 8**0.5).softmax(-1)
    torch.testing.assert_close(found.maps[0][:, :1], expected, atol=1e-5, rtol=1e-4)


def test_the_picture_shows_each_map_in_its_place(tmp_path):
    maps = torch.zeros(2, 3, 4, 4)
    maps[1, 2] = torch.eye(4)
    found = AttentionMaps(maps, ("a", "b", "c", "猫"), ("a", "b", "c", "d" * 50))
    path = found.save(tmp_path / "maps.png")
    assert [file.name for file in tmp_path.iterdir()] == ["maps.png"]
    picture, side = np.asarray(Image.open(path)), 4 * 16
    dark, bright = (
        (picture == np.array(colormaps["magma"]([end])[0, :3] * 255, np.uint8)).all(-1) for end in (0.0, 1.0)
    )
    rows, columns = np.nonzero(bright[40:])  # below the legend
    y, x = rows.min() + 40, columns.min()
    assert len(rows) == 4 * 16**2
    assert bright[y : y + 16, x : x + 16].all() and bright[y + 48 : y + 64, x + 48 : x + 64].all()
    assert dark[y : y + 16, x + 16 : x + side].all(), "the rest of the map is dark"
    assert dark[y : y + side, x - 12 - side : x - 12].all(), "the map on its left is another"
    one = np.asarray(found.image(layers=[1], heads=[2]))
    assert one.shape[0] < picture.shape[0] and ((one == picture[y, x]).all(-1)[40:]).sum() == len(rows)
    assert found._repr_png_()[:4] == b"\x89PNG"


def test_a_long_text_has_fewer_labels_and_a_size():
    found = AttentionMaps(torch.zeros(1, 12, 200, 200), ("token",) * 200, ("token",) * 200)
    assert found.image().width <= 6200
    large = AttentionMaps(torch.zeros(1, 1, 1, 1).expand(24, 24, 2000, 2000), ("x",) * 2000, ("x",) * 2000)
    with pytest.raises(ArgumentError, match="choose fewer layers or heads"):
        large.image()


def test_errors():
    model = gpt()
    with pytest.raises(ArgumentError, match="The text is empty"):
        model.attention_maps("")
    with pytest.raises(ArgumentError, match="has 65 tokens, and at most 64"):
        model.attention_maps("x" * 65)
    with pytest.raises(ArgumentError, match="has no tokenizer"):
        llama().attention_maps("a")
    found = model.attention_maps("a cat")
    with pytest.raises(ArgumentError, match=r"There is no layer 2; they are counted from 0 to 1\."):
        found.image(layers=[2])
    with pytest.raises(ArgumentError, match="heads is empty"):
        found.image(heads=[])

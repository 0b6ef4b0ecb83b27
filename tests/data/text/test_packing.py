"""Packed rows: what goes where, and that a model learns from them exactly what it learns from one document a row."""

from dataclasses import replace

import numpy as np
import pytest
import tiny_text_models
import torch

from multimodal.backbone.backbone import BackboneConfig
from multimodal.backbone.mask import Mask
from multimodal.data.text.batches import next_tokens
from multimodal.data.text.packing import PackedConfig, fill_rate, pack, packed_rows
from multimodal.errors import ArgumentError
from multimodal.losses import IGNORE, chunked_cross_entropy


def test_pack_by_hand():
    # 7 and 6 open rows, 5 opens a third; 4 fits into none but with 6, and the 3s go where they fill a row
    assert pack([3, 6, 4, 7, 3, 5, 0], 10) == [[0, 3], [1, 2], [4, 5]]
    assert pack([10, 10], 10) == [[0], [1]]
    assert pack([], 10) == [] and pack([0, 0], 10) == []
    with pytest.raises(ArgumentError, match="of 11 ids"):
        pack([3, 11], 10)


def plainly_packed(sizes, length):
    rows = []
    for document in sorted(range(len(sizes)), key=lambda i: -sizes[i]):
        room = [length - sum(sizes[i] for i in row) for row in rows]
        fits = [number for number, free in enumerate(room) if free >= sizes[document]]
        if fits:
            least = min(room[number] for number in fits)
            rows[[number for number in fits if room[number] == least][-1]].append(document)
        else:
            rows.append([document])
    return rows


def test_pack_is_the_best_fit_of_decreasing_sizes():
    draw = np.random.default_rng(0)
    for _ in range(20):
        sizes = draw.integers(1, 33, 60).tolist()
        rows, plain = pack(sizes, 32), plainly_packed(sizes, 32)
        assert sorted(i for row in rows for i in row) == list(range(60))  # each document once
        fills = [sorted(sum(sizes[i] for i in row) for row in some) for some in (rows, plain)]
        assert max(fills[0]) <= 32 and len(fills[0]) == len(fills[1])
    sizes = np.clip(draw.lognormal(np.log(50), 0.6, 5000), 1, 256).astype(int).tolist()
    rows = pack(sizes, 256)
    assert fill_rate(sizes, rows, 256) > 0.99
    assert fill_rate([4, 8], [[0], [1]], 8) == 0.75 and fill_rate([], [], 8) == 1.0


def test_packed_rows_by_hand():
    rows = [(np.array([5, 6, 7]), np.array([8, 9], dtype=np.uint16)), (np.array([10]), np.array([], dtype=np.int64))]
    batch = packed_rows(rows, 6, pad=1)
    assert batch["ids"].tolist() == [[5, 6, 7, 8, 9, 1], [10, 1, 1, 1, 1, 1]]
    assert batch["targets"].tolist() == [[6, 7, IGNORE, 9, IGNORE, IGNORE], [IGNORE] * 6]
    assert batch["document"].tolist() == [[0, 0, 0, 1, 1, -1], [0, -1, -1, -1, -1, -1]]
    assert batch["positions"].tolist() == [[0, 1, 2, 0, 1, 0], [0] * 6]
    with pytest.raises(ArgumentError, match="of 5 ids together"):
        packed_rows(rows[:1], 4, pad=0)


def test_collator():
    tokenizer = tiny_text_models.wordpiece()
    collate = PackedConfig(length=4).build(tokenizer)
    batch = collate([((np.array([5, 6]),), (0, 0)), ((np.array([7]), np.array([8, 9, 10])), (0, 1))])
    assert batch["ids"].tolist() == [[5, 6, tokenizer.pad_id, tokenizer.pad_id], [7, 8, 9, 10]]


@pytest.mark.parametrize("kind", ["gpt", "llama"])  # learned positions, and rotary ones
def test_packed_loss_and_gradients_are_those_of_one_document_a_row(kind):
    model = getattr(tiny_text_models, kind)()
    draw = np.random.default_rng(0)
    documents = [draw.integers(0, 50, size) for size in (9, 3, 14, 1, 6, 11, 2, 16, 5)]
    rows = pack([len(document) for document in documents], 20)
    assert len(rows) == 4 and max(map(len, rows)) > 2
    packed = packed_rows([[documents[i] for i in row] for row in rows], 20, pad=0)
    padded = next_tokens(documents, pad=0)

    def learn(batch):
        model.zero_grad()
        context = {name: batch[name] for name in ("document", "positions") if name in batch}
        hidden = model.hidden(batch["ids"], **context).flatten(0, 1)
        loss = chunked_cross_entropy(hidden, model.output_weight, batch["targets"].flatten(), chunk=200)
        loss.backward()
        return loss, [parameter.grad.clone() for parameter in model.parameters()]

    (ours, gradients), (wanted, expected) = learn(packed), learn(padded)
    torch.testing.assert_close(ours, wanted)
    for one, other in zip(gradients, expected, strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-4)
    blind = {name: value for name, value in packed.items() if name not in ("document", "positions")}
    assert abs(float(learn(blind)[0].detach() - wanted.detach())) > 1e-3  # what tells documents apart is needed


def test_packed_encoder_sees_its_own_document_only():
    """The mask alone, on the backbone, two-way and with relative positions."""
    config = tiny_text_models.t5().config.encoder
    assert isinstance(config, BackboneConfig)
    backbone = tiny_text_models.randomized(replace(config).build())
    x = torch.randn(1, 12, config.dim)
    document = torch.tensor([[0] * 5 + [1] * 4 + [-1] * 3])
    together = backbone(x, mask=Mask(document=document))
    for part in (slice(0, 5), slice(5, 9)):
        torch.testing.assert_close(together[:, part], backbone(x[:, part]), atol=1e-5, rtol=1e-4)
    assert together.isfinite().all()

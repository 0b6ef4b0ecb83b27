"""A corpus for masked words: windows that the frame of special tokens fits around, or pairs of its lines."""

import pytest
import torch

from multimodal.data.text.masked_data import MaskedData
from multimodal.errors import ArgumentError
from multimodal.losses import IGNORE

DOCUMENTS = "\n\n".join(f"anna has a cat{i}.\nthe cat sat.\nben has a dog.\nthe dog ran off." for i in range(30))


@pytest.fixture
def root(tmp_path):
    path = tmp_path / "corpus.txt"
    path.write_text(DOCUMENTS, encoding="utf-8")
    return str(path)


def test_windows(root):
    data = MaskedData(root, vocabulary=80, length=20, batch_size=4, share=0.5)
    data.setup()
    batch = next(iter(data.train_dataloader()))
    special = data.tokenizer
    assert batch["ids"].shape == (4, 22)
    assert (batch["ids"][:, 0] == special.cls_id).all() and (batch["ids"][:, -1] == special.sep_id).all()
    chosen = (batch["targets"] != IGNORE).sum(1)
    assert (chosen == 10).all() and (batch["ids"] == special.mask_id).sum() > 20


def test_masks_are_drawn_anew_or_not(root):
    for masking, same in (("dynamic", False), ("static", True)):
        data = MaskedData(root, vocabulary=80, length=20, batch_size=4, masking=masking)
        data.setup()
        dataset = data.dataset("train")
        one, two = (data.collate([dataset[(epoch, 3)]]) for epoch in (0, 1))
        assert torch.equal(one["targets"], two["targets"]) == same
        for epoch in (0, 1):
            validation = data.dataset("val")
            assert torch.equal(data.collate([validation[(epoch, 1)]])["ids"], data.collate([validation[(0, 1)]])["ids"])


def test_pairs_of_sentences(root):
    data = MaskedData(root, vocabulary=80, length=24, batch_size=6, next_sentence=True)
    data.setup()
    batch = next(iter(data.train_dataloader()))
    assert set(batch["next_sentence"].tolist()) <= {0, 1} and batch["types"].max() == 1
    assert batch["ids"].shape[1] <= 27
    assert len(data.pairs["val"]) < len(data.pairs["train"])
    assert {pair.next_sentence for pair in data.pairs["train"]} == {0, 1}


def test_pairs_are_made_in_memory(root, tmp_path):
    with pytest.raises(ArgumentError, match="next_sentence"):
        MaskedData(root, next_sentence=True, tokens=str(tmp_path / "ids"))


def test_packed_rows_are_refused(root):
    with pytest.raises(ArgumentError, match="packed"):
        MaskedData(root, sampling="packed")

"""Recall of a split that several processes share is that of the whole split."""

import pytest
import torch
import torch.multiprocessing
from tiny_dual_encoders import CAPTIONS, built, pictures

from multimodal.data.pairs.batches import caption_number
from multimodal.metrics import retrieval
from multimodal.tasks.pair_scores import mean_recall, split_recall


def batch_of(model, places):
    rows = model.tokenizer.batch([CAPTIONS[place] for place in places])
    return {
        "pixels": pictures(len(CAPTIONS))[places],
        "ids": rows.ids,
        "keep": rows.keep,
        "owner": torch.arange(len(places)),
        "image": torch.tensor(places),
        "caption": torch.tensor([caption_number(CAPTIONS[place]) for place in places]),
    }


def one_of_two(rank, store):
    torch.distributed.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
    model = built()
    found = split_recall(model, [batch_of(model, places) for places in ([[0, 2], [4]] if rank == 0 else [[1, 3, 5]])])
    torch.save(found, f"{store}.{rank}")
    torch.distributed.destroy_process_group()


def test_two_processes_find_what_one_does(tmp_path):
    model = built()
    image, text = model.embed_pixels(pictures(6)), model.embed_texts(list(CAPTIONS))
    wanted = mean_recall(retrieval(image, text, torch.arange(6)))
    assert split_recall(model, [batch_of(model, [0, 1, 2, 3]), batch_of(model, [4, 5])]) == pytest.approx(wanted)
    halves = [mean_recall(retrieval(image[part], text[part], torch.arange(3))) for part in ([0, 2, 4], [1, 3, 5])]
    assert wanted < sum(halves) / 2, "among half of the captions more are found"
    store = tmp_path / "store"
    torch.multiprocessing.spawn(one_of_two, (str(store),), nprocs=2)
    assert [torch.load(f"{store}.{rank}") for rank in range(2)] == pytest.approx([wanted, wanted])

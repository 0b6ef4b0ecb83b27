"""Under a locked image tower, images are read until they are known; captions go on coming."""

import torch
from test_pair_data import CAPTIONS, TRANSFORM, pairs, tokenizer  # noqa: F401  fixtures

from multimodal.data.loader import ResumableLoader
from multimodal.data.pairs.batches import CaptionConfig
from multimodal.data.pairs.dataset import PairDataset
from multimodal.data.pairs.locked import LockedPairCollator, LockedPairDataset


def test_a_known_image_is_not_read_again(pairs, tokenizer):  # noqa: F811
    plain = PairDataset(pairs, TRANSFORM.build(), training=True)
    locked = LockedPairDataset(pairs, TRANSFORM.build(), training=True).share()
    collate = CaptionConfig().build(tokenizer)
    places = [(3, 0), (3, 1), (3, 2)]
    wanted = collate([plain[place] for place in places])
    found = LockedPairCollator(collate)([locked[place] for place in places])
    assert not found["known"].any() and torch.equal(found["pixels"], wanted["pixels"])

    locked.known[torch.tensor([0, 2])] = True
    found = LockedPairCollator(collate)([locked[place] for place in places])
    assert found["known"].tolist() == [True, False, True]
    assert torch.equal(found["pixels"], wanted["pixels"][1:2])
    for name in ("ids", "keep", "caption", "index"):
        assert torch.equal(found[name], wanted[name]), name

    locked.known[:] = True
    assert LockedPairCollator(collate)([locked[place] for place in places])["pixels"].shape[0] == 0


def test_processes_that_read_see_what_becomes_known(pairs, tokenizer):  # noqa: F811
    locked = LockedPairDataset(pairs, TRANSFORM.build(), training=True).share()
    collate = LockedPairCollator(CaptionConfig().build(tokenizer))
    loader = ResumableLoader(locked, batch_size=len(CAPTIONS), collate=collate, workers=1)
    assert not next(iter(loader))["known"].any()
    locked.known[1] = True
    loader.sampler.set_epoch(1)
    assert next(iter(loader))["known"].nonzero().flatten().tolist() == [1]

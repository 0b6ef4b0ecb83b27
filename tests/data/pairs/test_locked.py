"""Under a locked image tower, images are read until they are known; captions go on coming."""

from functools import partial

import torch
from lightning.pytorch import Trainer
from test_pair_data import CAPTIONS, TRANSFORM, pairs, tokenizer  # noqa: F401  fixtures
from tiny_dual_encoders import built

from multimodal.data.images.augment import AugmentConfig
from multimodal.data.loader import EpochOrder, ResumableLoader
from multimodal.data.pairs import dataset
from multimodal.data.pairs.batches import CaptionConfig
from multimodal.data.pairs.data_modules import PairData
from multimodal.data.pairs.dataset import PairDataset
from multimodal.data.pairs.locked import LockedPairCollator, LockedPairData, LockedPairDataset
from multimodal.data.pairs.scenes import write_scenes
from multimodal.tasks.contrastive import ContrastiveConfig, ContrastiveTask
from multimodal.tasks.optimizer import OptimizerConfig


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
    loader = ResumableLoader(locked, EpochOrder(len(locked), len(CAPTIONS)), collate=collate, workers=1)
    assert not next(iter(loader))["known"].any()
    locked.known[1] = True
    loader.sampler.set_epoch(1)
    assert next(iter(loader))["known"].nonzero().flatten().tolist() == [1]


def test_from_the_second_epoch_on_no_file_is_opened_also_after_a_resume(tmp_path, monkeypatch):
    """Training is the same as with every image read each time; what is known is found out anew after a resume."""
    root, opened = write_scenes(tmp_path / "scenes", train=12, val=2, test=0, size=32), []
    read = dataset.read_pixels
    monkeypatch.setattr(
        dataset, "read_pixels", lambda path, *rest, **more: opened.append(path) or read(path, *rest, **more)
    )

    def fit(data, epochs, resumed=None):
        training, optimizer = ContrastiveConfig(locked="image", micro_batch=3), OptimizerConfig(eps=1e-3)
        task = ContrastiveTask(built(), training=training, optimizer=optimizer)
        trainer = Trainer(
            max_epochs=epochs,
            accelerator="cpu",
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            limit_val_batches=0,
            default_root_dir=tmp_path,
        )
        opened.clear()
        trainer.fit(task, datamodule=data(str(root), batch_size=4), ckpt_path=resumed, weights_only=True)
        trainer.save_checkpoint(tmp_path / f"{epochs}.ckpt")
        return len(opened), task.model.state_dict()

    unchanged = partial(PairData, augment=AugmentConfig(scale=1.0, flip=0.0))
    (once, found), (always, wanted) = fit(LockedPairData, 3), fit(unchanged, 3)
    assert (once, always) == (12, 36)
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)
    again, _ = fit(LockedPairData, 5, tmp_path / "3.ckpt")
    assert again == 12

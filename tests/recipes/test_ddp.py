"""Two CPU processes train to the same losses as one with the same effective batch; flags beat a checkpoint."""

import pytest
import torch
from fitting import fit

from multimodal.data.images.digits import write_digits
from multimodal.hub import load

ARGUMENTS = (
    "--model.image_size=8",
    "--model.patch=2",
    "--model.dim=32",
    "--model.depth=2",
    "--model.heads=2",
    "--model.resize=squash",
    "--model.drop_path=0",
    "--model.objective.mix.mixup=0",
    "--model.objective.mix.cutmix=0",
    "--model.optimizer.lr=0.001",
    "--data.augment={scale: 1, flip: 0, randaugment: 0, erase: 0}",
    "--trainer.max_epochs=2",
    "--trainer.limit_train_batches=8",
)


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    return write_digits(tmp_path_factory.mktemp("data") / "digits")


def test_two_processes_equal_one(digits, tmp_path):
    one, losses, _ = fit("vit_scratch", digits, tmp_path / "one", *ARGUMENTS, "--data.batch_size=64")
    # Forked; that they may also be started anew, test_text_ddp.py shows.
    processes = ("--data.batch_size=32", "--trainer.devices=2", "--trainer.strategy=ddp_fork")
    two, both, _ = fit("vit_scratch", digits, tmp_path / "two", *ARGUMENTS, *processes)
    assert len(losses) == 2 and losses[1] < losses[0]
    assert both == pytest.approx(losses, rel=1e-4)
    a, b = (load(folder / "model", dtype="float32").state_dict() for folder in (one, two))
    for name in a:
        assert torch.allclose(a[name], b[name], atol=2e-4), name


def test_a_flag_beats_the_checkpoint_it_resumes_from(digits, tmp_path):
    fit("vit_scratch", digits, tmp_path / "first", *ARGUMENTS, "--trainer.max_epochs=1", "--model.optimizer.lr=0.001")
    checkpoint = next((tmp_path / "first").rglob("*.ckpt"))
    flags = (f"--ckpt_path={checkpoint}", "--model.objective.smoothing=0.25")
    folder, *_ = fit("vit_scratch", digits, tmp_path / "second", *ARGUMENTS, *flags)
    config = (folder / "config.yaml").read_text()
    assert "smoothing: 0.25" in config and "max_epochs: 2" in config

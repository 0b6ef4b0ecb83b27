"""Two CPU processes train to the same losses as one with the same effective batch; flags beat a checkpoint."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

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
    "--trainer.accelerator=cpu",
    "--trainer.log_every_n_steps=1",
    "--trainer.logger=lightning.pytorch.loggers.CSVLogger",
    "--trainer.enable_progress_bar=false",
)


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    return write_digits(tmp_path_factory.mktemp("data") / "digits")


def fit(digits, out, *words):
    environment = {**os.environ, "JAXTYPING_DISABLE": "1", "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    logger = [f"--trainer.logger.save_dir={out}", f"--trainer.default_root_dir={out}"]
    done = subprocess.run(
        [sys.executable, "recipes/vit_scratch.py", "fit", f"--data.root={digits}", *ARGUMENTS, *logger, *words],
        capture_output=True,
        text=True,
        env=environment,
        timeout=280,
    )
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    folder = next(Path(out).rglob("metrics.csv")).parent
    with (folder / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return folder, [float(row["val_loss"]) for row in rows if row.get("val_loss")]


def test_two_processes_equal_one(digits, tmp_path):
    one, losses = fit(digits, tmp_path / "one", "--data.batch_size=64")
    two, both = fit(digits, tmp_path / "two", "--data.batch_size=32", "--trainer.devices=2", "--trainer.strategy=ddp")
    assert len(losses) == 2 and losses[1] < losses[0]
    assert both == pytest.approx(losses, rel=1e-4)
    a, b = (load(folder / "model", dtype="float32").state_dict() for folder in (one, two))
    for name in a:
        assert torch.allclose(a[name], b[name], atol=2e-4), name


def test_a_flag_beats_the_checkpoint_it_resumes_from(digits, tmp_path):
    fit(digits, tmp_path / "first", "--trainer.max_epochs=1", "--model.optimizer.lr=0.001")
    checkpoint = next((tmp_path / "first").rglob("*.ckpt"))
    flags = (f"--ckpt_path={checkpoint}", "--model.objective.smoothing=0.25")
    folder, _ = fit(digits, tmp_path / "second", *flags)
    config = (folder / "config.yaml").read_text()
    assert "smoothing: 0.25" in config and "max_epochs: 2" in config

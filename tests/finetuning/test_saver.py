"""The last checkpoint of a recipe: a run that was killed goes on from it as if nothing had been."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import torch

from multimodal.hub import load

WORDS = ["fit", "--model.dim=16", "--model.depth=1", "--model.heads=2", "--data.length=16", "--trainer.max_steps=300"]
WORDS += ["--trainer.val_check_interval=10000", "--trainer.accelerator=cpu", "--trainer.enable_model_summary=false"]
WORDS += ["--trainer.logger=lightning.pytorch.loggers.CSVLogger", "--trainer.enable_progress_bar=false"]

# The recipe with a checkpoint after every step, and the signal that a step was made.
SCRIPT = """
import runpy, sys, time
from multimodal.cli import recipe
from multimodal.tasks.language_modeling import LanguageModelingTask
recipe.SAVE_EVERY = 0.0
if sys.argv.pop(1) == "slowly":
    step = LanguageModelingTask.training_step
    LanguageModelingTask.training_step = lambda *words: (time.sleep(0.02), step(*words))[1]
runpy.run_path("recipes/gpt_pretrain.py", run_name="__main__")
"""


def started(corpus: Path, out: Path, how: str, *words: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "JAXTYPING_DISABLE": "1", "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    paths = [f"--data.root={corpus}", f"--trainer.logger.save_dir={out}", f"--trainer.default_root_dir={out}"]
    command = [sys.executable, "-c", SCRIPT, how, *WORDS, *paths, *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def wait_for(last: Path, process: subprocess.Popen[str]) -> None:
    """Until `process` has written a checkpoint of its fifth step or a later one."""
    deadline = time.monotonic() + 120
    while not last.exists() or torch.load(last, weights_only=True)["global_step"] < 5:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)


def numbers(path: Path) -> None:
    path.write_text("".join(f"{i} is followed by {i + 1}.\n" for i in range(2000)))


def test_ctrl_c_says_how_to_go_on(tmp_path):
    numbers(corpus := tmp_path / "corpus.txt")
    stopped = started(corpus, tmp_path / "out", "slowly")
    last = tmp_path / "out" / "lightning_logs/version_0/checkpoints/last.ckpt"
    wait_for(last, stopped)
    stopped.send_signal(signal.SIGINT)
    _, errors = stopped.communicate(timeout=60)
    step = torch.load(last, weights_only=True)["global_step"]
    assert f"Stopped. To go on from step {step}: --ckpt_path {last}" in errors
    assert "Traceback" not in errors and stopped.returncode != 0


def test_a_recipe_killed_between_validations_goes_on_as_if_it_had_not_been(tmp_path):
    numbers(corpus := tmp_path / "corpus.txt")
    plain = started(corpus, tmp_path / "plain", "plainly")
    killed = started(corpus, tmp_path / "killed", "slowly")
    wanted = "lightning_logs/version_0/checkpoints/last.ckpt"
    last = tmp_path / "killed" / wanted
    wait_for(last, killed)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    step = torch.load(last, weights_only=True)["global_step"]
    assert 5 <= step < 300
    again = started(corpus, tmp_path / "again", "plainly", f"--ckpt_path={last}")
    for process in (plain, again):
        _, errors = process.communicate(timeout=250)
        assert process.returncode == 0, errors[-2000:]
    models = [load(tmp_path / name / "lightning_logs/version_0/model", dtype="float32") for name in ("plain", "again")]
    a, b = (model.state_dict() for model in models)
    assert all(torch.equal(a[name], b[name]) for name in a), f"killed after step {step}"

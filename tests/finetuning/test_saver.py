"""The last checkpoint of a recipe: a run that was killed goes on from it as if nothing had been."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import torch
from forked import Forked

from multimodal.hub import load

WORDS = ["fit", "--model.dim=16", "--model.depth=1", "--model.heads=2", "--data.length=16", "--trainer.max_steps=100"]
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
    LanguageModelingTask.training_step = lambda *words: (time.sleep(0.05), step(*words))[1]
runpy.run_path("recipes/gpt_pretrain.py", run_name="__main__")
"""


def started(folder: Path, name: str, how: str, *words: str) -> Forked:
    """The recipe on the corpus in `folder`, into the folder `name` beside it."""
    script, corpus, out = folder / f"{name}.py", folder / "corpus.txt", folder / name
    script.write_text(SCRIPT)
    if not corpus.exists():
        corpus.write_text("".join(f"{i} is followed by {i + 1}.\n" for i in range(2000)))
    paths = [f"--data.root={corpus}", f"--trainer.logger.save_dir={out}", f"--trainer.default_root_dir={out}"]
    return Forked(script, how, *WORDS, *paths, *words)


def wait_for(last: Path, process: Forked) -> None:
    """Until `process` has written a checkpoint of its fifth step or a later one."""
    deadline = time.monotonic() + 120
    while not last.exists() or torch.load(last, weights_only=True)["global_step"] < 5:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)


def test_ctrl_c_says_how_to_go_on(tmp_path):
    stopped = started(tmp_path, "out", "slowly")
    last = tmp_path / "out" / "lightning_logs/version_0/checkpoints/last.ckpt"
    wait_for(last, stopped)
    stopped.send_signal(signal.SIGINT)
    done = stopped.ended(60)
    step = torch.load(last, weights_only=True)["global_step"]
    assert f"Stopped. To go on from step {step}: --ckpt_path {last}" in done.stderr
    assert "Traceback" not in done.stderr and done.returncode != 0


def test_a_recipe_killed_between_validations_goes_on_as_if_it_had_not_been(tmp_path):
    plain = started(tmp_path, "plain", "plainly")
    killed = started(tmp_path, "killed", "slowly")
    wanted = "lightning_logs/version_0/checkpoints/last.ckpt"
    last = tmp_path / "killed" / wanted
    wait_for(last, killed)
    killed.send_signal(signal.SIGKILL)
    killed.ended()
    step = torch.load(last, weights_only=True)["global_step"]
    assert 5 <= step < 100
    again = started(tmp_path, "again", "plainly", f"--ckpt_path={last}")
    for process in (plain, again):
        done = process.ended(250)
        assert done.returncode == 0, done.stderr[-2000:]
    models = [load(tmp_path / name / "lightning_logs/version_0/model", dtype="float32") for name in ("plain", "again")]
    a, b = (model.state_dict() for model in models)
    assert all(torch.equal(a[name], b[name]) for name in a), f"killed after step {step}"

"""SIGKILL at three random moments, each time gone on with: the end is that of an undisturbed run."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from small import small_digits

# Enough steps for a moment in the middle of them to be found: 3 epochs of 24 steps, a checkpoint after each.
RUN = """
import sys
from small import MODEL
from multimodal.finetuning import finetune
finetune(sys.argv[1], model=MODEL, out=sys.argv[2], epochs=3, batch_size=4, save_every=0.0, precision="fp32", ema=0.9)
"""


def start(data: Path, out: Path) -> subprocess.Popen:
    own = {"JAXTYPING_DISABLE": "1", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parent)}
    words = [sys.executable, "-c", RUN, str(data), str(out)]
    return subprocess.Popen(words, env={**os.environ, **own}, stderr=subprocess.PIPE)


def finished(data: Path, out: Path) -> tuple[dict, dict, str]:
    process = start(data, out)
    _, errors = process.communicate(timeout=240)
    assert process.returncode == 0, errors.decode()[-2000:]
    figures = json.loads((out / "metrics.json").read_text())
    figures.pop("seconds")
    rows = [line.rpartition(",")[0] for line in (out / "metrics.csv").read_text().splitlines()]  # without the seconds
    return figures, load_file(out / "model" / "model.safetensors"), "\n".join(rows)


@pytest.mark.slow
def test_three_kills_change_nothing(tmp_path):
    data = small_digits(tmp_path, per_class=30)
    undisturbed = finished(data, tmp_path / "undisturbed")
    out, moments = tmp_path / "killed", random.Random(0)
    for _ in range(3):
        before = _saved(out)
        process = start(data, out)
        while process.poll() is None and _saved(out) == before:
            time.sleep(0.01)
        time.sleep(moments.uniform(0.0, 0.3))
        assert process.poll() is None, "the run ended before it could be killed"
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert not (out / "model").exists() and not (out / "metrics.json").exists()
    resumed = finished(data, out)
    assert resumed[0] == undisturbed[0] and resumed[2] == undisturbed[2]
    assert all(torch.equal(resumed[1][name], undisturbed[1][name]) for name in undisturbed[1])


def _saved(out: Path) -> int:
    path = out / "checkpoints" / "last.ckpt"
    return path.stat().st_mtime_ns if path.exists() else 0

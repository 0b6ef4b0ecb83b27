"""Training by a recipe, and reading what it left."""

from __future__ import annotations

import csv
from pathlib import Path

from forked import python

QUIET = (
    "--trainer.accelerator=cpu",
    "--trainer.log_every_n_steps=1",
    "--trainer.logger=lightning.pytorch.loggers.CSVLogger",
    "--trainer.enable_progress_bar=false",
)


def fit(recipe, root, out, *words, metric="val_loss"):
    """The folder of a run on the data `root`, its `metric` at each validation, and what it printed."""
    logger = [f"--trainer.logger.save_dir={out}", f"--trainer.default_root_dir={out}"]
    done = python(f"recipes/{recipe}.py", "fit", f"--data.root={root}", *QUIET, *logger, *words)
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    folder = next(Path(out).rglob("metrics.csv")).parent
    with (folder / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return folder, [float(row[metric]) for row in rows if row.get(metric)], done.stdout

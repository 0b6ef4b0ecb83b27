"""Lightning callbacks of a fine-tuning run: history, checkpoints inside an epoch, gradual unfreezing.

Each is a function of the checkpoint and the step alone, so that a run that is killed and resumed ends as one that is
not.
"""

from __future__ import annotations

import csv
import math
import os
import sys
import time
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback, Checkpoint

from multimodal.errors import DataError
from multimodal.tasks.classification import ClassificationTask


class History(Callback):
    """A row of numbers for each epoch, kept in the checkpoint and written to a CSV file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: list[dict[str, float | int]] = []
        self.loss, self.batches, self.seconds = torch.zeros(()), 0, 0.0
        self._since = time.monotonic()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Go on counting time, without the time between a kill and now."""
        self.loss = self.loss.to(pl_module.device)
        self._since = time.monotonic()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Add the step's loss on the device, without waiting for it."""
        self.loss += outputs["loss"].detach() * trainer.accumulate_grad_batches
        self.batches += 1

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Add the epoch's row and write the file.

        Raises:
            DataError: the loss is not a finite number; Lightning then saves no checkpoint of it.
        """
        metrics = {
            name: float(value)
            for name, value in trainer.callback_metrics.items()
            if name.startswith("val_") and name != "val_score"
        }
        rate = trainer.optimizers[0].param_groups[-1]["lr"]
        train_loss = float(self.loss) / max(1, self.batches)
        for name, loss in (("training", train_loss), ("validation", metrics.get("val_loss", 0.0))):
            if not math.isfinite(loss):
                raise DataError(
                    f"Training has diverged: the {name} loss is {loss} in epoch {trainer.current_epoch + 1}. Start "
                    "again with a lower lr, and set overwrite."
                )
        self._clock()
        row = {"epoch": trainer.current_epoch + 1, "train_loss": train_loss, **metrics, "lr": rate}
        self.rows.append({**row, "seconds": round(self.seconds, 3)})
        self.loss, self.batches, self.seconds = torch.zeros((), device=pl_module.device), 0, 0.0
        if trainer.is_global_zero:
            write_csv(self.path, self.rows)

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        self._clock()
        return {"rows": self.rows, "loss": float(self.loss), "batches": self.batches, "seconds": self.seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.rows = list(state_dict["rows"])
        self.loss = torch.tensor(state_dict["loss"])
        self.batches, self.seconds = state_dict["batches"], state_dict["seconds"]

    def _clock(self) -> None:
        now = time.monotonic()
        self.seconds += now - self._since
        self._since = now


def write_csv(path: Path, rows: list[dict[str, float | int]]) -> None:
    """`rows` as a CSV file, replaced in one step."""
    temporary = path.with_name(path.name + ".tmp")
    with temporary.open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    temporary.replace(path)


class Saver(Checkpoint):
    """The last checkpoint: after each epoch, and inside one when `seconds` have passed.

    Args:
        path: where it lies, always whole; None: in checkpoints/last.ckpt beside the logs.
        seconds: of work that a kill may lose; the first checkpoint comes after 30 at most.
    """

    ASK_EVERY = 20  # batches; the clocks of several processes differ, and one must decide for all
    FIRST = 30.0  # seconds

    def __init__(self, path: Path | None, seconds: float) -> None:
        self.path, self.seconds = path, seconds
        self._last: Path | None = None  # the checkpoint that was written, and of which step it is
        self._step = 0
        self._since = time.monotonic()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Count from here, and to the first checkpoint less."""
        self._since = time.monotonic() - max(0.0, self.seconds - self.FIRST)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Say what is left; the middle of a step is no place to save at."""
        named = self.path is None and self._last is not None  # else whoever chose the path knows how to go on
        if isinstance(exception, KeyboardInterrupt) and trainer.is_global_zero and named:
            print(f"Stopped. To go on from step {self._step}: --ckpt_path {self._last}", file=sys.stderr)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save where an optimizer step is complete: gradients of half a step are in no checkpoint."""
        whole_step = (batch_idx + 1) % trainer.accumulate_grad_batches == 0
        last = batch_idx + 1 == trainer.num_training_batches
        if whole_step and not last and self._due(trainer, batch_idx):
            self._save(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save; Lightning calls checkpoint callbacks after all others."""
        self._save(trainer)

    def _due(self, trainer: Trainer, batch_idx: int) -> bool:
        late = time.monotonic() - self._since >= self.seconds
        if trainer.world_size == 1:
            return late
        steps = (batch_idx + 1) // trainer.accumulate_grad_batches
        return steps % self.ASK_EVERY == 0 and trainer.strategy.broadcast(late)

    def _save(self, trainer: Trainer) -> None:
        # Asked of all processes: the first one says where its logs are.
        path = self.path or Path(trainer.log_dir or trainer.default_root_dir) / "checkpoints" / "last.ckpt"
        temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        try:
            trainer.save_checkpoint(temporary, weights_only=False)
            if trainer.is_global_zero:
                temporary.replace(path)
                self._last, self._step = path, trainer.global_step
        finally:
            temporary.unlink(missing_ok=True)
        self._since = time.monotonic()


class GradualUnfreezing(Callback):
    """Train the last stage first, and one more stage every `epochs` epochs (ULMFiT arXiv:1801.06146 §3.3)."""

    def __init__(self, epochs: int) -> None:
        self.epochs = epochs

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Freeze what is not yet due; a frozen parameter gets no gradient and AdamW leaves it alone."""
        assert isinstance(pl_module, ClassificationTask)
        stages = pl_module.stages()
        due = 1 + trainer.current_epoch // self.epochs
        for depth, stage in enumerate(reversed(stages)):
            for parameter in stage:
                parameter.requires_grad_(depth < due)
                if depth >= due:
                    parameter.grad = None

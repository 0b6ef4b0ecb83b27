"""The progress bar of every training: Lightning's, on stderr, in the words of a person."""

from __future__ import annotations

from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import RichProgressBar


class ProgressBar(RichProgressBar):
    """Counts epochs from 1, says of how many where that is known, and leaves out what says nothing of the training."""

    def __init__(self) -> None:
        super().__init__(console_kwargs={"stderr": True})

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Lightning counts from 0, and up to -2 where only the steps are given."""
        super().on_train_epoch_start(trainer, pl_module)
        if self.progress is None or self.train_progress_bar_id is None:  # not the first process, or switched off
            return
        epochs = trainer.max_epochs or 0
        told = f"Epoch {trainer.current_epoch + 1}" + (f" of {epochs}" if epochs > 0 else "")
        self.progress.update(self.train_progress_bar_id, description=told)

    def get_metrics(self, trainer: Trainer, pl_module: LightningModule) -> Any:
        """What was logged, without the number of the log folder."""
        return {name: value for name, value in super().get_metrics(trainer, pl_module).items() if name != "v_num"}

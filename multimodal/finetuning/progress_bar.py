"""The progress bar of every training: Lightning's, on stderr, in the words of a person."""

from __future__ import annotations

from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import RichProgressBar


class ProgressBar(RichProgressBar):
    """Counts epochs from 1, says of how many where that is known, and leaves out what says nothing of the training."""

    def __init__(self) -> None:
        super().__init__(console_kwargs={"stderr": True})

    def _get_train_description(self, current_epoch: int) -> str:
        """Lightning counts from 0, and up to -2 where only the steps are given."""
        epochs = self.trainer.max_epochs or 0
        return f"Epoch {current_epoch + 1}" + (f" of {epochs}" if epochs > 0 else "")

    def get_metrics(self, trainer: Trainer, pl_module: LightningModule) -> Any:
        """What was logged, without the number of the log folder."""
        return {name: value for name, value in super().get_metrics(trainer, pl_module).items() if name != "v_num"}

"""What the progress bar of a training says, and where."""

from __future__ import annotations

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from torch.utils.data import DataLoader

from multimodal.finetuning.progress_bar import ProgressBar


class Line(LightningModule):
    """As little to train as can be."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))

    def training_step(self, batch, batch_idx):
        loss = (self.weight * batch).sum()
        self.log("train_loss", loss, prog_bar=True)
        return loss

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


@pytest.mark.parametrize(("limit", "told"), [({"max_epochs": 2}, "Epoch 2 of 2"), ({"max_steps": 6}, "Epoch 2 ")])
def test_the_bar_counts_as_a_person_does_and_leaves_stdout_alone(limit, told, tmp_path, capsys):
    trainer = Trainer(
        **limit,
        accelerator="cpu",
        callbacks=[ProgressBar()],
        default_root_dir=tmp_path,
        enable_model_summary=False,
        enable_checkpointing=False,
    )
    trainer.fit(Line(), DataLoader(torch.ones(3, 1), batch_size=1))
    printed = capsys.readouterr()
    assert printed.out == ""
    assert told in printed.err and "train_loss" in printed.err
    assert "v_num" not in printed.err and "-2" not in printed.err

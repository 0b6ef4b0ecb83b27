"""The average of weights over the steps, against its formula; it is what is saved."""

import lightning.pytorch as pl
import pytest
import torch
from torch.utils.data import DataLoader

from multimodal.finetuning.averaging import averaged_weights


class Walk(pl.LightningModule):
    """A weight that grows by 1 a step, and a count of steps."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(3))
        self.register_buffer("steps", torch.zeros((), dtype=torch.long))

    def training_step(self, batch, batch_idx):
        self.steps += 1
        return -self.weight.sum()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=1.0)


@pytest.mark.parametrize("decay", [0.5, 0.99])
def test_the_average_after_ten_steps(decay, tmp_path):
    model = Walk()
    trainer = pl.Trainer(
        max_steps=10,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=tmp_path,
        callbacks=[averaged_weights(decay)],
    )
    trainer.fit(model, DataLoader(torch.zeros(10, 1)))
    average = 1.0  # the first step's weights
    for n in range(1, 10):
        keep = min(decay, (1 + n) / (10 + n))
        average = keep * average + (1 - keep) * (n + 1)
    assert model.weight.tolist() == pytest.approx([average] * 3)
    assert int(model.steps) == 10

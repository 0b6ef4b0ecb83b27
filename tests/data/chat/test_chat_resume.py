"""A training on conversations that was killed and goes on gives the weights of one that never stopped, bit for bit."""

from __future__ import annotations

import pytest
import torch
from chat_sets import picture, talk, write_rows
from lightning.pytorch import Trainer
from tiny_vision_language import seeing

from multimodal.backbone.lora import LoraConfig, adapters
from multimodal.data.chat.data_modules import ChatData
from multimodal.tasks.optimizer import OptimizerConfig
from multimodal.tasks.vision_language import VisionLanguageTask, VisionLanguageTrainingConfig

STEPS, STOP = 8, 5  # of 3 batches an epoch: the second epoch is left in its middle


class Killed(BaseException):
    """What a signal raises."""


@pytest.fixture
def chats(tmp_path):
    """Conversations about no image, one or two, of unlike length."""
    rows = []
    for number in range(12):
        picture(tmp_path / "images" / f"{number}.png", number)
        shown = [f"{(number + k) % 12}.png" for k in range(number % 3)]
        rows.append(talk("<image>" * len(shown) + "Which?", "number " * (1 + number % 2) + str(number), image=shown))
    rows.append(talk("<image>", "this", image="3.png", split="val"))
    return write_rows(tmp_path / "chats.jsonl", rows)


def trainer(folder, **options):
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "num_sanity_val_steps": 0}
    return Trainer(
        max_steps=STEPS,
        accelerator="cpu",
        default_root_dir=folder,
        use_distributed_sampler=False,
        enable_checkpointing=False,
        limit_val_batches=0,
        **quiet,
        **options,
    )


def made(chats, training, kill=None):
    """A task whose language model drops something in each layer of its adapters, and its data."""
    task = VisionLanguageTask(seeing(), training=training, optimizer=OptimizerConfig(lr=1e-2, warmup=0.25))
    if kill is not None:
        task.on_train_batch_end = kill
    return task, ChatData(str(chats), batch_size=4, workers=0)


@pytest.mark.parametrize(
    "training",
    [
        VisionLanguageTrainingConfig(train="projector"),
        VisionLanguageTrainingConfig(train="language", lora=LoraConfig(rank=2, dropout=0.3)),
    ],
    ids=["projector", "lora"],
)
def test_a_killed_training_goes_on_to_the_weights_of_one_that_was_not(chats, tmp_path, training):
    whole, data = made(chats, training)
    before = {name: tensor.clone() for name, tensor in whole.model.state_dict().items()}
    trainer(tmp_path).fit(whole, data)
    assert any(not torch.equal(before[name], tensor) for name, tensor in whole.model.state_dict().items() if
               name.startswith("projector."))  # fmt: skip

    runner = trainer(tmp_path)

    def kill(*_):
        if runner.global_step == STOP:
            runner.save_checkpoint(tmp_path / "stopped.ckpt")
            raise Killed

    with pytest.raises(Killed):
        runner.fit(*made(chats, training, kill))
    resumed, rest = made(chats, training)
    trainer(tmp_path).fit(resumed, rest, ckpt_path=tmp_path / "stopped.ckpt", weights_only=True)
    assert resumed.global_step == STEPS and not adapters(resumed.model)
    theirs = resumed.model.state_dict()
    for name, tensor in whole.model.state_dict().items():
        assert torch.equal(tensor, theirs[name]), name

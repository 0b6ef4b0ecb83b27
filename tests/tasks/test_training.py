"""What all tasks share: every parameter in one stage, the schedule's end, metrics that begin anew, resuming."""

from dataclasses import replace
from functools import partial

import pytest
import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from tiny_text_models import bytelevel, wordpiece

from multimodal.data.text.data_modules import LanguageModelData
from multimodal.data.text.objectives import CausalConfig, MaskedConfig
from multimodal.data.text.packing import PackedConfig
from multimodal.data.text.tokens import tokens_in_memory
from multimodal.losses import IGNORE
from multimodal.presets import bert, gpt2, t5
from multimodal.tasks.language_modeling import LanguageModelingTask
from multimodal.tasks.masked_modeling import MaskedModelingTask
from multimodal.tasks.optimizer import OptimizerConfig
from multimodal.tasks.training import stages_by_depth
from multimodal.tokenizers.text_training import train_tokenizer

SIZES = {"dim": 16, "depth": 3, "heads": 2}
TEXT = "the cat sat on a mat and the dog ran to a big house where anna lives, and the mat is red. " * 12


@pytest.mark.parametrize("tied", [True, False])
def test_every_parameter_of_a_language_model_is_in_one_stage(tied):
    model = replace(gpt2(50, length=8, **SIZES), tied=tied).build()
    stages = stages_by_depth(model)
    assert sorted(id(p) for stage in stages for p in stage) == sorted(id(p) for p in model.parameters())
    assert len(stages) == 5  # embeddings, three blocks, the rest
    assert {id(p) for p in stages[0]} == {id(p) for p in model.embedding.parameters()}
    for block, stage in zip(model.backbone.blocks, stages[1:4], strict=True):
        assert {id(p) for p in stage} == {id(p) for p in block.parameters()}
    assert {id(p) for p in stages[4]} == {id(p) for p in model.parameters()} - {
        id(p) for part in (model.embedding, model.backbone.blocks) for p in part.parameters()
    }


def test_both_stacks_of_an_encoder_decoder_have_their_blocks_by_depth_and_frozen_ones_are_left_out():
    model = t5(50, start=0, head_dim=8, hidden=16, **SIZES).build()
    model.encoder.blocks[0].requires_grad_(False)
    stages = stages_by_depth(model)
    assert {id(p) for p in stages[1]} == {id(p) for p in model.decoder.blocks[0].parameters()}
    both = [*model.encoder.blocks[2].parameters(), *model.decoder.blocks[2].parameters()]
    assert {id(p) for p in stages[3]} == {id(p) for p in both}


def causal(seed=0, **options):
    tokenizer = bytelevel()
    tokens = tokens_in_memory(TEXT.split(","), tokenizer)
    config = PackedConfig(length=16) if options.get("sampling") == "packed" else CausalConfig()
    data = LanguageModelData(
        {"train": tokens, "val": tokens}, config.build(tokenizer), length=16, batch_size=4, seed=seed, **options
    )
    torch.manual_seed(0)
    model = gpt2(tokenizer.vocabulary, length=16, dropout=0.1, **SIZES).build(tokenizer)
    return LanguageModelingTask(model, optimizer=OptimizerConfig(lr=1e-2), seed=seed), data


def masked():
    tokenizer = wordpiece()
    tokens = tokens_in_memory([TEXT], tokenizer, eos=False)
    collate = MaskedConfig(share=0.3).build(tokenizer)
    data = LanguageModelData({"train": tokens, "val": tokens}, collate, length=14, ahead=0, batch_size=4)
    torch.manual_seed(0)
    model = bert(tokenizer.vocabulary, length=16, dropout=0.1, **SIZES).build(tokenizer)
    return MaskedModelingTask(model, optimizer=OptimizerConfig(lr=1e-2)), data


def trainer(folder, *, steps, callbacks=()):
    return Trainer(
        max_steps=steps,
        accelerator="cpu",
        logger=False,
        default_root_dir=folder,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        num_sanity_val_steps=0,
        gradient_clip_val=1.0,
        enable_checkpointing=bool(callbacks),
        callbacks=list(callbacks),
    )


class Stop(Callback):
    """Ends the training after a step, as a signal would, without changing what the schedule knows of its length."""

    def __init__(self, step):
        self.step = step

    def on_train_batch_end(self, trainer, *_):
        trainer.should_stop = trainer.should_stop or trainer.global_step >= self.step


@pytest.mark.parametrize("make", [partial(causal, sampling="random"), partial(causal, sampling="packed"), masked])
def test_resumed_in_the_middle_of_an_epoch_equals_uninterrupted(make, tmp_path):
    task, data = make()
    trainer(tmp_path, steps=25).fit(task, datamodule=data)
    batches = len(data.train_dataloader())
    assert batches < 18 and 18 % batches > 0, "the stop must be in the middle of an epoch after the first"

    other, again = make()
    keep = ModelCheckpoint(dirpath=tmp_path, filename="half", every_n_train_steps=18, save_top_k=-1)
    trainer(tmp_path, steps=25, callbacks=[keep, Stop(18)]).fit(other, datamodule=again)
    resumed, rest = make()
    with torch.no_grad():
        for parameter in resumed.parameters():
            parameter.zero_()
    trainer(tmp_path, steps=25).fit(resumed, datamodule=rest, ckpt_path=tmp_path / "half.ckpt", weights_only=True)
    for (name, ours), theirs in zip(task.named_parameters(), resumed.parameters(), strict=True):
        assert torch.equal(ours, theirs), name


def test_each_validation_counts_from_zero(tmp_path):
    task, data = causal()
    runner = trainer(tmp_path, steps=3)
    first = runner.validate(task, datamodule=data, verbose=False)[0]
    assert runner.validate(task, datamodule=data, verbose=False)[0] == first
    assert first["val_perplexity"] == pytest.approx(torch.tensor(first["val_loss"]).exp().item(), rel=1e-5)


def test_the_rate_counts_tokens_with_a_target():
    task, data = causal()
    batch = next(iter(data.train_dataloader()))
    batch["targets"][0, :5] = IGNORE
    assert int(task.tokens(batch)) == 4 * 16 - 5


def test_a_character_tokenizer_trains_too(tmp_path):
    """The path of the recipe: a tokenizer without an end-of-text token."""
    tokenizer = train_tokenizer(iter([TEXT]), "character")
    tokens = tokens_in_memory([TEXT], tokenizer, eos=False)
    data = LanguageModelData({"train": tokens, "val": tokens}, CausalConfig().build(tokenizer), length=8, batch_size=8)
    torch.manual_seed(0)
    model = gpt2(tokenizer.vocabulary, length=8, bias=False, **SIZES).build(tokenizer)
    task = LanguageModelingTask(model, optimizer=OptimizerConfig(lr=1e-2))
    runner = trainer(tmp_path, steps=30)
    before = runner.validate(task, datamodule=data, verbose=False)[0]["val_loss"]
    runner.fit(task, datamodule=data)
    after = runner.validate(task, datamodule=data, verbose=False)[0]["val_loss"]
    assert after < 0.8 * before

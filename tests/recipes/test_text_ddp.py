"""A text recipe trains on two CPU processes as on one with the same effective batch, and goes on from a checkpoint."""

import pytest
import torch
from fitting import fit
from forked import python

from multimodal.hub import load

NAMES, THINGS = ("Anna", "Ben", "Clara"), ("hat", "cup")
TEXT = "\n".join(f"{name} gives the {thing} to {name}." for name in NAMES for thing in THINGS)
ARGUMENTS = (
    "--model.dim=16",
    "--model.depth=2",
    "--model.heads=2",
    "--data.length=16",
    "--trainer.max_steps=12",
    "--trainer.val_check_interval=6",
    "--trainer.num_sanity_val_steps=0",
    "--trainer.enable_model_summary=false",
)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "corpus.txt"
    path.write_text(TEXT * 12, encoding="utf-8")
    return path


def test_two_processes_equal_one(corpus, tmp_path):
    one, losses, said = fit("gpt_pretrain", corpus, tmp_path / "one", *ARGUMENTS, "--data.batch_size=8")
    processes = ("--data.batch_size=4", "--trainer.devices=2", "--trainer.strategy=ddp")
    two, both, _ = fit("gpt_pretrain", corpus, tmp_path / "two", *ARGUMENTS, *processes)
    assert len(losses) == 2 and losses[1] < losses[0]
    assert both == pytest.approx(losses, rel=1e-4)
    assert f"val_loss {losses[1]:.4f}" in said, "the scores are printed"
    models = [load(folder / "model", dtype="float32") for folder in (one, two)]
    assert models[0].tokenizer.encode("Anna").ids == models[1].tokenizer.encode("Anna").ids
    a, b = (model.state_dict() for model in models)
    for name in a:
        assert torch.allclose(a[name], b[name], atol=2e-4), name

    # Scores of a checkpoint, on stdout alone.
    words = [*ARGUMENTS[:4], f"--data.root={corpus}", "--trainer.accelerator=cpu", "--trainer.logger=false"]
    words.append(f"--trainer.default_root_dir={tmp_path / 'scores'}")
    command = [
        "recipes/gpt_pretrain.py",
        "validate",
        *words,
        f"--ckpt_path={next(one.rglob('*=12.ckpt'))}",
    ]
    done = python(*command)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.startswith(f"val_loss {losses[1]:.4f}  ") and done.stdout.count("\n") == 1

    # Going on from a checkpoint: what the command line says counts, not what the checkpoint remembers.
    checkpoint = next(one.rglob("*.ckpt"))
    flags = (f"--ckpt_path={checkpoint}", "--model.optimizer.weight_decay=0.5", "--trainer.max_steps=14")
    more, last, _ = fit("gpt_pretrain", corpus, tmp_path / "more", *ARGUMENTS, "--data.batch_size=8", *flags)
    assert "weight_decay: 0.5" in (more / "config.yaml").read_text()
    assert len(last) == 1, "the last step is validated, though no interval ends there"
    saved = torch.load(next(more.rglob("*.ckpt")), weights_only=True)
    assert saved["global_step"] == 14

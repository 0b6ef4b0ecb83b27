"""What every file in recipes/ ends with: `run(recipe, data, smoke=...)`.

A recipe is a function with typed defaults that returns a task; Lightning's own command line gives it
`fit | validate | test | predict`, `--config`, `--print_config`, `--trainer.*`, `--data.*` and `--model.*` for the
function's arguments. A value on the command line beats one in a file, which beats the default; what a checkpoint
remembers beats none of them. `smoke` runs the recipe small, on digits, and says whether it learned.

After `fit` the model lies as a folder for `mm.load` beside the logs. Several processes: `--trainer.devices 8
--trainer.strategy ddp`, or `fsdp` when the model does not fit one device.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningDataModule, LightningModule, Trainer
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI

from multimodal.checkpoint import save
from multimodal.data.digits import write_digits
from multimodal.errors import ArgumentError, DataError


@dataclass(frozen=True, kw_only=True)
class Smoke:
    """The small form of a recipe: about twenty seconds on a CPU, most of them imports, on scikit-learn's digits."""

    arguments: tuple[str, ...]  # of `fit`, after the data
    metric: str = "val_accuracy"
    at_least: float  # what the metric must reach


class RecipeCLI(LightningCLI):
    """Lightning's command line, with the labels handed from the data to the recipe."""

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """The data know the class names; the recipe's head needs them."""
        parser.link_arguments("data.labels", "model.labels", apply_on="instantiate")

    def _parse_ckpt_path(self) -> None:
        """A checkpoint gives weights and progress; it does not override what was asked for."""


class ModelFolder(Callback):
    """After training, the model as a folder for `mm.load`, wherever the weights were."""

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Gather the weights on the first process and save them beside the logs."""
        state = trainer.strategy.lightning_module_state_dict()
        logs = trainer.log_dir or trainer.default_root_dir  # asks the other processes, so before they leave
        if not trainer.is_global_zero:
            return
        model: Any = pl_module.model
        plain = model.config.build(model.labels)
        own = {name.removeprefix("model."): value for name, value in state.items() if name.startswith("model.")}
        plain.load_state_dict(own)
        plain.card = {"metrics": {name: float(value) for name, value in trainer.callback_metrics.items()}}
        folder = save(plain, Path(logs) / "model")
        print(f"The model is in {folder}", file=sys.stderr)


def run(
    recipe: Callable[..., LightningModule],
    data: type[LightningDataModule],
    *,
    smoke: Smoke,
) -> None:
    """Run `recipe` with the words of the command line.

    Ends the process with exit code 2 for a wrong argument, 1 for unusable data or a smoke run that did not learn.
    """
    try:
        if sys.argv[1:2] == ["smoke"]:
            _smoke(recipe, data, smoke, sys.argv[2:])
        else:
            _lightning(recipe, data)
    except (ArgumentError, DataError) as error:
        print(f"{Path(sys.argv[0]).name}: {error}", file=sys.stderr)
        raise SystemExit(2 if isinstance(error, ArgumentError) else 1) from None


def _lightning(recipe: Callable[..., LightningModule], data: type[LightningDataModule]) -> RecipeCLI:
    return RecipeCLI(
        recipe,
        data,
        seed_everything_default=0,
        save_config_kwargs={"overwrite": True},
        trainer_defaults={
            "callbacks": [ModelFolder()],
            "use_distributed_sampler": False,  # the loaders share the images among processes themselves
            "precision": "bf16-mixed" if torch.cuda.is_available() else "32-true",
        },
        parser_kwargs={"description": (recipe.__doc__ or "").strip()},
        auto_configure_optimizers=False,
    )


def _smoke(
    recipe: Callable[..., LightningModule], data: type[LightningDataModule], smoke: Smoke, rest: list[str]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = write_digits(Path(folder) / "digits")
        words = ["fit", f"--data.root={root}", f"--trainer.default_root_dir={folder}", "--trainer.accelerator=cpu"]
        words += ["--trainer.logger=false", "--trainer.enable_model_summary=false", *smoke.arguments, *rest]
        sys.argv[1:] = words  # where Lightning looks, also in the processes that it starts
        trainer = _lightning(recipe, data).trainer
        reached = float(trainer.callback_metrics[smoke.metric])
    verdict = "learned" if reached >= smoke.at_least else "did not learn"
    print(f"smoke: {verdict}: {smoke.metric} {reached:.3f}, expected at least {smoke.at_least}")
    if reached < smoke.at_least:
        raise SystemExit(1)

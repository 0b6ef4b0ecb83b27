"""What every file in recipes/ ends with: `run(recipe, data, smoke=...)`.

A recipe is a function with typed defaults that returns a task; Lightning's own command line gives it
`fit | validate | test | predict`, `--config`, `--print_config`, `--trainer.*`, `--data.*` and `--model.*` for the
function's arguments. A value on the command line beats one in a file, which beats the default; what a checkpoint
remembers beats none of them. `smoke` runs the recipe small, on data that it makes, and says whether it learned.

What the data know and a recipe has a parameter for, without a default, is handed over: `labels`, the names of classes
or tags; `texts` to train a tokenizer on; of a corpus its `tokenizer` and the `length` of its windows.

After `fit` the model lies as a folder for `mm.load` beside the logs, and its last scores go to stdout. A run that was
killed before goes on from `checkpoints/last.ckpt` there, which is at most five minutes old: `--ckpt_path`. Several
processes: `--trainer.devices 8 --trainer.strategy ddp`, or `fsdp` when the model does not fit one device.
"""

from __future__ import annotations

import inspect
import logging
import math
import sys
import tempfile
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from lightning.pytorch import Callback, LightningDataModule, LightningModule, Trainer
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI

from multimodal.checkpoint import save
from multimodal.checkpoint.kinds import rebuilt
from multimodal.data.images.digits import write_digits
from multimodal.errors import ArgumentError, DataError
from multimodal.finetuning.callbacks import Saver
from multimodal.finetuning.progress_bar import ProgressBar
from multimodal.hub.files import first_line

_FOUND_BY_LIGHTNING = ("best", "last", "hpc", "registry")
SAVE_EVERY = 300.0  # seconds of work that a kill loses at most
HANDED_OVER = ("labels", "texts", "tokenizer", "length", "next_sentence")  # from the data, where a recipe asks for them


@dataclass(frozen=True, kw_only=True)
class Smoke:
    """The small form of a recipe: ten to twenty seconds on a CPU, half of them imports.

    `metric` must reach `at_least`, or stay below `at_most`.
    """

    arguments: tuple[str, ...]  # of `fit`, after those that `data` gives
    data: Callable[[Path], Sequence[str]] = lambda folder: [f"--data.root={write_digits(folder / 'digits')}"]
    # ^ makes small data in a folder, and gives the arguments that name them; default: scikit-learn's digits
    metric: str = "val_accuracy"
    at_least: float = -math.inf
    at_most: float = math.inf


class RecipeCLI(LightningCLI):
    """Lightning's command line, with what the data know handed to the recipe."""

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """The data know class names and vocabulary; the recipe's model needs them."""
        parameters = inspect.signature(self._model_class).parameters
        for name in HANDED_OVER:
            if name in parameters and parameters[name].default is inspect.Parameter.empty:
                parser.link_arguments(f"data.{name}", f"model.{name}", apply_on="instantiate")

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        """The one that is asked for, where it is the first word: describing the arguments of all takes a second."""
        every = LightningCLI.subcommands()
        asked = sys.argv[1] if len(sys.argv) > 1 else ""
        return {asked: every[asked]} if asked in every else every

    def before_instantiate_classes(self) -> None:
        """Our progress bar, unless there shall be none; and checkpoints are read without running what is in them."""
        config = self.config[str(self.subcommand)]
        if config.get("weights_only") is None:
            config.weights_only = True
        if (path := config.get("ckpt_path")) and config.weights_only:
            check_checkpoint(path)
        if config.trainer.enable_progress_bar is not False:
            self.trainer_defaults["callbacks"].append(ProgressBar())

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """The trainer, which keeps a last checkpoint also between validations, unless it shall keep none."""
        trainer: Any = super().instantiate_trainer(**kwargs)
        if trainer.checkpoint_callbacks:
            trainer.callbacks.append(Saver(None, SAVE_EVERY))
        return trainer

    def _parse_ckpt_path(self) -> None:
        """A checkpoint gives weights and progress; it does not override what was asked for."""


class Outcome(Callback):
    """What is left at the end: the scores on stdout, and after training the model as a folder for `mm.load`.

    `kept`: whether that folder stays, and is worth naming.
    """

    def __init__(self, *, kept: bool) -> None:
        self.kept = kept

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *rest: Any) -> None:
        """Have the last step validated, also where the interval of validations does not end there."""
        if 0 < trainer.max_steps <= trainer.global_step:
            trainer.should_stop = True  # Lightning validates when it is told to stop

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Gather the weights on the first process and save them beside the logs."""
        state = trainer.strategy.lightning_module_state_dict()
        logs = trainer.log_dir or trainer.default_root_dir  # asks the other processes, so before they leave
        if not trainer.is_global_zero:
            return
        model: Any = pl_module.model
        plain = rebuilt(model)
        own = {name.removeprefix("model."): value for name, value in state.items() if name.startswith("model.")}
        plain.load_state_dict(own)
        plain.card = {"metrics": self._told(trainer)}
        folder = save(plain, Path(logs) / "model")
        if self.kept:
            print(f"The model is in {folder}", file=sys.stderr)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Where validation is all that was asked for, its scores."""
        if trainer.state.fn == "validate":
            self._told(trainer)

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The scores; Lightning's own table goes where the progress bar is."""
        self._told(trainer)

    @staticmethod
    def _told(trainer: Trainer) -> dict[str, float]:
        """The scores, once they are printed."""
        scores = {name: float(value) for name, value in trainer.callback_metrics.items() if name != "tokens_per_second"}
        if trainer.is_global_zero:
            print("  ".join(f"{name} {value:.4f}" for name, value in scores.items()))
        return scores


def check_checkpoint(path: str) -> None:
    """Refuse a checkpoint that cannot be read, before anything is made ready.

    Raises:
        DataError: it is not there, damaged, or more than tensors and plain data.
    """
    if path in _FOUND_BY_LIGHTNING or "://" in path or Path(path).is_dir():  # a folder: parts of several processes
        return
    try:
        torch.load(path, map_location="cpu", mmap=True, weights_only=True)
    except FileNotFoundError:
        raise DataError(f"There is no checkpoint {path}.") from None
    except UnpicklingError:
        raise DataError(f"{path} is no checkpoint of tensors and plain data; reading it could run code.") from None
    except (RuntimeError, OSError, EOFError, ValueError, KeyError) as error:
        raise DataError(f"{path} is no checkpoint, or damaged: {first_line(error)}") from None


def run(
    recipe: Callable[..., LightningModule],
    data: type[LightningDataModule],
    *,
    smoke: Smoke,
    trainer: Mapping[str, Any] = {},
) -> None:
    """Run `recipe` with the words of the command line; `trainer` are its defaults of the Trainer's arguments.

    Ends the process with exit code 2 for a wrong argument, 1 for unusable data or a smoke run that did not learn.
    """
    # Lightning recommends products of its makers at every start, and warns of what torch changed below it.
    logging.getLogger("lightning.pytorch.utilities.rank_zero").addFilter(lambda line: "Tip:" not in line.getMessage())
    warnings.filterwarnings("ignore", message=".*LeafSpec.*is deprecated")
    warnings.filterwarnings("ignore", message="The dirpath has changed from")  # of a resumed run, as it should
    try:
        if sys.argv[1:2] == ["smoke"]:
            _smoke(recipe, data, smoke, trainer, sys.argv[2:])
        else:
            _lightning(recipe, data, trainer)
    except (ArgumentError, DataError) as error:
        print(f"{Path(sys.argv[0]).name}: {error}", file=sys.stderr)
        raise SystemExit(2 if isinstance(error, ArgumentError) else 1) from None


def _lightning(
    recipe: Callable[..., LightningModule],
    data: type[LightningDataModule],
    trainer: Mapping[str, Any],
    *,
    kept: bool = True,
) -> RecipeCLI:
    return RecipeCLI(
        recipe,
        data,
        seed_everything_default=0,
        save_config_kwargs={"overwrite": True},
        trainer_defaults={
            "callbacks": [Outcome(kept=kept)],
            "use_distributed_sampler": False,  # the loaders share the samples among processes themselves
            "precision": "bf16-mixed" if torch.cuda.is_available() else "32-true",
            **trainer,
        },
        parser_kwargs={"description": (recipe.__doc__ or "").strip()},
        auto_configure_optimizers=False,
    )


def _smoke(
    recipe: Callable[..., LightningModule],
    data: type[LightningDataModule],
    smoke: Smoke,
    trainer: Mapping[str, Any],
    rest: list[str],
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        words = ["fit", *smoke.data(Path(folder)), f"--trainer.default_root_dir={folder}", "--trainer.accelerator=cpu"]
        words += ["--trainer.logger=false", "--trainer.enable_model_summary=false", *smoke.arguments, *rest]
        sys.argv[1:] = words  # where Lightning looks, also in the processes that it starts
        reached = float(_lightning(recipe, data, trainer, kept=False).trainer.callback_metrics[smoke.metric])
    learned = smoke.at_least <= reached <= smoke.at_most
    verdict = "learned" if learned else "did not learn"
    expected = f"at most {smoke.at_most}" if smoke.at_most < math.inf else f"at least {smoke.at_least}"
    print(f"smoke: {verdict}: {smoke.metric} {reached:.3f}, expected {expected}")
    if not learned:
        raise SystemExit(1)

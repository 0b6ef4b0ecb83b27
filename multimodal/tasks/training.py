"""What every task shares: repeatable steps, AdamW and its schedule, clipping, metrics gathered on the device, the rate.

A task adds what is its own: the loss of a batch and what is counted at validation.

Axes: none of its own
"""

from __future__ import annotations

import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule
from lightning.pytorch.plugins.precision import MixedPrecision
from torch import Tensor, nn
from torchmetrics import Metric

from multimodal.backbone.backbone import Backbone
from multimodal.backbone.lora import adapters, detach, merge
from multimodal.tasks.optimizer import OptimizerConfig, adamw, parameter_groups, scheduled
from multimodal.tokenizers.image import ImageTokenizer
from multimodal.tokenizers.text_embedding import Placement, TextEmbedding

NAMED = 10  # unreadable files that are named at the end of a training


class TrainingTask(LightningModule, ABC):
    """A model with an optimizer; a subclass gives `training_step`, and `count` for validation and test."""

    model: Any
    shown: Sequence[str] | None = None  # metrics beside the progress bar; None: all

    def __init__(
        self, model: nn.Module, *, optimizer: OptimizerConfig, seed: int, callbacks: Sequence[Callback] = ()
    ) -> None:
        """Train `model`, in place.

        Args:
            model: what is trained.
            optimizer: AdamW and its schedule over the whole training.
            seed: of everything random in a step; each step's randomness follows from (seed, step, process).
            callbacks: of Lightning, that this training needs besides what the trainer has.
        """
        super().__init__()
        self.model = model
        self.optimizer_config, self.seed, self.callbacks = optimizer, seed, list(callbacks)
        self.failed: set[str] = set()  # files that could not be read while training; a step adds them
        self._done: Tensor | int = 0  # tokens since the rate was last logged
        self._since = time.perf_counter()

    def measure(self, metrics: Callable[[], Mapping[str, Metric]]) -> None:
        """Keep what `metrics()` makes, once for validation and once for test."""
        self.val_metrics, self.test_metrics = nn.ModuleDict(metrics()), nn.ModuleDict(metrics())

    @abstractmethod
    def count(self, batch: Any, metrics: dict[str, Any]) -> None:
        """Add one batch to `metrics`."""

    def report(self, metrics: dict[str, Any]) -> dict[str, Tensor]:
        """The values to log once all batches were counted; processes are summed up here."""
        return {name: metric.compute() for name, metric in metrics.items()}

    def tokens(self, batch: Any) -> Tensor | int:
        """How many tokens a batch trains on, padding apart; 0: no rate is logged."""
        return 0

    def configure_callbacks(self) -> list[Callback]:
        """What this training needs besides what the trainer has."""
        return self.callbacks

    def on_train_start(self) -> None:
        """The rate counts from here."""
        self._done, self._since = 0, time.perf_counter()

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Make this step's randomness a function of (seed, step, rank), so that a resumed run repeats it."""
        torch.manual_seed(
            (self.seed * 1_000_003 + self.trainer.fit_loop.epoch_loop.total_batch_idx) * 64 + self.global_rank
        )

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Log loss and rate now and then: every call to `log` costs as much as a small kernel."""
        self._done = self._done + self.tokens(batch)
        trainer: Any = self.trainer
        if batch_idx % trainer.log_every_n_steps:
            return
        self.log("train_loss", outputs["loss"], prog_bar=True)
        done, now = int(self._done), time.perf_counter()  # `int` waits for the device, as the clock must
        if done:
            self.log("tokens_per_second", done * trainer.world_size / max(now - self._since, 1e-9), prog_bar=True)
        self._done, self._since = 0, now

    def on_train_end(self) -> None:
        """Say which files could not be read."""
        if self.failed:
            count = f"{len(self.failed)} files could not be read while training, and others took their places:"
            more = f"... and {len(self.failed) - NAMED} more" if len(self.failed) > NAMED else None
            print("\n  ".join(filter(None, [count, *sorted(self.failed)[:NAMED], more])), file=sys.stderr)

    def fold_adapters(self) -> None:
        """Add adapters to the weights that they adapt, so that what remains is the plain model."""
        if adapters(self.model):
            self.model.eval()
            merge(self.model)
            detach(self.model)

    def on_validation_epoch_start(self) -> None:
        """Count from zero, also after a validation that was broken off."""
        for metric in self.val_metrics.values():
            metric.reset()  # pyright: ignore

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        """Count one batch of the validation split."""
        self.count(batch, dict(self.val_metrics.items()))

    def on_validation_epoch_end(self) -> None:
        """Log all metrics of the validation split; the time it took is not the training's."""
        self._log(self.val_metrics, "val")
        self._done, self._since = 0, time.perf_counter()

    def on_test_epoch_start(self) -> None:
        """Count from zero."""
        for metric in self.test_metrics.values():
            metric.reset()  # pyright: ignore

    def test_step(self, batch: Any, batch_idx: int) -> None:
        """Count one batch of the test split."""
        self.count(batch, dict(self.test_metrics.items()))

    def on_test_epoch_end(self) -> None:
        """Log all metrics of the test split."""
        self._log(self.test_metrics, "test")

    def _log(self, metrics: nn.ModuleDict, split: str) -> None:
        for name, value in self.report(dict(metrics.items())).items():
            # The values are those of all processes already; `sync_dist` only tells Lightning so.
            beside = self.shown is None or name in self.shown
            self.log(f"{split}_{name}", value.float(), prog_bar=beside, sync_dist=True)

    def configure_optimizers(self) -> Any:
        """AdamW with rates by depth, and a schedule over all steps of the training."""
        config = self.optimizer_config
        optimizer = adamw(parameter_groups(self.stages(), config, undecayed=self.undecayed()), config)
        schedule = scheduled(optimizer, int(self.trainer.estimated_stepping_batches), config)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip as Lightning does, and also under bf16, where it refuses for fused optimizers.

        Its reason is the scaled loss of float16; bf16 has none, so the gradients are what they seem.
        """
        plugin = self.trainer.precision_plugin
        unscaled = isinstance(plugin, MixedPrecision) and plugin.scaler is None
        if gradient_clip_val and unscaled and gradient_clip_algorithm in (None, "norm"):
            nn.utils.clip_grad_norm_(self.parameters(), gradient_clip_val)
        else:
            self.clip_gradients(optimizer, gradient_clip_val, gradient_clip_algorithm)

    def stages(self) -> list[list[nn.Parameter]]:
        """Parameters from input to output; the rate may fall towards the input (`layer_decay`)."""
        return stages_by_depth(self.model)

    def undecayed(self) -> Sequence[nn.Parameter]:
        """Tokens and positions: matrices by shape, but not linear maps."""
        linear = {
            id(module.weight)
            for module in self.model.modules()
            if isinstance(module, nn.Linear | nn.modules.conv._ConvNd)
        }
        return [p for p in self.model.parameters() if id(p) not in linear]


def stages_by_depth(model: nn.Module) -> list[list[nn.Parameter]]:
    """Trainable parameters: embeddings of words and patches, each block (of all stacks), and whatever follows.

    Every one is in one stage; a word table that is also the output layer is in the first.
    """
    depth: dict[int, int] = {}  # of a parameter
    stacks = [module for module in model.modules() if isinstance(module, Backbone)]
    for module in model.modules():
        if isinstance(module, TextEmbedding | Placement | ImageTokenizer):
            depth.update({id(p): 0 for p in module.parameters()})
    for stack in stacks:
        for number, block in enumerate(stack.blocks, 1):
            depth.update({id(p): number for p in block.parameters()})
    last = max((len(stack.blocks) for stack in stacks), default=0) + 1
    stages: list[list[nn.Parameter]] = [[] for _ in range(last + 1)]
    for parameter in model.parameters():
        if parameter.requires_grad:
            stages[depth.get(id(parameter), last)].append(parameter)
    return stages

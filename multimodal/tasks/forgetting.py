"""Guarding what a model could do before: fine-tuning on pairs of one kind makes it forget others.

What is to be kept is measured as training goes. At the end the weights are interpolated between before and after, and
of the points that forget at most `max_forget` the one that has learned most becomes the model.

Refs: WiSE-FT arXiv:2109.01903
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from multimodal.backbone.lora import adapters, detach, merged_state_dict
from multimodal.checkpoint.kinds import rebuilt
from multimodal.errors import ArgumentError
from multimodal.models.dual_encoder import DualEncoder
from multimodal.tasks.pair_scores import split_recall

Score = Callable[[DualEncoder], float]  # from 0 to 1, the higher the better


class ForgettingGuard(Callback):
    """Measures `keep` at each validation, and ends with the best weights between before and after.

    `points` has, after training, a row for each interpolation: its part of the way, what it kept, what it learned.
    """

    def __init__(self, model: DualEncoder, keep: Score, *, max_forget: float = 0.01, steps: int = 10) -> None:
        """Guard `model`, which is as it was before training.

        Args:
            model: what will be trained; its weights are copied.
            keep: the score that must not fall, such as zero-shot accuracy on other data.
            max_forget: how far it may fall, as a part of 1.
            steps: how many points between before and after are tried.

        Raises:
            ArgumentError: `max_forget` is not a part of 1, or there are no steps.
        """
        if not 0 <= max_forget <= 1:
            raise ArgumentError(f"max_forget is {max_forget}; it is a part of 1 and must lie in [0, 1].")
        if steps < 1:
            raise ArgumentError(f"steps is {steps}; it must be at least 1.")
        self.keep, self.max_forget, self.steps = keep, max_forget, steps
        self.before = {name: value.detach().cpu().clone() for name, value in model.state_dict().items()}
        self.kept_before: float | None = None
        self.points: list[dict[str, float]] = []

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """What the model could do before; also where training goes on from a checkpoint."""
        model: Any = pl_module.model
        self.kept_before = self.keep(self._with(model, self.before))

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log what is kept now."""
        model: Any = pl_module.model
        if self.kept_before is None or trainer.sanity_checking:
            return
        kept = self.keep(model)
        pl_module.log("val_keep", kept, prog_bar=True, sync_dist=True)
        pl_module.log("val_forgot", self.kept_before - kept, prog_bar=True, sync_dist=True)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Try the points between before and after, and make the best of them the model."""
        model: Any = pl_module.model
        after = {name: value.detach().cpu() for name, value in merged_state_dict(model).items()}
        plain = self._with(model, self.before)
        self.points = []
        for step in range(self.steps + 1):
            part = step / self.steps
            plain.load_state_dict(between(self.before, after, part))
            kept, learned = self.keep(plain), self._learned(trainer, plain)
            self.points.append({"part": part, "kept": kept, "learned": learned})
        best = chosen(self.points, self.max_forget)
        if adapters(model):
            detach(model)
        model.load_state_dict(between(self.before, after, best["part"]))
        trainer.callback_metrics.update(
            {
                "keep_before": torch.tensor(self.points[0]["kept"]),
                "keep_after": torch.tensor(self.points[-1]["kept"]),
                "val_recall_after": torch.tensor(self.points[-1]["learned"]),
                "part": torch.tensor(best["part"]),
                "keep": torch.tensor(best["kept"]),
                "val_recall": torch.tensor(best["learned"]),
            }
        )
        if trainer.is_global_zero:
            print(self._told(best), file=sys.stderr)

    @staticmethod
    def _with(model: DualEncoder, state: Mapping[str, Tensor]) -> DualEncoder:
        """A plain model like `model` with the weights `state`, on its device."""
        plain: Any = rebuilt(model)
        plain.load_state_dict(dict(state))
        return plain.to(next(model.parameters()).device).eval()

    @staticmethod
    def _learned(trainer: Trainer, model: DualEncoder) -> float:
        """Mean recall at 1, both ways, on the validation split; 0 where there is none."""
        loaders = trainer.val_dataloaders
        return split_recall(model, loaders) if loaders else 0.0

    def _told(self, best: Mapping[str, float]) -> str:
        first, last = self.points[0], self.points[-1]
        return (
            f"Before training: kept {first['kept']:.1%}, recall@1 {first['learned']:.1%}; after: kept "
            f"{last['kept']:.1%}, recall@1 {last['learned']:.1%}. The model is {best['part']:.0%} of the way: kept "
            f"{best['kept']:.1%}, recall@1 {best['learned']:.1%} (max_forget {self.max_forget:.1%})."
        )


def between(before: Mapping[str, Tensor], after: Mapping[str, Tensor], part: float) -> dict[str, Tensor]:
    """before + part · (after - before), exactly `before` and `after` at the ends; integers are those of `after`."""
    found = {}
    for name, last in after.items():
        first = before[name].to(last.device)
        if not last.is_floating_point() or part == 1.0:
            found[name] = last
        else:
            found[name] = torch.lerp(first.to(last.dtype), last, part) if part else first.to(last.dtype)
    return found


def chosen(points: list[dict[str, float]], max_forget: float) -> dict[str, float]:
    """The point that has learned most, and of equals the last, among those that keep enough of what the first kept.

    The first point is before training, which forgets nothing: there is always one.
    """
    enough = [point for point in points if point["kept"] >= points[0]["kept"] - max_forget - 1e-9]
    return max(enough, key=lambda point: (point["learned"], point["part"]))

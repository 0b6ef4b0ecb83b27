"""After training: the model's answers on held-out images, their calibration, and everything written down.

Axes: n images · c classes
"""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from multimodal import metrics
from multimodal.config import to_plain
from multimodal.data.images.data_modules import LabeledImageData
from multimodal.data.images.samples import LabeledImages, Skipped
from multimodal.errors import DataError
from multimodal.finetuning.held_out import HeldOut
from multimodal.finetuning.plan import Plan
from multimodal.finetuning.report import ReportData, write_report
from multimodal.finetuning.run import Mistake, write_predictions
from multimodal.finetuning.settings import FinetuneConfig
from multimodal.finetuning.train import device_name
from multimodal.models.classifier import Classifier
from multimodal.progress import track


@dataclass(frozen=True)
class Evaluation:
    """Held-out answers of a trained model, whose temperature is set."""

    held_out: HeldOut

    def write(
        self,
        out: Path,
        plan: Plan,
        history: Sequence[Mapping[str, Any]],
        skipped: Sequence[Skipped],
    ) -> dict[str, Any]:
        """Write predictions and report into `out`; returns the figures."""
        seconds = sum(row["seconds"] for row in history)
        best = max(row["val_map" if self.held_out.multi_label else "val_accuracy"] for row in history)
        figures = {**self.figures(), "best_val": best, "baseline": plan.baseline, "seconds": round(seconds, 1)}
        write_predictions(out / "predictions.csv", self.answers())
        baseline = None if plan.baseline is None else ("nearest class mean of the untrained features", plan.baseline)
        report = ReportData(
            title=Path(plan.folder).name or plan.folder,
            model=plan.source if len(plan.source) < 200 else "a config with fresh weights",
            held_out=self.held_out,
            baseline=baseline,
            history=history,
            options=to_plain(plan.settings),
            seconds=seconds,
            versions=versions(),
            skipped=skipped,
            notes=self.notes(),
        )
        write_report(report, out / "report.html")
        return figures

    def figures(self) -> dict[str, Any]:
        """The scores by name."""
        held = self.held_out
        common = {"split": held.split, "images": len(held.paths), "temperature": held.temperature}
        if held.multi_label:
            ap = held.average_precision
            target = held.targets
            return {
                **common,
                "map": metrics.mean_over_present(ap, target.sum(0)),
                "f1": metrics.micro_f1(held.predicted, target),
            }
        right = int(held.right.sum())
        low, high = metrics.wilson_interval(right, len(held.paths))
        scores = held.per_class
        return {
            **common,
            "accuracy": right / len(held.paths),
            "accuracy_interval_95": [low, high],
            "balanced_accuracy": metrics.mean_over_present(scores.recall, scores.support),
            "macro_f1": metrics.mean_over_present(scores.f1, scores.support),
            "loss": float(torch.nn.functional.cross_entropy(held.logits / held.temperature, held.targets)),
            "ece": metrics.expected_calibration_error(held.probabilities(held.temperature), held.targets),
            "ece_uncalibrated": metrics.expected_calibration_error(held.probabilities(1.0), held.targets),
        }

    def answers(self) -> list[Mistake]:
        """One row for each held-out image, right ones too."""
        held = self.held_out
        chances = held.probabilities(held.temperature)
        rows = []
        for i, path in enumerate(held.paths):
            if held.multi_label:
                label, predicted = (_names(held.labels, rows_[i]) for rows_ in (held.targets, held.predicted))
                probability = float(chances[i].max())
            else:
                best = int(held.predicted[i])
                label, predicted = held.labels[int(held.targets[i])], held.labels[best]
                probability = float(chances[i, best])
            rows.append(Mistake(path, label, predicted, probability))
        return rows

    def notes(self) -> list[str]:
        """What a reader of the figures must know."""
        notes = []
        if self.held_out.split == "val":
            notes.append(
                "There is no test split: these figures are on the validation images, by which the best epoch was "
                "chosen, so they are a little too good."
            )
            notes.append("The temperature was fitted on the same images that the calibration below is measured on.")
        return notes


def evaluate(model: Classifier, images: LabeledImages, config: FinetuneConfig, part: str) -> Evaluation:
    """Fit the temperature of `model` on the validation split, in place, and answer every image of `part`."""
    data = LabeledImageData(
        images,
        batch_size=max(1, config.loop.batch_size // config.loop.accumulate),
        workers=config.loop.workers if config.loop.workers >= 0 else None,
        transform=model.transform.config,
    )
    device = torch.device(device_name())
    model.to(device)
    val = _answers(model, data, "val")
    model.temperature = metrics.fit_temperature(val.logits, val.targets)
    held_out = val if part == "val" else _answers(model, data, part)
    model.cpu()
    return Evaluation(replace(held_out, temperature=model.temperature))


@torch.inference_mode()
def _answers(model: Classifier, data: LabeledImageData, part: str) -> HeldOut:
    loader = data.evaluation_loader(part)
    device = next(model.parameters()).device
    model.eval()
    logits: list[Tensor] = []
    targets: list[Tensor] = []
    indices: list[Tensor] = []
    for batch in track(loader, len(loader), f"Answering the {part} images"):
        logits.append(model(batch["pixels"].to(device)).float().cpu())
        targets.append(batch["target"])
        indices.append(batch["index"])
    if not all(bool(batch.isfinite().all()) for batch in logits):
        raise DataError(f"The model's answers on the {part} images are not finite; train again with a lower lr.")
    target = torch.cat(targets)
    paths = [data.images.splits[part][i].path for i in torch.cat(indices).tolist()]
    return HeldOut(
        split=part,
        labels=model.labels,
        logits=torch.cat(logits),
        targets=target.bool() if data.images.multi_label else target,
        paths=tuple(paths),
    )


def versions() -> dict[str, str]:
    """What the run was made with."""
    names = ("multimodal", "torch", "torchvision", "timm", "lightning")
    return {"python": platform.python_version(), **{name: importlib.metadata.version(name) for name in names}}


def _names(labels: Sequence[str], chosen: Tensor) -> str:
    return "|".join(label for label, yes in zip(labels, chosen.tolist(), strict=True) if yes)

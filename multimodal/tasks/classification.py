"""Training an image classifier: cross-entropy (or one binary cross-entropy a class), accuracy, AdamW.

What surrounds it (early stopping, averaging of weights, checkpoints) are Lightning callbacks; files are the data
module's business.

Axes: b batch · c classes · h, w pixels
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from lightning.pytorch import LightningModule
from lightning.pytorch.plugins.precision import MixedPrecision
from torch import Tensor, nn
from torch.nn import functional as F
from torchmetrics import Accuracy, AveragePrecision, F1Score, MeanMetric, Metric

from multimodal.data.image_dataset import ImageItems
from multimodal.models.classifier import Classifier
from multimodal.tasks.mixing import MixConfig
from multimodal.tasks.optimizer import OptimizerConfig, adamw, parameter_groups, warmup_cosine


@dataclass(frozen=True, kw_only=True)
class ObjectiveConfig:
    """What the classifier is trained for."""

    smoothing: float = 0.0  # label smoothing: probability given to all classes alike (arXiv:1512.00567 §7)
    mix: MixConfig = MixConfig()
    class_weights: tuple[float, ...] = ()  # weight of each class in the loss; (): all alike


class ClassificationTask(LightningModule):
    """A classifier with its loss, its metrics and its optimizer."""

    class_weights: Tensor | None

    def __init__(
        self,
        model: Classifier,
        *,
        objective: ObjectiveConfig = ObjectiveConfig(),
        optimizer: OptimizerConfig = OptimizerConfig(),
        train_encoder: bool = True,
        seed: int = 0,
    ) -> None:
        """Train `model`.

        Args:
            model: the classifier; it is changed in place.
            objective: the loss.
            optimizer: AdamW and its schedule over the whole training.
            train_encoder: False trains the head alone (linear probe).
            seed: of dropout, drop path and mixing; each step's randomness follows from (seed, step).
        """
        super().__init__()
        self.model = model
        self.objective, self.optimizer_config, self.seed = objective, optimizer, seed
        self.train_encoder = train_encoder
        self.mix = objective.mix.build()
        weights = torch.tensor(objective.class_weights) if objective.class_weights else None
        self.register_buffer("class_weights", weights, persistent=False)
        self.failed: set[str] = set()  # what became unreadable while training
        if not train_encoder:
            model.encoder.requires_grad_(False)
        self.val_metrics = nn.ModuleDict(metrics(model))
        self.test_metrics = nn.ModuleDict(metrics(model))

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Make this step's randomness a function of (seed, step, rank), so that a resumed run repeats it."""
        torch.manual_seed(
            (self.seed * 1_000_003 + self.trainer.fit_loop.epoch_loop.total_batch_idx) * 64 + self.global_rank
        )

    def training_step(self, batch: ImageItems, batch_idx: int) -> Tensor:
        """The mean loss of a batch."""
        self.failed.update(batch["failed"])
        pixels, target = self.model.transform.normalize(batch["pixels"]), self.targets(batch["target"])
        pixels, target = self.mix(pixels, target)
        if self.train_encoder:
            logits = self.model(pixels)
        else:
            with torch.no_grad():
                features = self.model.features(pixels)
            logits = self.model.head(features)
        return self.loss(logits, target)

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Log the loss now and then: every call to `log` costs as much as a small kernel."""
        trainer: Any = self.trainer
        if batch_idx % trainer.log_every_n_steps == 0:
            self.log("train_loss", outputs["loss"], prog_bar=True)

    def targets(self, target: Int[Tensor, " b"] | Float[Tensor, "b c"]) -> Float[Tensor, "b c"]:
        """Smoothed class probabilities."""
        classes, smoothing = self.model.config.classes, self.objective.smoothing
        if target.ndim == 1:
            return F.one_hot(target, classes).float() * (1 - smoothing) + smoothing / classes
        return target * (1 - smoothing) + 0.5 * smoothing

    def loss(self, logits: Float[Tensor, "b c"], target: Float[Tensor, "b c"]) -> Float[Tensor, ""]:
        """Cross-entropy with class probabilities, or binary cross-entropy averaged over classes, in float32."""
        logits = logits.float()
        if self.model.config.output == "sigmoid":
            return F.binary_cross_entropy_with_logits(logits, target, pos_weight=self.class_weights)
        if self.class_weights is None:
            return F.cross_entropy(logits, target)
        # Divided by the weights in the batch, so that the loss keeps its scale.
        weights = target @ self.class_weights
        return (F.cross_entropy(logits, target, weight=self.class_weights, reduction="none")).sum() / weights.sum()

    def validation_step(self, batch: ImageItems, batch_idx: int) -> None:
        """Count one batch of the validation split."""
        self._evaluate(batch, self.val_metrics, "val")

    def on_validation_epoch_end(self) -> None:
        """Log `val_score`, by which the best epoch is chosen: the accuracy, and among equals the lower loss.

        A small validation split has few different accuracies, and the first of them is seldom the best epoch.
        """
        value, loss = (self.val_metrics[name] for name in (self.main_metric, "loss"))
        self.log("val_score", value.compute() - 1e-3 * loss.compute().clamp(max=1.0))  # pyright: ignore

    @property
    def main_metric(self) -> str:
        """The metric that counts: accuracy, or mean average precision for several labels an image."""
        return "map" if self.model.config.output == "sigmoid" else "accuracy"

    def test_step(self, batch: ImageItems, batch_idx: int) -> None:
        """Count one batch of the test split."""
        self._evaluate(batch, self.test_metrics, "test")

    def predict_step(self, batch: ImageItems, batch_idx: int) -> Float[Tensor, "b c"]:
        """Calibrated class probabilities."""
        return self.model.probabilities(self.model(batch["pixels"]))

    def _evaluate(self, batch: ImageItems, metrics: nn.ModuleDict, split: str) -> None:
        logits = self.model(batch["pixels"]).float()
        target = batch["target"]
        sigmoid = self.model.config.output == "sigmoid"
        losses = (
            F.binary_cross_entropy_with_logits(logits, target, reduction="none").mean(1)
            if sigmoid
            else F.cross_entropy(logits, target, reduction="none")
        )
        chances = logits.sigmoid() if sigmoid else logits.softmax(-1)
        for name, metric in metrics.items():
            assert isinstance(metric, Metric)
            if name == "loss":
                metric.update(losses)
            else:
                metric.update(chances, target.long())
            self.log(f"{split}_{name}", metric, on_step=False, on_epoch=True, prog_bar=name != "loss")

    def configure_optimizers(self) -> Any:
        """AdamW with rates by depth, and a schedule over all steps of the training."""
        optimizer = adamw(
            parameter_groups(self.stages(), self.optimizer_config, undecayed=self.undecayed()), self.optimizer_config
        )
        steps = int(self.trainer.estimated_stepping_batches)
        schedule = warmup_cosine(optimizer, steps, self.optimizer_config)
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
        """Parameters from input to output; the head's own stage is the last."""
        head = list(self.model.head.parameters())
        return [*self.model.encoder.stages(), head] if self.train_encoder else [head]

    def undecayed(self) -> Sequence[nn.Parameter]:
        """Tokens and positions: matrices by shape, but not linear maps."""
        linear = {
            id(module.weight)
            for module in self.model.modules()
            if isinstance(module, nn.Linear | nn.modules.conv._ConvNd)
        }
        return [p for p in self.model.parameters() if id(p) not in linear]


def metrics(model: Classifier) -> dict[str, Metric]:
    """Loss and accuracy; for several labels an image, mean average precision and F1 at 0.5."""
    classes = model.config.classes
    if model.config.output == "sigmoid":
        return {
            "loss": MeanMetric(),
            "map": AveragePrecision(task="multilabel", num_labels=classes),
            "f1": F1Score(task="multilabel", num_labels=classes),
        }
    return {
        "loss": MeanMetric(),
        "accuracy": Accuracy(task="multiclass", num_classes=classes, average="micro"),
        "balanced_accuracy": Accuracy(task="multiclass", num_classes=classes, average="macro"),
    }

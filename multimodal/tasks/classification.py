"""Training a classifier of images or sound: cross-entropy (or one binary cross-entropy a class), accuracy, AdamW.

What surrounds it (early stopping, averaging of weights, checkpoints) are Lightning callbacks; files are the data
module's business.

Axes: b batch · c classes · h, w pixels
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F
from torchmetrics import Accuracy, AveragePrecision, F1Score, MeanMetric, Metric

from multimodal.data.images.dataset import ImageItems
from multimodal.models.classifier import Classifier
from multimodal.tasks.mixing import MixConfig
from multimodal.tasks.optimizer import OptimizerConfig
from multimodal.tasks.spec_augment import SpecAugmentConfig, hide_pictures
from multimodal.tasks.training import TrainingTask


@dataclass(frozen=True, kw_only=True)
class ObjectiveConfig:
    """What the classifier is trained for."""

    smoothing: float = 0.0  # label smoothing: probability given to all classes alike (arXiv:1512.00567 §7)
    mix: MixConfig = MixConfig()
    hide: SpecAugmentConfig | None = None  # what is hidden of spectrograms, after mixing; None: nothing
    class_weights: tuple[float, ...] = ()  # weight of each class in the loss; (): all alike


class ClassificationTask(TrainingTask):
    """A classifier with its loss, its metrics and its optimizer."""

    model: Classifier
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
        super().__init__(model, optimizer=optimizer, seed=seed)
        self.objective, self.train_encoder = objective, train_encoder
        self.mix = objective.mix.build()
        self.hide = objective.hide.build() if objective.hide else None
        weights = torch.tensor(objective.class_weights) if objective.class_weights else None
        self.register_buffer("class_weights", weights, persistent=False)
        if not train_encoder:
            model.encoder.requires_grad_(False)
        self.measure(lambda: metrics(model))

    def training_step(self, batch: ImageItems, batch_idx: int) -> Tensor:
        """The mean loss of a batch."""
        self.failed.update(batch["failed"])
        pixels, target = self.model.transform.normalize(batch["pixels"]), self.targets(batch["target"])
        pixels, target = self.mix(pixels, target)
        if self.hide is not None:
            pixels = hide_pictures(self.hide, pixels)
        if self.train_encoder:
            logits = self.model(pixels)
        else:
            with torch.no_grad():
                features = self.model.features(pixels)
            logits = self.model.head(features)
        return self.loss(logits, target)

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

    def on_validation_epoch_end(self) -> None:
        """Log `val_score`, by which the best epoch is chosen: the accuracy, and among equals the lower loss.

        A small validation split has few different accuracies, and the first of them is seldom the best epoch.
        """
        super().on_validation_epoch_end()
        value, loss = (self.val_metrics[name] for name in (self.main_metric, "loss"))
        self.log("val_score", value.compute() - 1e-3 * loss.compute().clamp(max=1.0), sync_dist=True)  # pyright: ignore

    @property
    def main_metric(self) -> str:
        """The metric that counts: accuracy, or mean average precision for several labels an image."""
        return "map" if self.model.config.output == "sigmoid" else "accuracy"

    def predict_step(self, batch: ImageItems, batch_idx: int) -> Float[Tensor, "b c"]:
        """Calibrated class probabilities."""
        return self.model.probabilities(self.model(batch["pixels"]))

    def count(self, batch: ImageItems, metrics: dict[str, Metric]) -> None:
        """Add one batch to `metrics`."""
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
            if name == "loss":
                metric.update(losses)
            else:
                metric.update(chances, target.long())

    def stages(self) -> list[list[nn.Parameter]]:
        """Parameters from input to output; the head's own stage is the last."""
        head = list(self.model.head.parameters())
        return [*self.model.encoder.stages(), head] if self.train_encoder else [head]


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

"""Training a small encoder to answer as a large one does: DistilBERT's three losses.

The teacher is frozen, and no part of the checkpoints. Student and teacher read the same ids, so they share a tokenizer.

Axes: b batch · t length · m masked tokens · r real tokens · d model width
Refs: DistilBERT arXiv:1910.01108 §3 · arXiv:1503.02531
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torchmetrics import MeanMetric, Metric

from multimodal.errors import ArgumentError
from multimodal.losses import IGNORE, chunked_distillation, cosine_distance, weighted_sum
from multimodal.models.text_encoder import TextEncoder
from multimodal.tasks.optimizer import OptimizerConfig
from multimodal.tasks.training import TrainingTask
from multimodal.tasks.vocabulary import count_tokens, token_loss, token_metrics


@dataclass(frozen=True, kw_only=True)
class DistillationConfig:
    """How the three losses are summed; the defaults are DistilBERT's."""

    temperature: float = 2.0  # softens both distributions
    teacher: float = 5.0  # weight of the divergence from the teacher's distribution, at the masked words
    masked: float = 2.0  # weight of the masked words themselves
    cosine: float = 1.0  # weight of the angle between the last hidden states; 0 where the widths differ

    def __post_init__(self) -> None:
        if not self.temperature > 0:
            raise ArgumentError(f"temperature is {self.temperature}; it must be positive.")
        if min(self.teacher, self.masked, self.cosine) < 0:
            raise ArgumentError("teacher, masked and cosine are weights of losses and must not be negative.")


class DistillationTask(TrainingTask):
    """A student and its frozen teacher; `val_agreement` is how often both name the same word."""

    model: TextEncoder

    def __init__(
        self,
        model: TextEncoder,
        teacher: TextEncoder,
        *,
        objective: DistillationConfig = DistillationConfig(),
        optimizer: OptimizerConfig = OptimizerConfig(),
        seed: int = 0,
    ) -> None:
        """Train `model`, in place.

        Args:
            model: the student, with a head for masked words.
            teacher: a trained encoder with such a head and the same vocabulary.
            objective: weights of the losses.
            optimizer: AdamW and its schedule over the whole training.
            seed: of dropout; each step's randomness follows from (seed, step).

        Raises:
            ArgumentError: vocabularies differ, a head is missing, or widths differ and the cosine has a weight.
        """
        super().__init__(model, optimizer=optimizer, seed=seed)
        ours, theirs = model.config, teacher.config
        if model.head is None or teacher.head is None:
            raise ArgumentError("Student and teacher both need a head for masked words.")
        if ours.embedding.vocabulary != theirs.embedding.vocabulary:
            sizes = f"{ours.embedding.vocabulary:,} and {theirs.embedding.vocabulary:,}"
            raise ArgumentError(f"Student and teacher have vocabularies of {sizes} tokens; they must share one.")
        if objective.cosine and ours.backbone.dim != theirs.backbone.dim:
            raise ArgumentError(
                f"The student is {ours.backbone.dim} wide and the teacher {theirs.backbone.dim}; set cosine to 0."
            )
        self.teacher = teacher.requires_grad_(False).eval()
        self.objective = objective
        self.measure(_metrics)

    def train(self, mode: bool = True) -> DistillationTask:
        """Switch the student; the teacher never drops anything."""
        super().train(mode)
        self.teacher.eval()
        return self

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """The weighted sum of the three losses."""
        config, model, teacher, masked = self.objective, self.model, self.teacher, batch["targets"] != IGNORE
        hidden, theirs = self._hidden(batch)
        features = model.mask_features(hidden[masked])
        losses = {
            "teacher": chunked_distillation(
                features,
                model.output_weight,
                teacher.mask_features(theirs[masked]),
                teacher.output_weight,
                bias=model.output_bias,
                teacher_bias=teacher.output_bias,
                temperature=config.temperature,
            ),
            "masked": token_loss(features, model.output_weight, batch["targets"][masked], bias=model.output_bias),
        }
        weights = {"teacher": config.teacher, "masked": config.masked}
        if config.cosine:
            losses["cosine"] = cosine_distance(hidden[batch["keep"]], theirs[batch["keep"]])
            weights["cosine"] = config.cosine
        return weighted_sum(losses, weights)

    def count(self, batch: Any, metrics: dict[str, Any]) -> None:
        """Add the masked words of a batch."""
        masked = batch["targets"] != IGNORE
        hidden, theirs = self._hidden(batch)
        features, model = self.model.mask_features(hidden[masked]), self.model
        count_tokens(metrics, features, model.output_weight, batch["targets"][masked], bias=model.output_bias)
        ours, wanted = model.mask_logits(hidden[masked]).argmax(1), self.teacher.mask_logits(theirs[masked]).argmax(1)
        metrics["agreement"].update((ours == wanted).float())

    def tokens(self, batch: Any) -> Tensor:
        """Those that are read."""
        return batch["keep"].sum()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Leave out the teacher, who does not change."""
        state = checkpoint["state_dict"]
        checkpoint["state_dict"] = {name: value for name, value in state.items() if not name.startswith("teacher.")}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Put in the teacher that is here."""
        own = {f"teacher.{name}": value for name, value in self.teacher.state_dict().items()}
        checkpoint["state_dict"] = {**checkpoint["state_dict"], **own}

    def _hidden(self, batch: Any) -> tuple[Tensor, Tensor]:
        inputs = {"keep": batch["keep"], "types": batch.get("types")}
        with torch.no_grad():
            theirs = self.teacher(batch["ids"], **inputs)
        return self.model(batch["ids"], **inputs), theirs


def _metrics() -> dict[str, Metric]:
    return {**token_metrics(), "agreement": MeanMetric()}

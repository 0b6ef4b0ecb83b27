"""Training a model that judges texts, pairs of texts, or several answers to a question: one cross-entropy.

A language model may go on predicting the next token meanwhile, as GPT-1 does while it is fine-tuned.

Axes: b batch · t length · n classes or choices
Refs: BERT arXiv:1810.04805 §4.1 · GPT-1 (Radford et al. 2018) §3.2
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torchmetrics import MeanMetric, Metric
from torchmetrics.classification import MulticlassF1Score

from multimodal.errors import ArgumentError
from multimodal.losses import weighted_sum
from multimodal.models.language_model import LanguageModel
from multimodal.models.text_heads import MultipleChoice, TextClassifier
from multimodal.tasks.optimizer import OptimizerConfig
from multimodal.tasks.training import TrainingTask
from multimodal.tasks.vocabulary import token_loss


@dataclass(frozen=True, kw_only=True)
class TextObjectiveConfig:
    """What a text classifier is trained for."""

    smoothing: float = 0.0  # label smoothing: probability given to all classes alike (arXiv:1512.00567 §7)
    language: float = 0.0  # weight of the next token's loss beside the task's (GPT-1: 0.5)

    def __post_init__(self) -> None:
        if not 0 <= self.smoothing < 1:
            raise ArgumentError(f"smoothing is {self.smoothing}; it must lie in [0, 1).")
        if self.language < 0:
            raise ArgumentError(f"language is {self.language}; a weight must not be negative.")


class TextClassificationTask(TrainingTask):
    """A classifier of texts, or a chooser among answers, with its loss and its metrics."""

    model: TextClassifier | MultipleChoice

    def __init__(
        self,
        model: TextClassifier | MultipleChoice,
        *,
        objective: TextObjectiveConfig = TextObjectiveConfig(),
        optimizer: OptimizerConfig = OptimizerConfig(),
        seed: int = 0,
    ) -> None:
        """Train `model`, in place.

        Args:
            model: the classifier (one class a text) or the chooser.
            objective: the loss.
            optimizer: AdamW and its schedule over the whole training.
            seed: of dropout; each step's randomness follows from (seed, step).

        Raises:
            ArgumentError: several labels a text; `objective.language` for anything but a classifier on a language
                model; smoothing over choices.
        """
        super().__init__(model, optimizer=optimizer, seed=seed)
        self.objective = objective
        classifier = isinstance(model, TextClassifier)
        if classifier and model.config.output == "sigmoid":
            raise ArgumentError(
                "output is 'sigmoid'; this task trains models that give each text one class: 'softmax'."
            )
        if objective.language and not (classifier and isinstance(model.encoder, LanguageModel)):
            raise ArgumentError("language is the weight of a language model's loss; only a classifier on one has that.")
        if objective.smoothing and not classifier:
            raise ArgumentError("smoothing is for classes; choices may differ in number from question to question.")
        self.classes = model.config.classes if isinstance(model, TextClassifier) else None
        self.measure(self._metrics)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """The mean loss of a batch; GPT-1's sum of two where `objective.language` is not 0."""
        smoothing, language = self.objective.smoothing, self.objective.language
        if not language:
            return F.cross_entropy(self._logits(batch).float(), batch["target"], label_smoothing=smoothing)
        model: Any = self.model
        hidden = model.hidden(batch["ids"], keep=batch["keep"])
        logits = model.head(hidden, batch["keep"])
        body: LanguageModel = model.encoder
        losses = {
            "task": F.cross_entropy(logits.float(), batch["target"], label_smoothing=smoothing),
            "language": token_loss(hidden, body.output_weight, batch["targets"], bias=body.output_bias),
        }
        return weighted_sum(losses, {"task": 1.0, "language": language})

    def count(self, batch: Any, metrics: dict[str, Any]) -> None:
        """Add the texts of a batch."""
        logits, target = self._logits(batch).float(), batch["target"]
        metrics["loss"].update(F.cross_entropy(logits, target, reduction="none"))
        metrics["accuracy"].update((logits.argmax(1) == target).float())
        if "f1" in metrics:
            metrics["f1"].update(logits, target)

    def tokens(self, batch: Any) -> Tensor:
        """Those that are read."""
        return batch["keep"].sum()

    def _metrics(self) -> dict[str, Metric]:
        """The F1 is the mean over classes."""
        metrics: dict[str, Metric] = {"loss": MeanMetric(), "accuracy": MeanMetric()}
        return {**metrics, "f1": MulticlassF1Score(self.classes)} if self.classes else metrics

    def _logits(self, batch: Any) -> Tensor:
        """Of choices that are not there, minus infinity."""
        logits = self.model(batch["ids"], keep=batch["keep"], types=batch["types"])
        return logits.masked_fill(~batch["choices"], -torch.inf) if "choices" in batch else logits

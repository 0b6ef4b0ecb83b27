"""Training an encoder on words that were hidden from it, and where batches ask for it on which sentence comes next.

Axes: b batch · t length · m masked tokens
Refs: BERT arXiv:1810.04805 §3.1 · RoBERTa arXiv:1907.11692 §4 (no next sentence)
"""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.nn import functional as F
from torchmetrics import MeanMetric, Metric

from multimodal.errors import ArgumentError
from multimodal.losses import IGNORE
from multimodal.models.text_encoder import TextEncoder
from multimodal.tasks.optimizer import OptimizerConfig
from multimodal.tasks.training import TrainingTask
from multimodal.tasks.vocabulary import TokenLossConfig, count_tokens, token_loss, token_metrics


class MaskedModelingTask(TrainingTask):
    """A text encoder with BERT's losses; `val_loss` and `val_accuracy` are of the masked words alone."""

    model: TextEncoder

    def __init__(
        self,
        model: TextEncoder,
        *,
        objective: TokenLossConfig = TokenLossConfig(),
        optimizer: OptimizerConfig = OptimizerConfig(),
        seed: int = 0,
    ) -> None:
        """Train `model`, in place.

        Args:
            model: an encoder with a head for masked words; with `PoolerConfig(next_sentence=True)` it learns that too.
            objective: what is added to the cross-entropy of words.
            optimizer: AdamW and its schedule over the whole training.
            seed: of dropout; each step's randomness follows from (seed, step).

        Raises:
            ArgumentError: the model has no head for masked words.
        """
        super().__init__(model, optimizer=optimizer, seed=seed)
        if model.head is None:
            raise ArgumentError("Masked words need a TextEncoderConfig with head=MaskedHeadConfig().")
        self.objective = objective
        self.next_sentence = model.pooler is not None and model.pooler.next_sentence is not None
        self.measure(self._metrics)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """The mean loss over the masked words, and that of the next sentence, summed as BERT does."""
        hidden = self._hidden(batch)
        model, features, targets = self.model, *self._masked(hidden, batch)
        loss = token_loss(features, model.output_weight, targets, bias=model.output_bias, config=self.objective)
        if self.next_sentence and "next_sentence" in batch:
            loss = loss + F.cross_entropy(self._next(hidden).float(), batch["next_sentence"])
        return loss

    def count(self, batch: Any, metrics: dict[str, Any]) -> None:
        """Add the masked words and the sentence pairs of a batch."""
        hidden = self._hidden(batch)
        model, features, targets = self.model, *self._masked(hidden, batch)
        count_tokens(metrics, features, model.output_weight, targets, bias=model.output_bias)
        if self.next_sentence and "next_sentence" in batch:
            right = self._next(hidden).argmax(1) == batch["next_sentence"]
            metrics["next_sentence"].update(right.float())

    def tokens(self, batch: Any) -> Tensor:
        """Those that are read; few of them are masked."""
        return batch["keep"].sum()

    def _metrics(self) -> dict[str, Metric]:
        return {**token_metrics(), **({"next_sentence": MeanMetric()} if self.next_sentence else {})}

    def _hidden(self, batch: Any) -> Tensor:
        return self.model(batch["ids"], keep=batch["keep"], types=batch.get("types"))

    def _masked(self, hidden: Tensor, batch: Any) -> tuple[Tensor, Tensor]:
        """What the word table is multiplied with, at the masked places alone, and the words that stood there."""
        masked = batch["targets"] != IGNORE
        return self.model.mask_features(hidden[masked]), batch["targets"][masked]

    def _next(self, hidden: Tensor) -> Tensor:
        pooler: Any = self.model.pooler
        return pooler.next_sentence(self.model.pooled(hidden))

"""Training a language model to predict the next token: plain, after a prefix that is read both ways, or packed.

Which of them it is lies in the batch (`prefix`, `document`); the loss is one. Targets are shifted by the batch.

Axes: b batch · t length
Refs: GPT-2 (Radford et al. 2019) · prefix-LM arXiv:1910.10683 §3.2.1
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from multimodal.losses import IGNORE
from multimodal.models.language_model import LanguageModel
from multimodal.tasks.optimizer import OptimizerConfig
from multimodal.tasks.training import TrainingTask
from multimodal.tasks.vocabulary import TokenLossConfig, count_tokens, token_loss, token_metrics

CONTEXT = ("keep", "positions", "document", "prefix")  # what a batch may say of its tokens


class LanguageModelingTask(TrainingTask):
    """A language model with the loss of the next token; `val_loss` is in nats a token."""

    model: LanguageModel

    def __init__(
        self,
        model: LanguageModel,
        *,
        objective: TokenLossConfig = TokenLossConfig(),
        optimizer: OptimizerConfig = OptimizerConfig(),
        seed: int = 0,
    ) -> None:
        """Train `model`, in place.

        Args:
            model: the language model.
            objective: what is added to the cross-entropy.
            optimizer: AdamW and its schedule over the whole training.
            seed: of dropout; each step's randomness follows from (seed, step).
        """
        super().__init__(model, optimizer=optimizer, seed=seed)
        self.objective = objective
        self.measure(token_metrics)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """The mean loss of a batch."""
        model = self.model
        return token_loss(
            self._hidden(batch), model.output_weight, batch["targets"], bias=model.output_bias, config=self.objective
        )

    def count(self, batch: Any, metrics: dict[str, Any]) -> None:
        """Add the targets of a batch."""
        model = self.model
        count_tokens(metrics, self._hidden(batch), model.output_weight, batch["targets"], bias=model.output_bias)

    def report(self, metrics: dict[str, Any]) -> dict[str, Tensor]:
        """Loss, accuracy, and the perplexity, which is exp(loss)."""
        values = super().report(metrics)
        return {**values, "perplexity": values["loss"].exp()}

    def tokens(self, batch: Any) -> Tensor:
        """Those that have a target."""
        return (batch["targets"] != IGNORE).sum()

    def _hidden(self, batch: Any) -> Tensor:
        return self.model.hidden(batch["ids"], **{name: batch[name] for name in CONTEXT if name in batch})

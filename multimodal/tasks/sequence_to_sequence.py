"""Training an encoder-decoder: T5's spans, BART's noises and translation differ in their batches alone.

Axes: b batch · s source length · t target length
Refs: arXiv:1706.03762 · T5 arXiv:1910.10683 · BART arXiv:1910.13461
"""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torchmetrics import Metric
from torchmetrics.text import SacreBLEUScore

from multimodal.losses import IGNORE
from multimodal.models.encoder_decoder import EncoderDecoder
from multimodal.tasks.optimizer import OptimizerConfig
from multimodal.tasks.training import TrainingTask
from multimodal.tasks.vocabulary import TokenLossConfig, count_tokens, token_loss, token_metrics


class SequenceToSequenceTask(TrainingTask):
    """An encoder-decoder with the loss of the next target token; `val_loss` is in nats a token."""

    model: EncoderDecoder

    def __init__(
        self,
        model: EncoderDecoder,
        *,
        objective: TokenLossConfig = TokenLossConfig(),
        optimizer: OptimizerConfig = OptimizerConfig(),
        bleu: bool = False,
        seed: int = 0,
    ) -> None:
        """Train `model`, in place.

        Args:
            model: the encoder-decoder; for `bleu` with a tokenizer.
            objective: what is added to the cross-entropy.
            optimizer: AdamW and its schedule over the whole training.
            bleu: whether validation and test also write each target, as `model.generation` says, and score them.
            seed: of dropout; each step's randomness follows from (seed, step).
        """
        super().__init__(model, optimizer=optimizer, seed=seed)
        self.objective, self.bleu = objective, bleu
        self.measure(self._metrics)

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
        if self.bleu:
            metrics["bleu"].update(*self._written(batch))

    def tokens(self, batch: Any) -> Tensor:
        """Those of source and target."""
        return batch["keep"].sum() + (batch["targets"] != IGNORE).sum()

    def _metrics(self) -> dict[str, Metric]:
        return {**token_metrics(), **({"bleu": SacreBLEUScore()} if self.bleu else {})}

    def _hidden(self, batch: Any) -> Tensor:
        """The decoder's states as the output layer takes them."""
        model, keep = self.model, batch["keep"]
        context = model.encode(batch["ids"], keep=keep)
        options = {"context_keep": keep, "decoder_keep": batch.get("decoder_keep")}
        return model.scaled(model.decode(batch["decoder_ids"], context, **options))

    def _written(self, batch: Any) -> tuple[list[str], list[list[str]]]:
        """What the model makes of the sources, and for each the one right target."""
        model: Any = self.model
        sources = [row[keep].tolist() for row, keep in zip(batch["ids"], batch["keep"], strict=True)]
        return model.generate(sources), [[model.tokenizer.decode(row[row != IGNORE])] for row in batch["targets"]]

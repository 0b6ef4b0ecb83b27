"""Training a `CtcRecognizer`: CTC at the end, between the blocks, and beside a decoder's next token (hybrid).

Validation writes the likeliest path of each clip and reports word and character error rates over the whole split, as
the texts are: what a score under another normaliser would be is for `multimodal wer`.

Axes: b batch · n samples · m mel channels · t length of a text · s tokens of the encoder
Refs: CTC, Graves et al. 2006 · hybrid arXiv:1609.06773 · between the blocks arXiv:2102.03216
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from lightning.pytorch import Callback
from torch import Tensor
from torch.nn import functional as F
from torchmetrics import MeanMetric
from torchmetrics.text import CharErrorRate, WordErrorRate

from multimodal.errors import ArgumentError, DataError
from multimodal.generation.ctc import best_path
from multimodal.losses import IGNORE, ctc_loss, fits
from multimodal.models.ctc_recognizer import CtcRecognizer, Scored
from multimodal.models.text.input import tokenizer_of
from multimodal.tasks.optimizer import OptimizerConfig
from multimodal.tasks.spec_augment import SpecAugmentConfig
from multimodal.tasks.training import TrainingTask
from multimodal.tokenizers.audio_features import frame_keep, standardized


@dataclass(frozen=True, kw_only=True)
class CtcObjectiveConfig:
    """What a recognizer is trained for."""

    between: float = 0.3  # weight of CTC between the blocks, where the model has it; the end gets the rest
    attention: float = 0.3  # weight of the decoder's next token, where the model has one; CTC gets the rest
    smoothing: float = 0.1  # of the next token: probability given to all tokens alike
    hide: SpecAugmentConfig | None = SpecAugmentConfig()

    def __post_init__(self) -> None:
        for name in ("between", "attention", "smoothing"):
            if not 0 <= getattr(self, name) < 1:
                raise ArgumentError(f"{name} is {getattr(self, name)}; it must lie in [0, 1).")


class CtcTask(TrainingTask):
    """A recognizer with its loss, its error rates and its optimizer."""

    model: CtcRecognizer
    shown = ("wer",)

    def __init__(
        self,
        model: CtcRecognizer,
        *,
        objective: CtcObjectiveConfig = CtcObjectiveConfig(),
        optimizer: OptimizerConfig = OptimizerConfig(),
        callbacks: Sequence[Callback] = (),
        seed: int = 0,
    ) -> None:
        """Train `model`, in place.

        Args:
            model: with a tokenizer.
            objective: the parts of the loss, and what is hidden of the features.
            optimizer: AdamW and its schedule over the whole training.
            callbacks: of Lightning, that this training needs.
            seed: of everything random in a step; each step's randomness follows from (seed, step).

        Raises:
            ArgumentError: a model without a tokenizer.
        """
        tokenizer_of(model)
        super().__init__(model, optimizer=optimizer, seed=seed, callbacks=callbacks)
        self.objective = objective
        self.hide = objective.hide.build() if objective.hide else None
        self.measure(lambda: {"loss": MeanMetric(), "wer": WordErrorRate(), "cer": CharErrorRate()})
        self.train()  # a published model comes in eval mode, and Lightning leaves modes as they are

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """The mean loss of a batch, in nats a token.

        Raises:
            DataError: no text of the batch fits into its frames.
        """
        self.failed.update(batch["failed"])
        mel, keep = self._features(batch)
        scored = self.model.score_standardized(self.hide(mel, keep) if self.hide else mel, keep)
        frames = self._frames(scored)
        if not fits(frames, batch["ids"], batch["keep"]).any():
            raise DataError(
                f"No text of a batch fits into its sound, as {batch['texts'][0][:60]!r} does not: there is one token "
                "for each frame of the encoder at most. Check that texts belong to their files (`multimodal check`)."
            )
        loss = self._ctc(scored.logits, frames, batch)
        if scored.between:
            inner = torch.stack([self._ctc(logits, frames, batch) for logits in scored.between]).mean()
            loss = loss.lerp(inner, self.objective.between)
        if self.model.decoder is not None:
            loss = loss.lerp(self._attention(scored, batch), self.objective.attention)
        return loss

    def count(self, batch: Any, metrics: dict[str, Any]) -> None:
        """Add the loss and the texts of a batch."""
        scored = self.model.score_standardized(*self._features(batch))
        frames = self._frames(scored)
        metrics["loss"].update(self._ctc(scored.logits, frames, batch), weight=batch["keep"].sum())
        scores = scored.logits.float().log_softmax(-1)
        tokenizer, found = tokenizer_of(self.model), []
        for row, count in zip(scores, frames.tolist(), strict=True):
            found.append(tokenizer.decode([token.id for token in best_path(row[:count], blank=self.model.blank)]))
        for name in ("wer", "cer"):
            metrics[name].update(found, batch["texts"])

    def tokens(self, batch: Any) -> Tensor:
        """Those of the texts."""
        return batch["keep"].sum()

    def _features(self, batch: Any) -> tuple[Float[Tensor, "b m t"], Bool[Tensor, "b t"]]:
        with torch.no_grad():
            mel = self.model.features(batch["wave"])
            keep = frame_keep(self.model.features, batch["samples"], mel.shape[2])
            return standardized(mel, keep).to(self.model.head.weight.dtype), keep

    @staticmethod
    def _frames(scored: Scored) -> Int[Tensor, " b"]:
        assert scored.keep is not None
        return scored.keep.sum(1)

    def _ctc(self, logits: Float[Tensor, "b s v"], frames: Int[Tensor, " b"], batch: Any) -> Float[Tensor, ""]:
        return ctc_loss(logits, frames, batch["ids"], batch["keep"], blank=self.model.blank)

    def _attention(self, scored: Scored, batch: Any) -> Float[Tensor, ""]:
        """The loss of the next token; the blank's id begins and ends a text, of which the decoder reads `longest`."""
        assert self.model.decoder is not None
        ids, keep, edge, longest = batch["ids"], batch["keep"], self.model.blank, self.model.decoder.longest
        given = F.pad(ids, (1, 0), value=edge)[:, :longest]
        real = F.pad(keep, (1, 0), value=True)[:, :longest]
        logits = self.model.decoder(given, scored.x, keep=real, context_keep=scored.keep)
        # Behind the last token of each row comes the end; then nothing.
        targets = F.pad(ids.masked_fill(~keep, IGNORE), (0, 1), value=IGNORE)
        targets = targets.scatter(1, keep.sum(1, keepdim=True), edge)[:, :longest]
        smoothing = self.objective.smoothing
        return F.cross_entropy(
            logits.float().flatten(0, 1), targets.flatten(), ignore_index=IGNORE, label_smoothing=smoothing
        )

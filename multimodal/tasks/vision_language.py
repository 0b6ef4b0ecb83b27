"""Training a `VisionLanguageModel`: the next token of what the assistant says, and whether the answer needs the image.

Stage 1 trains the projector alone, stage 2 the language model too, fully or by LoRA; what is not trained stays as it
is, bit for bit. Validation also shows blank images and those of other conversations: a score that does not fall with
them was not earned by looking.

Axes: b batch · t length · d model width
Refs: two stages: LLaVA arXiv:2304.08485 §4.2, arXiv:2310.03744 · adapters: LoRA arXiv:2106.09685 · language without
looking: arXiv:1612.00837 §1
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float
from lightning.pytorch import Callback
from torch import Tensor, nn
from torchmetrics import MeanMetric, Metric

from multimodal.backbone.lora import LoraConfig, attach
from multimodal.errors import ArgumentError
from multimodal.losses import IGNORE
from multimodal.models.chat.views import Views
from multimodal.models.vision_language import VisionLanguageModel
from multimodal.tasks.optimizer import OptimizerConfig
from multimodal.tasks.training import TrainingTask
from multimodal.tasks.vocabulary import TokenLossConfig, count_tokens, token_loss, token_metrics

_BLIND = ("exact_blank", "exact_turned")  # scores of looking elsewhere


@dataclass(frozen=True, kw_only=True)
class VisionLanguageTrainingConfig:
    """What is trained of the three parts."""

    train: Literal["projector", "language", "everything"] = "projector"
    # ^ stage 1; language: stage 2, with the projector; everything: the encoder as well
    lora: LoraConfig | None = None  # adapters of the language model instead of its weights
    loss: TokenLossConfig = TokenLossConfig()

    def __post_init__(self) -> None:
        if self.lora is not None and self.train == "projector":
            raise ArgumentError(
                "lora adapts the language model, which train='projector' leaves alone; drop one of them."
            )


class VisionLanguageTask(TrainingTask):
    """A model that sees or hears, with the loss of the assistant's tokens.

    Validation logs the `loss` in nats and the `accuracy` of tokens, and `exact`: the share of conversations of which
    every learned token is the likeliest, so that greedy decoding would give each answer as it stands. `exact_blank` and
    `exact_turned` are the same with nothing to see, and with the images of other conversations of the batch; what shows
    nothing does not count there, nor for `exact_turned` what has no other image that fits and looks different.
    """

    model: VisionLanguageModel
    shown = ("loss", "exact", "exact_blank")

    def __init__(
        self,
        model: VisionLanguageModel,
        *,
        training: VisionLanguageTrainingConfig = VisionLanguageTrainingConfig(),
        optimizer: OptimizerConfig = OptimizerConfig(),
        seed: int = 0,
        callbacks: tuple[Callback, ...] = (),
    ) -> None:
        """Train `model`, in place.

        Args:
            model: what is trained.
            training: which parts of it.
            optimizer: AdamW and its schedule over the whole training.
            seed: of dropout; each step's randomness follows from (seed, step, process).
            callbacks: of Lightning, besides the trainer's.
        """
        super().__init__(model, optimizer=optimizer, seed=seed, callbacks=callbacks)
        self.training_config = training
        self.frozen: list[nn.Module] = []
        model.requires_grad_(True)  # an earlier stage may have frozen what this one trains
        if training.train != "everything":
            self.frozen.append(model.features)
        if training.train == "projector":
            self.frozen.append(model.language)
        for part in (*self.frozen, *model.features.unread):  # with several processes all that is trained must be read
            part.requires_grad_(False)
        if training.lora is not None:
            attach(model.language, training.lora)
        self.measure(self._metrics)
        self.train()  # a published model comes in eval mode, and Lightning leaves modes as they are

    def train(self, mode: bool = True) -> VisionLanguageTask:
        """Switch what is trained; the rest drops nothing and counts nothing."""
        super().train(mode)
        for part in self.frozen:
            part.eval()
        return self

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """The mean loss of a batch, in nats a token."""
        self.failed.update(batch["failed"])
        model = self.model
        hidden = model.hidden(batch["ids"], batch["views"], keep=batch["keep"])
        config = self.training_config.loss
        loss = token_loss(hidden, model.output_weight, batch["targets"], bias=model.output_bias, config=config)
        if batch["views"] is None:  # all processes wait for the gradients of the projector, also where it had no part
            seeing = (one for name, one in model.named_parameters() if not name.startswith("language."))
            loss = loss + 0 * sum(parameter.sum() for parameter in seeing if parameter.requires_grad)
        return loss

    def on_train_end(self) -> None:
        """Say which files could not be read, and whether answers need the images; adapters become part of the model."""
        super().on_train_end()
        exact, blind = (self.trainer.callback_metrics.get(f"val_{name}") for name in ("exact", "exact_blank"))
        if exact is not None and blind is not None and blind >= exact and self.trainer.is_global_zero:
            print(
                f"With blank images the model answers as well (val_exact_blank {blind:.3f}) as with the right ones "
                f"(val_exact {exact:.3f}): it does not look.",
                file=sys.stderr,
            )
        self.fold_adapters()

    def count(self, batch: Any, metrics: dict[str, Any]) -> None:
        """Add a batch as it is, and with other images."""
        model, targets = self.model, batch["targets"]
        hidden = model.hidden(batch["ids"], batch["views"], keep=batch["keep"])
        tokens = {name: metrics[name] for name in ("loss", "accuracy")}
        count_tokens(tokens, hidden, model.output_weight, targets, bias=model.output_bias)
        metrics["exact"].update(self._exact(hidden, targets).float())
        views: Views | None = batch["views"]
        if views is None:
            for name in _BLIND:  # of nothing, so that this process asks for the sums of all as the others do
                metrics[name].update(hidden.new_empty(0))
            return
        placed = batch["ids"] == model.config.placeholder
        rows = views.rows(placed)
        turned, others = views.turned(rows)
        alone = {row for row, other in zip(rows, others, strict=True) if not other}
        shown = placed.any(1)  # a text alone needs no eyes
        elsewhere = shown & shown.new_tensor([row not in alone for row in range(len(shown))])
        for name, seen, counted in zip(_BLIND, (views.blank(), turned), (shown, elsewhere), strict=True):
            hidden = model.hidden(batch["ids"], seen, keep=batch["keep"])
            metrics[name].update(self._exact(hidden, targets)[counted].float())

    def report(self, metrics: dict[str, Any]) -> dict[str, Tensor]:
        """All that was counted; data without images have no scores of looking elsewhere."""
        found = super().report(metrics)
        return {name: value for name, value in found.items() if name not in _BLIND or not value.isnan()}

    def tokens(self, batch: Any) -> Tensor:
        """Those that have a target."""
        return (batch["targets"] != IGNORE).sum()

    def _metrics(self) -> dict[str, Metric]:
        return {**token_metrics(), **{name: MeanMetric() for name in ("exact", *_BLIND)}}

    def _exact(self, hidden: Float[Tensor, "b t d"], targets: Tensor) -> Bool[Tensor, " b"]:
        """Whether every target of a row is the likeliest token."""
        learned = targets != IGNORE
        right = torch.ones_like(learned)
        right[learned] = self.model.output(hidden[learned]).argmax(-1) == targets[learned]
        return right.all(1)

"""The loss and the metrics of every task that predicts tokens: over a vocabulary, without building all logits.

Axes: n tokens · d model width · v vocabulary
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F
from torchmetrics import MeanMetric, Metric

from multimodal.errors import ArgumentError
from multimodal.losses import CHUNK, IGNORE, chunked_cross_entropy


@dataclass(frozen=True, kw_only=True)
class TokenLossConfig:
    """What is added to the plain cross-entropy while training; validation is always plain."""

    smoothing: float = 0.0  # probability spread evenly over the vocabulary (arXiv:1706.03762 §5.4: 0.1)
    z_loss: float = 0.0  # weight of the squared log of the softmax's denominator (arXiv:2204.02311 §5: 1e-4)

    def __post_init__(self) -> None:
        if not 0 <= self.smoothing < 1:
            raise ArgumentError(f"smoothing is {self.smoothing}; it must lie in [0, 1).")
        if self.z_loss < 0:
            raise ArgumentError(f"z_loss is {self.z_loss}; it must not be negative.")


def token_loss(
    hidden: Float[Tensor, "*shape d"],
    weight: Float[Tensor, "v d"],
    targets: Int[Tensor, "*shape"],
    *,
    bias: Float[Tensor, " v"] | None = None,
    config: TokenLossConfig = TokenLossConfig(),
) -> Float[Tensor, ""]:
    """The mean loss over the targets that are not `IGNORE`."""
    options = {"bias": bias, "smoothing": config.smoothing, "z_loss": config.z_loss}
    return chunked_cross_entropy(hidden.flatten(0, -2), weight, targets.flatten(), **options)


def token_metrics() -> dict[str, Metric]:
    """Mean loss in nats a token, and the share of tokens for which the right one is the likeliest."""
    return {"loss": MeanMetric(), "accuracy": MeanMetric()}


@torch.no_grad()
def count_tokens(
    metrics: dict[str, Metric],
    hidden: Float[Tensor, "*shape d"],
    weight: Float[Tensor, "v d"],
    targets: Int[Tensor, "*shape"],
    *,
    bias: Float[Tensor, " v"] | None = None,
) -> None:
    """Add the tokens whose target is not `IGNORE` to `token_metrics`, a few logits at a time."""
    hidden, targets = hidden.flatten(0, -2), targets.flatten()
    places = (targets != IGNORE).nonzero().squeeze(1)
    for some in places.split(max(1, CHUNK // len(weight))):
        logits = F.linear(hidden[some], weight, bias).float()
        metrics["loss"].update(F.cross_entropy(logits, targets[some], reduction="none"))
        metrics["accuracy"].update((logits.argmax(1) == targets[some]).float())

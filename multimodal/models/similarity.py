"""From cosines to logits and probabilities: what image-text pairs are judged by.

With a softmax the texts compete: the probabilities of one image add up to 1 (CLIP). With a sigmoid each pair is judged
for itself (SigLIP). A model trained one way and read the other way gives confident nonsense, so the kind is a part of
its config.

Axes: n images · m texts · e embedding width
Refs: CLIP arXiv:2103.00020 §2.3 · SigLIP arXiv:2303.15343 §3.2
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor, nn

from multimodal.errors import ArgumentError


@dataclass(frozen=True, kw_only=True)
class SoftmaxSimilarityConfig:
    """logits = scale · cosine; probabilities compete."""

    scale: float = 1 / 0.07  # at the start of training
    max_scale: float = 100.0  # training never goes above it (and never below 1)

    def build(self) -> Similarity:
        """A `Similarity` as at the start of training."""
        return Similarity(self, bias=None)


@dataclass(frozen=True, kw_only=True)
class SigmoidSimilarityConfig:
    """logits = scale · cosine + bias; each pair is judged for itself."""

    scale: float = 10.0  # at the start of training
    bias: float = -10.0  # at the start of training: of all pairs, few belong together
    max_scale: float | None = None  # None: training sets no limit

    def build(self) -> Similarity:
        """A `Similarity` as at the start of training."""
        return Similarity(self, bias=self.bias)


SimilarityConfig: TypeAlias = SoftmaxSimilarityConfig | SigmoidSimilarityConfig


class Similarity(nn.Module):
    """Embeddings of images and texts to logits of each pair."""

    def __init__(self, config: SimilarityConfig, *, bias: float | None) -> None:
        super().__init__()
        if not config.scale > 0:
            raise ArgumentError(f"scale is {config.scale}; it must be above 0.")
        if config.max_scale is not None and not config.max_scale >= 1:
            raise ArgumentError(f"max_scale is {config.max_scale}; training keeps the scale from 1 on, so at least 1.")
        self.config = config
        self.log_scale = nn.Parameter(torch.tensor(math.log(config.scale)))
        self.bias = nn.Parameter(torch.tensor(bias)) if bias is not None else None

    @property
    def scale(self) -> Float[Tensor, ""]:
        """What cosines are multiplied by."""
        return self.log_scale.float().exp()

    def forward(self, image: Float[Tensor, "n e"], text: Float[Tensor, "m e"]) -> Float[Tensor, "n m"]:
        """Logits of every image with every text, from unit embeddings."""
        logits = self.scale * image @ text.T
        return logits + self.bias.float() if self.bias is not None else logits

    def probabilities(self, logits: Float[Tensor, "n m"]) -> Float[Tensor, "n m"]:
        """Over the texts of each image, or for each pair."""
        return logits.softmax(-1) if isinstance(self.config, SoftmaxSimilarityConfig) else logits.sigmoid()

    @torch.no_grad()
    def clamp(self) -> None:
        """Keep the scale where the config wants it; to be called after each step."""
        limit = self.config.max_scale
        if limit is not None:
            self.log_scale.clamp_(0.0, math.log(limit))

"""Hidden states to logits of the whole text: from the first token, the last one, or the mean of all.

The models that are made of a body and one of these are in `text_heads.py`.

Axes: b batch · t length · d model width · n classes
Refs: BERT arXiv:1810.04805 §3.2 · RoBERTa arXiv:1907.11692 · DistilBERT arXiv:1910.01108 · GPT-1 (Radford et al. 2018)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from multimodal.backbone.backbone import initialize
from multimodal.models.continuations import last_real


@dataclass(frozen=True, kw_only=True)
class FirstTokenHeadConfig:
    """linear(dropout(activation(dense(first token)))): BERT's pooler and classifier, RoBERTa's and DistilBERT's."""

    activation: Literal["tanh", "relu"] = "tanh"  # DistilBERT: relu
    dropout: float = 0.1  # probability of zeroing a channel while training

    def build(self, dim: int, classes: int) -> FirstTokenHead:
        """Hidden states (b, t, dim) to logits (b, classes)."""
        return FirstTokenHead(self, dim, classes)


class FirstTokenHead(nn.Module):
    """Logits from the first token, which an encoder learns to make a summary of the text."""

    def __init__(self, config: FirstTokenHeadConfig, dim: int, classes: int) -> None:
        super().__init__()
        self.activation = torch.tanh if config.activation == "tanh" else torch.relu
        self.dense, self.dropout = nn.Linear(dim, dim), nn.Dropout(config.dropout)
        self.linear = nn.Linear(dim, classes)
        self.apply(initialize)

    def forward(self, hidden: Float[Tensor, "b t d"], keep: Bool[Tensor, "b t"] | None = None) -> Float[Tensor, "b n"]:
        """Logits of texts; `keep` is False at padding."""
        return self.linear(self.dropout(self.activation(self.dense(hidden[:, 0]))))


@dataclass(frozen=True, kw_only=True)
class PooledHeadConfig:
    """linear(dropout(x)) of one vector: the last real token's (language models), or the mean over real tokens."""

    pool: Literal["last", "mean"] = "last"
    dropout: float = 0.0  # probability of zeroing a channel while training
    bias: bool = True

    def build(self, dim: int, classes: int) -> PooledHead:
        """Hidden states (b, t, dim) to logits (b, classes)."""
        return PooledHead(self, dim, classes)


class PooledHead(nn.Module):
    """Logits from the token that has read the whole text, or from all tokens alike."""

    def __init__(self, config: PooledHeadConfig, dim: int, classes: int) -> None:
        super().__init__()
        self.config = config
        self.dropout, self.linear = nn.Dropout(config.dropout), nn.Linear(dim, classes, bias=config.bias)
        self.apply(initialize)

    def forward(self, hidden: Float[Tensor, "b t d"], keep: Bool[Tensor, "b t"] | None = None) -> Float[Tensor, "b n"]:
        """Logits of texts; `keep` is False at padding."""
        pooled = last_real(hidden, keep) if self.config.pool == "last" else mean_real(hidden, keep)
        return self.linear(self.dropout(pooled))


TextHeadConfig: TypeAlias = FirstTokenHeadConfig | PooledHeadConfig


def mean_real(hidden: Float[Tensor, "b t d"], keep: Bool[Tensor, "b t"] | None) -> Float[Tensor, "b d"]:
    """The mean of each row's hidden states, padding left out."""
    if keep is None:
        return hidden.mean(1)
    weights = keep[..., None].to(hidden.dtype)
    return (hidden * weights).sum(1) / weights.sum(1).clamp(min=1)

"""One transformer block: attention, optionally cross-attention, and an MLP, each on a residual branch.

Axes: b batch · t length · n contexts · s context length · c context width · d model width
Refs: pre-norm arXiv:2002.04745 · layer scale arXiv:2103.17239 · drop path (stochastic depth) arXiv:1603.09382
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from multimodal.backbone.attention import AttentionConfig
from multimodal.backbone.cache import LayerCache
from multimodal.backbone.mask import Scores
from multimodal.backbone.mlp import GatedMlpConfig, MlpConfig
from multimodal.backbone.norm import LayerNormConfig, NormConfig
from multimodal.backbone.rotary import Rotary, Rotation


@dataclass(frozen=True, kw_only=True)
class BlockConfig:
    """Hyper-parameters of `Block`; the width comes from the parent, in `build`."""

    attention: AttentionConfig
    mlp: MlpConfig | GatedMlpConfig
    cross_attention: AttentionConfig | None = None  # over the `context` of an encoder
    norm: NormConfig = LayerNormConfig()
    placement: Literal["pre", "post"] = "pre"  # normalise a branch's input, or the sum after it
    layer_scale: float | None = None  # initial value of a learned factor per channel on each branch
    dropout: float = 0.0  # probability of zeroing a branch's output while training

    def build(self, dim: int, context_dim: int | None = None, drop_path: float = 0.0) -> Block:
        """A `Block` of width `dim` whose branches are skipped with probability `drop_path` while training."""
        return Block(self, dim, context_dim, drop_path)


class Branch(nn.Module):
    """What surrounds a sublayer: its norm, layer scale, dropout and the residual sum."""

    def __init__(self, config: BlockConfig, dim: int, drop_path: float) -> None:
        super().__init__()
        self.pre = config.placement == "pre"
        self.norm = config.norm.build(dim)
        self.scale = nn.Parameter(torch.full((dim,), config.layer_scale)) if config.layer_scale is not None else None
        self.dropout = nn.Dropout(config.dropout)
        self.drop_path = drop_path

    def enter(self, x: Float[Tensor, "b t d"]) -> Float[Tensor, "b t d"]:
        """What the sublayer gets."""
        return self.norm(x) if self.pre else x

    def leave(self, x: Float[Tensor, "b t d"], y: Float[Tensor, "b t d"]) -> Float[Tensor, "b t d"]:
        """The sum of the residual `x` and the sublayer's output `y`."""
        y = self.dropout(y)
        if self.scale is not None:
            y = y * self.scale
        if self.training and self.drop_path > 0.0:
            kept = torch.rand(y.shape[0], 1, 1, device=y.device) >= self.drop_path  # whole rows are skipped
            y = y * (kept / (1.0 - self.drop_path)).to(y.dtype)
        return x + y if self.pre else self.norm(x + y)


class Block(nn.Module):
    """x + attention(x), + cross-attention(x, context), + mlp(x), normalised before or after each."""

    def __init__(self, config: BlockConfig, dim: int, context_dim: int | None, drop_path: float) -> None:
        super().__init__()
        self.attention = config.attention.build(dim)
        self.attention_branch = Branch(config, dim, drop_path)
        self.cross = config.cross_attention.build(dim, context_dim) if config.cross_attention else None
        self.cross_branch = Branch(config, dim, drop_path) if config.cross_attention else None
        self.mlp = config.mlp.build(dim)
        self.mlp_branch = Branch(config, dim, drop_path)

    def forward(
        self,
        x: Float[Tensor, "b t d"],
        *,
        scores: Scores = Scores(),
        rotary: tuple[Rotary, Rotation] | None = None,
        cache: LayerCache | None = None,
        context: Float[Tensor, "n s c"] | None = None,
        context_scores: Scores = Scores(),
    ) -> Float[Tensor, "b t d"]:
        """The tokens after one round of mixing."""
        y = self.attention(self.attention_branch.enter(x), scores=scores, rotary=rotary, cache=cache)
        x = self.attention_branch.leave(x, y)
        if self.cross is not None and self.cross_branch is not None and context is not None:
            y = self.cross(self.cross_branch.enter(x), scores=context_scores, context=context, cache=cache)
            x = self.cross_branch.leave(x, y)
        return self.mlp_branch.leave(x, self.mlp(self.mlp_branch.enter(x)))

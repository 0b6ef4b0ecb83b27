"""One transformer block: attention, optionally cross-attention or a convolution, and an MLP, each on a residual branch.

With `first_mlp` it is a Macaron: half of an MLP before attention, half of one at the end, and a norm behind all. With a
convolution as well it is the Conformer's block.

Axes: b batch · t length · n contexts · s context length · c context width · d model width
Refs: pre-norm arXiv:2002.04745 · layer scale arXiv:2103.17239 · drop path (stochastic depth) arXiv:1603.09382 · Macaron
arXiv:1906.02762 · Conformer arXiv:2005.08100
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from multimodal.backbone.attention import AttentionConfig
from multimodal.backbone.cache import LayerCache
from multimodal.backbone.convolution import ConvolutionConfig
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
    convolution: ConvolutionConfig | None = None  # after attention
    first_mlp: MlpConfig | GatedMlpConfig | None = (
        None  # before attention; then each MLP counts half, and a norm ends all
    )
    norm: NormConfig = LayerNormConfig()
    placement: Literal["pre", "post"] = "pre"  # normalise a branch's input, or the sum after it
    layer_scale: float | None = None  # initial value of a learned factor per channel on each branch
    dropout: float = 0.0  # probability of zeroing a branch's output while training

    def build(self, dim: int, context_dim: int | None = None, drop_path: float = 0.0) -> Block:
        """A `Block` of width `dim` whose branches are skipped with probability `drop_path` while training."""
        return Block(self, dim, context_dim, drop_path)


class Branch(nn.Module):
    """What surrounds a sublayer: its norm, layer scale, dropout and the residual sum, to which it counts `factor`."""

    def __init__(self, config: BlockConfig, dim: int, drop_path: float, factor: float = 1.0) -> None:
        super().__init__()
        self.factor = factor
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
        if self.factor != 1.0:
            y = y * self.factor
        if self.training and self.drop_path > 0.0:
            kept = torch.rand(y.shape[0], 1, 1, device=y.device) >= self.drop_path  # whole rows are skipped
            y = y * (kept / (1.0 - self.drop_path)).to(y.dtype)
        return x + y if self.pre else self.norm(x + y)


def pick(x: Float[Tensor, "b t d"], only: Int[Tensor, " b"]) -> Float[Tensor, "b 1 d"]:
    """The one token of each row that stands at `only`."""
    return x[torch.arange(len(x), device=x.device), only][:, None]


class Block(nn.Module):
    """x + attention(x), + cross-attention(x, context), + convolution(x), + mlp(x), normalised before or after each."""

    def __init__(self, config: BlockConfig, dim: int, context_dim: int | None, drop_path: float) -> None:
        super().__init__()
        factor = 1.0 if config.first_mlp is None else 0.5
        self.first_mlp = config.first_mlp.build(dim) if config.first_mlp else None
        self.first_branch = Branch(config, dim, drop_path, factor) if config.first_mlp else None
        self.attention = config.attention.build(dim)
        self.attention_branch = Branch(config, dim, drop_path)
        self.cross = config.cross_attention.build(dim, context_dim) if config.cross_attention else None
        self.cross_branch = Branch(config, dim, drop_path) if config.cross_attention else None
        self.convolution = config.convolution.build(dim) if config.convolution else None
        self.convolution_branch = Branch(config, dim, drop_path) if config.convolution else None
        self.mlp = config.mlp.build(dim)
        self.mlp_branch = Branch(config, dim, drop_path, factor)
        self.norm = config.norm.build(dim) if config.first_mlp else nn.Identity()

    def forward(
        self,
        x: Float[Tensor, "b t d"],
        *,
        scores: Scores = Scores(),
        rotary: tuple[Rotary, Rotation] | None = None,
        cache: LayerCache | None = None,
        context: Float[Tensor, "n s c"] | None = None,
        context_scores: Scores = Scores(),
        keep: Bool[Tensor, "b t"] | None = None,
        only: Int[Tensor, " b"] | None = None,
    ) -> Float[Tensor, "b u d"]:
        """The tokens after one round of mixing, or of each row the one at `only`, once it has looked at the others.

        `keep` is False at padding, which a convolution must know.
        """
        if self.first_mlp is not None and self.first_branch is not None:
            x = self.first_branch.leave(x, self.first_mlp(self.first_branch.enter(x)))
        y = self.attention(self.attention_branch.enter(x), scores=scores, rotary=rotary, cache=cache)
        x = self.attention_branch.leave(x, y)
        if only is not None:
            x = pick(x, only)
        if self.cross is not None and self.cross_branch is not None and context is not None:
            y = self.cross(self.cross_branch.enter(x), scores=context_scores, context=context, cache=cache)
            x = self.cross_branch.leave(x, y)
        if self.convolution is not None and self.convolution_branch is not None:
            y = self.convolution(self.convolution_branch.enter(x), keep=keep)
            x = self.convolution_branch.leave(x, y)
        return self.norm(self.mlp_branch.leave(x, self.mlp(self.mlp_branch.enter(x))))

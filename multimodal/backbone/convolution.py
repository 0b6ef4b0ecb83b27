"""The convolution module of the Conformer: what is near in time mixes, beside attention that mixes what is far.

One more sublayer of the shared block. A gated linear layer, a convolution of each channel along time, a norm, an
activation, a linear layer. Padding is zero for it, and is left out of the norm's statistics.

Axes: b batch · t length · d model width · n real tokens
Refs: Conformer arXiv:2005.08100 §2.2 · gated linear units arXiv:1612.08083 · batch norm arXiv:1502.03167
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from multimodal.backbone.mlp import Activation, activate
from multimodal.backbone.norm import NormConfig
from multimodal.errors import ArgumentError


@dataclass(frozen=True, kw_only=True)
class BatchNormConfig:
    """Each channel normalised over all real tokens of a batch; over the running statistics when evaluating."""

    eps: float = 1e-5
    momentum: float = 0.1  # of the running statistics

    def build(self, dim: int) -> nn.BatchNorm1d:
        """The layer, for real tokens (n, d)."""
        return nn.BatchNorm1d(dim, eps=self.eps, momentum=self.momentum)


@dataclass(frozen=True, kw_only=True)
class ConvolutionConfig:
    """Hyper-parameters of `Convolution`."""

    kernel: int = 31  # tokens that the depthwise convolution sees; odd, so that it sees as many on either side
    norm: NormConfig | BatchNormConfig = BatchNormConfig()
    activation: Activation = "silu"

    def build(self, dim: int) -> Convolution:
        """A `Convolution` for tokens of width `dim`.

        Raises:
            ArgumentError: an even kernel.
        """
        if self.kernel < 1 or self.kernel % 2 == 0:
            raise ArgumentError(f"kernel is {self.kernel}; it must be odd, so that a token is in the middle of it.")
        return Convolution(self, dim)


class Convolution(nn.Module):
    """out(activation(norm(depthwise(glu(x))))), along time."""

    def __init__(self, config: ConvolutionConfig, dim: int) -> None:
        super().__init__()
        self.config = config
        self.up = nn.Linear(dim, 2 * dim)
        self.depthwise = nn.Conv1d(dim, dim, config.kernel, padding=config.kernel // 2, groups=dim)
        self.norm = config.norm.build(dim)
        self.activation = activate(config.activation)
        self.out = nn.Linear(dim, dim)

    def forward(self, x: Float[Tensor, "b t d"], *, keep: Bool[Tensor, "b t"] | None = None) -> Float[Tensor, "b t d"]:
        """Each token becomes a mixture of its neighbours; `keep` is False at padding."""
        x = F.glu(self.up(x), dim=-1)
        if keep is not None:
            x = x.masked_fill(~keep[..., None], 0.0)
        x = self.depthwise(x.transpose(1, 2)).transpose(1, 2)
        return self.out(self.activation(self._normed(x, keep)))

    def _normed(self, x: Float[Tensor, "b t d"], keep: Bool[Tensor, "b t"] | None) -> Float[Tensor, "b t d"]:
        if not isinstance(self.norm, nn.BatchNorm1d | nn.SyncBatchNorm):
            return self.norm(x)
        if keep is None or not self.training:  # running statistics know no padding
            return self.norm(x.flatten(0, 1)).view_as(x)
        real = self.norm(x[keep])  # n d
        return torch.zeros_like(x, dtype=real.dtype).masked_scatter(keep[..., None], real)

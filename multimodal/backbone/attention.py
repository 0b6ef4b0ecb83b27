"""Multi-head attention, the token mixer of the shared backbone.

Covers multi-head, grouped-query and multi-query attention (`kv_heads`), cross-attention (`context`), rotary positions,
normalised queries and keys. A variant with other mathematics gets a file of its own next to this one, not a flag.

Axes: b batch · t query length · s key length · d model width · h heads · g key/value heads · k head width ·
n contexts: b, or b / beams when several rows look at each
Refs: MHA arXiv:1706.03762 §3.2 · MQA arXiv:1911.02150 · GQA arXiv:2305.13245 · QK norm arXiv:2302.05442
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import linear

from multimodal.backbone.attend import attend
from multimodal.backbone.cache import LayerCache
from multimodal.backbone.mask import Scores
from multimodal.backbone.norm import NormConfig
from multimodal.backbone.rotary import Rotary, Rotation
from multimodal.errors import ArgumentError

MANY_TOKENS = 512  # in a batch: one product for q, k and v then saves 1 to 2% of a ViT's step on a CPU


@dataclass(frozen=True, kw_only=True)
class AttentionConfig:
    """Hyper-parameters of `Attention`; the model width comes from the parent, in `build`."""

    heads: int
    kv_heads: int | None = None  # g; None: one per query head (MHA); 1: MQA; between: GQA
    head_dim: int | None = None  # k; None: d / heads
    bias: Literal["qkvo", "qkv", "qvo", "qv", "o", ""] = "qkvo"  # which of the four projections add a bias
    scale: float | None = None  # of the scores; None: 1 / sqrt(k). T5 uses 1
    qk_norm: NormConfig | None = None  # of each query and key head
    out_norm: NormConfig | None = None  # of the heads' concatenated output, before the last projection
    dropout: float = 0.0  # probability of zeroing an attention weight while training

    def width(self, dim: int) -> int:
        """The head width k in a model of width `dim`."""
        if self.heads < 1 or (self.head_dim is not None and self.head_dim < 1):
            raise ArgumentError(f"heads is {self.heads} and head_dim {self.head_dim}; both must be at least 1.")
        if self.head_dim is None and dim % self.heads:
            raise ArgumentError(
                f"width {dim} is not divisible by heads={self.heads}; set head_dim or change one of them."
            )
        return self.head_dim or dim // self.heads

    def build(self, dim: int, context_dim: int | None = None) -> Attention:
        """An `Attention` for tokens of width `dim`, over a context of width `context_dim` (default: the same)."""
        return Attention(self, dim, context_dim or dim)


class Attention(nn.Module):
    """Softmax attention of `x` over itself, or over `context` when that is given."""

    # The kernel; tools that look at the attention weights put a recording one in its place.
    attend: Callable[..., Tensor] = staticmethod(attend)

    def __init__(self, config: AttentionConfig, dim: int, context_dim: int) -> None:
        super().__init__()
        self.config = config
        self.heads, self.kv_heads = config.heads, config.kv_heads or config.heads
        if self.heads % self.kv_heads:
            raise ArgumentError(f"heads={self.heads} is not a multiple of kv_heads={self.kv_heads}.")
        width = config.width(dim)
        self.q = nn.Linear(dim, self.heads * width, bias="q" in config.bias)
        self.k = nn.Linear(context_dim, self.kv_heads * width, bias="k" in config.bias)
        self.v = nn.Linear(context_dim, self.kv_heads * width, bias="v" in config.bias)
        self.out = nn.Linear(self.heads * width, dim, bias="o" in config.bias)
        self.q_norm = config.qk_norm.build(width) if config.qk_norm else nn.Identity()
        self.k_norm = config.qk_norm.build(width) if config.qk_norm else nn.Identity()
        self.out_norm = config.out_norm.build(self.heads * width) if config.out_norm else nn.Identity()

    def forward(
        self,
        x: Float[Tensor, "b t d"],
        *,
        scores: Scores = Scores(),
        context: Float[Tensor, "n s c"] | None = None,
        rotary: tuple[Rotary, Rotation] | None = None,
        cache: LayerCache | None = None,
    ) -> Float[Tensor, "b t d"]:
        """Each token becomes a mixture of the tokens that `scores` lets it see."""
        if context is not None and cache is not None and cache.context is not None:
            q = self.q_norm(self._split(self.q(x), self.heads))
            k, v = cache.context
        else:
            q, k, v = self._project(x) if context is None else (self.q(x), self.k(context), self.v(context))
            q = self.q_norm(self._split(q, self.heads))
            k = self.k_norm(self._split(k, self.kv_heads))
            v = self._split(v, self.kv_heads)
            if context is not None and cache is not None:
                k, v = k.contiguous(), v.contiguous()  # read for every token: on a CPU three times faster than strided
                cache.context = (k, v)
        if rotary is not None:
            embedding, rotation = rotary
            q, k = embedding.rotate(q, rotation), embedding.rotate(k, rotation)
        if cache is not None and context is None:
            k, v = cache.append(k, v)
        # Beams of one context are more queries over the same keys, which so exist once.
        beams, t = q.shape[0] // k.shape[0], q.shape[2]
        if beams > 1:
            q = q.unflatten(0, (-1, beams)).transpose(1, 2).flatten(2, 3)  # n h (beams t) k
        mixed = self.attend(
            q,
            k,
            v,
            attn_mask=scores.attn_mask,
            is_causal=scores.is_causal,
            dropout_p=self.config.dropout if self.training else 0.0,
            scale=self.config.scale,
            enable_gqa=self.kv_heads != self.heads,
            **(
                {"segments": scores.segments} if scores.segments else {}
            ),  # else any kernel with SDPA's arguments will do
        )  # b h t k
        if beams > 1:
            mixed = mixed.unflatten(2, (beams, t)).transpose(1, 2).flatten(0, 1)  # b h t k
        return self.out(self.out_norm(mixed.transpose(1, 2).flatten(-2)))

    def _project(self, x: Float[Tensor, "b t d"]) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values of `x`: in one product where there are enough tokens to pay for joining the weights.

        The three stay layers of their own, so that checkpoints, adapters and missing biases need no exception.
        """
        layers = (self.q, self.k, self.v)
        plain = all(type(layer) is nn.Linear and layer.bias is not None for layer in layers)
        if not plain or x.shape[0] * x.shape[1] < MANY_TOKENS:
            return self.q(x), self.k(x), self.v(x)
        weight = torch.cat([layer.weight for layer in layers])
        bias = torch.cat([layer.bias for layer in layers])
        widths = [layer.out_features for layer in layers]
        q, k, v = linear(x, weight, bias).split(widths, dim=-1)
        return q, k, v

    @staticmethod
    def _split(x: Float[Tensor, "b t hk"], heads: int) -> Float[Tensor, "b h t k"]:
        return x.unflatten(-1, (heads, -1)).transpose(1, 2)

"""The transformer that every modality here shares: a stack of blocks over vectors that a tokenizer made.

Encoder or decoder is a matter of the `Mask`, encoder-decoder one of `cross_attention`: the stack is the same. On a CPU
padding is left out of the computation: the real tokens of all rows are packed into one.
Embeddings, heads and losses live elsewhere.

Axes: b batch · t length · s key length · n contexts · c their width · a position axes · d model width
Refs: arXiv:1706.03762 · shared layers (ALBERT) arXiv:1909.11942 · gradient checkpointing arXiv:1604.06174
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeAlias

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from multimodal.backbone.bias import AlibiConfig, RelativeBiasConfig
from multimodal.backbone.block import BlockConfig, pick
from multimodal.backbone.cache import Cache
from multimodal.backbone.mask import Mask, Scores
from multimodal.backbone.rotary import Rotary, RotaryConfig, Rotation
from multimodal.errors import ArgumentError

AttentionPositionConfig: TypeAlias = RotaryConfig | AlibiConfig | RelativeBiasConfig
DEEPEST = 10_000  # layers; so that a damaged config is refused instead of built for hours


@dataclass(frozen=True, kw_only=True)
class BackboneConfig:
    """Hyper-parameters of `Backbone`."""

    dim: int  # d
    depth: int
    block: BlockConfig
    position: AttentionPositionConfig | None = (
        None  # inside attention; learned and sinusoidal ones belong to the tokens
    )
    context_dim: int | None = None  # width of the context of cross-attention; None: d
    drop_path: float = 0.0  # of the last block; grows linearly from 0 at the first
    shared: bool = False  # all layers are one set of weights
    final_norm: bool = True

    def build(self) -> Backbone:
        """A `Backbone` with fresh weights.

        Raises:
            ArgumentError: a depth that no model has.
        """
        if not 0 <= self.depth <= DEEPEST:
            raise ArgumentError(f"depth is {self.depth}; it must be from 0 to {DEEPEST:,}.")
        return Backbone(self)


class Backbone(nn.Module):
    """`depth` blocks, their positions, and a last norm."""

    def __init__(self, config: BackboneConfig) -> None:
        super().__init__()
        self.config = config
        attention = config.block.attention
        self.position = config.position.build(attention.heads, attention.width(config.dim)) if config.position else None
        rates = [config.drop_path * i / max(config.depth - 1, 1) for i in range(config.depth)]
        self.blocks = nn.ModuleList(
            config.block.build(config.dim, config.context_dim, rate)
            for rate in (rates[-1:] if config.shared else rates)
        )
        self.norm = config.block.norm.build(config.dim) if config.final_norm else nn.Identity()
        self.checkpointing = False  # recompute activations in the backward pass: less memory, a third more time
        self.apply(initialize)

    def forward(
        self,
        x: Float[Tensor, "b t d"],
        *,
        mask: Mask = Mask(),
        positions: Shaped[Tensor, "#b t a"] | None = None,
        cache: Cache | None = None,
        context: Float[Tensor, "n s c"] | None = None,
        context_keep: Bool[Tensor, "n s"] | None = None,
        after: Callable[[int, Tensor], Tensor] | None = None,
        depth: int | None = None,
        only: Int[Tensor, " b"] | None = None,
    ) -> Float[Tensor, "b u d"]:
        """The tokens (u = t) after all blocks and the last norm; what stands at padding has no meaning.

        Args:
            x: token vectors.
            mask: who may look at whom.
            positions: where each token stands, for rotary embeddings; default: counted from the left (after the cache).
            cache: keys and values of earlier tokens, from `new_cache`; extended in place.
            context: an encoder's output, for blocks with cross-attention. With a cache, several rows of x (beams) may
                share each of them, those of the first in front; its keys are computed at the first call.
            context_keep: False at the context's padding.
            after: what the tokens (b t d) become after each block, whose number, from 1, it is given.
            depth: leave after so many blocks, without the last norm; for those who look inside, without a cache.
            only: the one token of each row that is asked for (u = 1), which spares the others most of the last block.

        Raises:
            ArgumentError: a context without cross-attention or the reverse, more tokens than the cache holds, or a
                cache or packed documents where there are convolutions, which would look across their borders; or
                `only` with these.
        """
        if (context is None) != (self.config.block.cross_attention is None):
            raise ArgumentError("A backbone with cross-attention needs `context`, and only such a backbone takes one.")
        given = (cache, mask.document, only)
        if self.config.block.convolution is not None and any(one is not None for one in given):
            raise ArgumentError(
                "Blocks with a convolution take neither a cache nor packed documents, and give all tokens: give rows "
                "of their own."
            )
        whole = after is None and depth is None and only is None
        if cache is None and context is None and whole and self._leaves_out_padding(mask, x):
            return self._packed(x, mask, positions)
        t = x.shape[1]
        past, s = cache.begin(t, mask.keep) if cache is not None else (0, t)
        rotary, bias = self._positions(positions, t, s, past, x)
        scores = mask.scores(t, s, past=past, bias=bias, device=x.device)
        context_scores = Scores(context_keep[:, None, None]) if context_keep is not None else Scores()
        blocks = self.config.depth if depth is None else depth
        for layer in range(blocks):
            block = self.blocks[0 if self.config.shared else layer]
            store = cache.layers[layer] if cache is not None else None
            parts = {"scores": scores, "rotary": rotary, "context": context, "context_scores": context_scores}
            parts["keep"] = mask.keep
            parts["only"] = only if layer == blocks - 1 else None
            if self.checkpointing and self.training:
                x = checkpoint(block, x, use_reentrant=False, cache=store, **parts)  # pyright: ignore
            else:
                x = block(x, cache=store, **parts)
            if after is not None:
                x = after(layer + 1, x)
        if cache is not None:
            cache.finish()
        if only is not None and blocks == 0:  # there was none to leave the others out
            x = pick(x, only)
        return self.norm(x) if depth is None else x

    def new_cache(
        self, batch: int, capacity: int, *, device: torch.device | None = None, dtype: torch.dtype | None = None
    ) -> Cache:
        """An empty cache for `batch` rows of up to `capacity` tokens, on the device and in the dtype of the weights."""
        attention = self.config.block.attention
        like = next(self.parameters())
        heads, width = attention.kv_heads or attention.heads, attention.width(self.config.dim)
        device, dtype = device or like.device, dtype or like.dtype
        return Cache(self.config.depth, batch, capacity, heads, width, device=device, dtype=dtype)

    def _leaves_out_padding(self, mask: Mask, x: Tensor) -> bool:
        """Whether packing says the same: padding and causality are all of the mask, and nothing depends on rows."""
        others = (mask.window, mask.steps, mask.document, mask.graph)
        if mask.keep is None or any(other is not None for other in others) or torch.compiler.is_compiling():
            return False
        by_row = (self.training and self.config.drop_path > 0.0) or self.config.block.convolution is not None
        return x.device.type == "cpu" and not by_row and (self.position is None or isinstance(self.position, Rotary))

    def _packed(self, x: Float[Tensor, "b t d"], mask: Mask, positions: Tensor | None) -> Float[Tensor, "b t d"]:
        """The same for rows with padding, as one row of packed documents; zeros at padding."""
        keep = mask.keep
        assert keep is not None
        if keep.all():
            return self(x, mask=replace(mask, keep=None), positions=positions)
        row, place = keep.nonzero(as_tuple=True)
        if positions is None:
            positions = place[None, :, None]
        else:
            positions = positions.expand(len(x), -1, -1)[keep][None]
        packed = self(x[keep][None], mask=Mask(causal=mask.causal, document=row[None]), positions=positions)
        return torch.zeros_like(x, dtype=packed.dtype).index_put((row, place), packed[0])

    def _positions(
        self, positions: Tensor | None, t: int, s: int, past: Tensor | int, x: Tensor
    ) -> tuple[tuple[Rotary, Rotation] | None, Tensor | None]:
        """The rotation, or the bias, that this backbone's kind of position gives to all layers."""
        if self.position is None:
            return None, None
        past = past[:, None] if isinstance(past, Tensor) else past
        query = (torch.arange(t, device=x.device) + past).reshape(-1, t)  # (b or 1) t
        if isinstance(self.position, Rotary):
            return (self.position, self.position(query[..., None] if positions is None else positions)), None
        return None, self.position(query, torch.arange(s, device=x.device)).to(x.dtype)


def initialize(module: nn.Module) -> None:
    """Fresh weights as ViT, BERT and GPT-2 have them: normal with deviation 0.02 cut at 2 deviations, biases zero."""
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.trunc_normal_(module.weight, std=0.02, a=-0.04, b=0.04)
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)

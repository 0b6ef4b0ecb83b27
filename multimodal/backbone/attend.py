"""Which kernel computes softmax(q kᵀ) v: torch's fused one, except where plain products are faster.

Where several documents are packed into a row, it is called once for each of them.

The fused CPU kernel gains nothing from bf16: at 32 x 3 heads, 197 tokens, width 64, on two cores with AVX-512 BF16 it
took 9.3 ms forward and 28 ms backward, as two batched products and a softmax 6.3 and 10.4 ms. So unmasked attention in
bf16 on a CPU goes through products, of one head after the other where there are many tokens (8 heads, 1500 tokens, one
core: 68 to 45 ms; one token that looks at 1500: 1.4 to 0.3 ms); everything else through `scaled_dot_product_attention`.

Axes: b batch · h heads · t query length · s key length · k head width · e value width
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from multimodal.backbone.mask import Segment

LONGEST = 1024  # keys; the scores of longer sequences would take more memory than the products save time while learning
SCORES = 2**22  # at a time, where there are more keys than that: few enough to stay near the processor
FEW = 128  # keys; for one query over fewer, the fused kernel has the smaller overhead


def attend(
    q: Float[Tensor, "b h t k"],
    k: Float[Tensor, "b g s k"],
    v: Float[Tensor, "b g s e"],
    *,
    attn_mask: Tensor | None = None,
    is_causal: bool = False,
    dropout_p: float = 0.0,
    scale: float | None = None,
    enable_gqa: bool = False,
    segments: tuple[Segment, ...] = (),
) -> Float[Tensor, "b h t e"]:
    """Attention with the arguments of `scaled_dot_product_attention`, by the fastest kernel for them.

    Where there are `segments`, they cover every row from left to right, and each is attended to for itself.
    """
    if segments:
        options: dict[str, Any] = {"is_causal": is_causal, "dropout_p": dropout_p, "scale": scale}
        parts: list[list[Tensor]] = [[] for _ in range(q.shape[0])]
        for row, start, stop in segments:
            part = (x[row : row + 1, :, start:stop] for x in (q, k, v))
            parts[row].append(attend(*part, enable_gqa=enable_gqa, **options))
        return torch.cat([torch.cat(row, dim=2) for row in parts])
    plain = attn_mask is None and not is_causal and dropout_p == 0.0 and not enable_gqa
    if plain and q.dtype == torch.bfloat16 and q.device.type == "cpu" and _pays(q, k):
        with torch.autocast("cpu", enabled=False):  # it would turn the softmax into float32 and back
            return _products(q * (q.shape[-1] ** -0.5 if scale is None else scale), k, v)
    return scaled_dot_product_attention(
        q, k, v, attn_mask=attn_mask, is_causal=is_causal, dropout_p=dropout_p, scale=scale, enable_gqa=enable_gqa
    )


def _pays(q: Tensor, k: Tensor) -> bool:
    """Whether products are faster than the fused kernel, and take no memory that learning needs."""
    if k.shape[-2] <= LONGEST:
        return q.shape[-2] > 1 or k.shape[-2] >= FEW
    return not (torch.is_grad_enabled() and (q.requires_grad or k.requires_grad))


def _products(q: Float[Tensor, "b h t k"], k: Float[Tensor, "b h s k"], v: Float[Tensor, "b h s e"]) -> Tensor:
    t, s = q.shape[2], k.shape[2]
    if s <= LONGEST or q.shape[1] * t * s <= SCORES:
        return (q @ k.transpose(-1, -2)).softmax(-1) @ v
    rows = max(SCORES // s, 1)
    mixed = []
    for queries, keys, values in zip(q.split(1, dim=1), k.split(1, dim=1), v.split(1, dim=1), strict=True):
        parts = [(part @ keys.transpose(-1, -2)).softmax(-1) @ values for part in queries.split(rows, dim=2)]
        mixed.append(torch.cat(parts, dim=2))
    return torch.cat(mixed, dim=1)

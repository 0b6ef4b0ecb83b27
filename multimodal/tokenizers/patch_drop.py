"""Leaving out a random part of an image's patches while training, which costs little accuracy and saves its time.

Axes: b batch · t length · k tokens that are kept · a position axes
Refs: FLIP arXiv:2212.00794
"""

from __future__ import annotations

from dataclasses import replace

import torch
from jaxtyping import Int
from torch import Tensor

from multimodal.errors import ArgumentError
from multimodal.tokenizers.tokens import Tokens


def drop_patches(tokens: Tokens, drop: float) -> Tokens:
    """`tokens` of images without the part `drop` of their patches, drawn for each image; prefix tokens stay.

    Raises:
        ArgumentError: `drop` is not a part, or the tokens are not those of whole images.
    """
    if not 0 <= drop < 1:
        raise ArgumentError(f"patch_drop is {drop}; it is the part that is left out and must lie in [0, 1).")
    if tokens.keep is not None or tokens.document is not None:
        raise ArgumentError("Patches can be left out of whole images only, not of padded or packed ones.")
    b, t, _ = tokens.x.shape
    places = _kept(b, t - tokens.prefix, drop, tokens.x.device) + tokens.prefix
    front = torch.arange(tokens.prefix, device=places.device).expand(b, -1)
    places = torch.cat([front, places], dim=1)  # b k
    x = tokens.x.gather(1, places[..., None].expand(-1, -1, tokens.x.shape[-1]))
    positions = tokens.positions
    if positions is not None:
        positions = positions.expand(b, -1, -1).gather(1, places[..., None].expand(-1, -1, positions.shape[-1]))
    return replace(tokens, x=x, positions=positions, runs=((places.shape[1], tokens.runs[0][1]),))


def _kept(batch: int, patches: int, drop: float, device: torch.device) -> Int[Tensor, "b k"]:
    """For each image the places of its kept patches, in their order; one is kept at least."""
    count = max(1, round(patches * (1 - drop)))
    order = torch.rand(batch, patches, device=device).argsort(1)
    return order[:, :count].sort(1).values

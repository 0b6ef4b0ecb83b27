"""Looking into a model while it runs, and leaving it as it was: modes, attention weights.

Axes: b batch · t query length · s key length · h heads · g key/value heads · k head width
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from multimodal.backbone.attention import Attention


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Every part of `model` in eval mode; afterwards each is back in its own (a frozen encoder may differ)."""
    training = [module for module in model.modules() if module.training]
    for module in training:
        module.training = False
    try:
        yield
    finally:
        for module in training:
            module.training = True


@contextmanager
def recorded(model: nn.Module) -> Iterator[list[Tensor]]:
    """The weights (b h t s) of every attention inside `model`, in the order in which they are used.

    The outputs are the same, but slower and with more memory: the weights are asked of the same kernel, with the
    identity in place of the values, and then applied to the values. Gradients flow through them.
    """
    layers = [module for module in model.modules() if isinstance(module, Attention)]
    own = {layer: layer.__dict__.get("attend") for layer in layers}  # None: it uses the one of its class
    found: list[Tensor] = []
    try:
        for layer in layers:
            layer.attend = _recorder(layer.attend, found)
        yield found
    finally:
        for layer in layers:
            layer.__dict__.pop("attend", None)
            if (kernel := own[layer]) is not None:
                layer.attend = kernel


def _recorder(kernel: Callable[..., Tensor], found: list[Tensor]) -> Callable[..., Tensor]:
    def attend(q: Tensor, k: Tensor, v: Tensor, **options: Any) -> Tensor:
        b, g, s, _ = k.shape
        identity = torch.eye(s, dtype=v.dtype, device=v.device).expand(b, g, s, s)
        weights = kernel(q, k, identity, **options)  # b h t s
        found.append(weights)
        return weights @ v.repeat_interleave(q.shape[1] // g, dim=1)  # b h t k

    return attend

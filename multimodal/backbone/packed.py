"""Linear layers for a few rows at a time on a CPU: decoding reads every weight for each token, so their layout counts.

torch's `linear` reaches a third of the memory's speed on one row; oneDNN, given the weight in its own layout, does two
to four times better (GPT-2's layers and head on two cores: float32 34 to 18 ms a token, bfloat16 14 to 9.5 ms). While
`packed_rows` lasts, the model's linear layers go through such copies. They are kept as long as the weights are, and
made anew when a weight has changed. Elsewhere than on a CPU, and while gradients are needed, nothing changes.

Axes: n rows · i input width · o output width
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import linear
from torch.optim.optimizer import register_optimizer_step_post_hook
from torch.utils.weak import WeakTensorKeyDictionary

LARGEST = 0.25  # of the machine's memory: the copies of larger models would crowd out what the machine needs
_copies = WeakTensorKeyDictionary()  # weight -> (its version when it was copied, the copy)
_active: dict[int, Tensor] = {}  # the copies in use now, by the identity of their weight


@contextmanager
def packed_rows(model: nn.Module, *others: Tensor) -> Iterator[None]:
    """While it lasts, the linear layers of `model`, and `project` with one of the weights `others`, use packed copies.

    What needs gradients goes the plain way also then. A weight must not be changed under it.
    """
    layers = [module for module in model.modules() if type(module) is nn.Linear and "forward" not in vars(module)]
    weights = {id(weight): weight for weight in [*(layer.weight for layer in layers), *others]}
    # What somebody else packed at the same time, in another thread, is theirs to end; plain products then take over.
    mine = {key: weight for key, weight in weights.items() if key not in _active}
    if not _worthwhile(list(weights.values())):
        yield
        return
    _active.update({key: _packed(weight) for key, weight in mine.items()})
    for layer in layers:
        layer.forward = _Product(layer)
    try:
        yield
    finally:
        for layer in layers:
            del layer.forward
        for key in mine:
            del _active[key]


def project(
    x: Float[Tensor, "*n i"], weight: Float[Tensor, "o i"], bias: Tensor | None = None
) -> Float[Tensor, "*n o"]:
    """x weightᵀ + bias, by the packed copy of `weight` where there is one."""
    copy = _active.get(id(weight))
    learning = torch.is_grad_enabled() and (x.requires_grad or weight.requires_grad)
    if copy is None or learning or x.dtype != weight.dtype:
        return linear(x, weight, bias)
    return torch.ops.mkldnn._linear_pointwise(x, copy, bias, "none", [], "")


class _Product:
    """A linear layer's forward pass by `project`."""

    def __init__(self, layer: nn.Linear) -> None:
        self.layer = layer

    def __call__(self, input: Tensor) -> Tensor:  # by the name that torch gives it
        return project(input, self.layer.weight, self.layer.bias)


def _worthwhile(weights: list[Tensor]) -> bool:
    """Whether packing is possible and pays: everything on the CPU, in a dtype that oneDNN has, and not too large."""
    kinds = {(weight.device.type, weight.dtype) for weight in weights}
    if not weights or not kinds <= {("cpu", torch.float32), ("cpu", torch.bfloat16)}:
        return False
    if not torch.backends.mkldnn.is_available():
        return False
    if ("cpu", torch.bfloat16) in kinds and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return False
    size = sum(weight.numel() * weight.element_size() for weight in weights)
    return size <= LARGEST * os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _packed(weight: Tensor) -> Tensor:
    version = None if weight.is_inference() else weight._version  # inference tensors do not count their changes
    known, copy = _copies.get(weight, (None, None))
    if copy is None or version is None or version != known:
        _forget_after_steps()
        copy = torch.ops.mkldnn._reorder_linear_weight(weight.detach(), 1)
        _copies[weight] = (version, copy)
    return copy


@cache
def _forget_after_steps() -> None:
    """Let no copy outlive an optimizer's step: the fused ones change weights without counting it in `_version`."""
    register_optimizer_step_post_hook(lambda *_: _copies.clear())

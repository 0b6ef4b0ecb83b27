"""Do these tensors belong to this config? And a model to put them into, built without giving it weights first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from multimodal.checkpoint.kinds import AnyConfig, AnyModel, build
from multimodal.models.image_encoder import TimmEncoder, TimmEncoderConfig
from multimodal.models.open_clip_towers import (
    OpenClipImageConfig,
    OpenClipImageTower,
    OpenClipTextConfig,
    OpenClipTextTower,
)
from multimodal.tokenizers.text import TextTokenizer

# On the "meta" device these would do nothing either, but torch imports its compiler to do it: 1.5 seconds.
_DRAWING = ("normal_", "uniform_", "erfinv_", "trunc_normal_", "kaiming_uniform_")


class EmptyParameters(TorchFunctionMode):
    """While it lasts, `torch.empty` without a device gives tensors without memory (on the "meta" device).

    That is how layers make their weights, which then cost no time to initialise. Tables that a module computes
    (rotary frequencies, sinusoids, ALiBi slopes) come from other functions and are made as ever; under
    `torch.device("meta")` they would be lost.
    """

    def __torch_function__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        """Call `func`, with the device set where it is `torch.empty`; random numbers are not drawn for no memory."""
        kwargs = kwargs or {}
        if getattr(func, "__name__", "") in _DRAWING:
            filled = args[0] if args else kwargs["tensor"]
            if filled.is_meta:
                return filled
        if func is torch.empty and kwargs.get("device") is None:
            kwargs = {**kwargs, "device": "meta"}
        return func(*args, **kwargs)


def skeleton(
    config: AnyConfig, labels: Iterable[str] | None = None, tokenizer: TextTokenizer | None = None
) -> AnyModel:
    """A model whose weights are still to be assigned. What is wrapped, built by foreign code, has fresh ones."""
    with nullcontext() if _wraps(config) else EmptyParameters():
        return build(config, labels=labels, tokenizer=tokenizer)


def _wraps(config: Any) -> bool:
    """Whether a part of the model is another library's own code."""
    kinds = (TimmEncoderConfig, OpenClipImageConfig, OpenClipTextConfig)
    parts = [getattr(config, name, None) for name in ("encoder", "image", "text", "features")]
    return any(isinstance(part, kinds) or isinstance(getattr(part, "encoder", None), kinds) for part in parts)


def difference(found: Mapping[str, Tensor], needed: Mapping[str, Tensor]) -> str | None:
    """The first way in which the tensors `found` are not those that a config needs, as a clause; None: they fit."""
    for name, tensor in needed.items():
        if name not in found:
            return f"the tensor {name!r} is missing"
        if found[name].shape != tensor.shape:
            return f"the tensor {name!r} has shape {_shape(found[name])} where the config needs {_shape(tensor)}"
    extra = [name for name in found if name not in needed]
    return f"the tensor {extra[0]!r} has no place in the config" if extra else None


def not_finite(state: Mapping[str, Tensor]) -> str | None:
    """The name of the first tensor that holds NaN or infinity; None: all numbers are finite."""
    for name, tensor in state.items():
        # A sum is finite only if all its terms are, and takes no memory; that of float16 may overflow by itself.
        if tensor.is_floating_point() and not tensor.sum().isfinite() and not tensor.isfinite().all():
            return name
    return None


def assign(model: AnyModel, state: dict[str, Tensor], device: torch.device, dtype: torch.dtype | None) -> None:
    """Give `model` copies of the tensors, in place of what it had; floats as `dtype`.

    They are copies, so that the model does not change when somebody writes over a file that is mapped.
    """
    for name, tensor in state.items():
        state[name] = tensor.to(device, dtype if tensor.is_floating_point() else None, copy=True)
    model.load_state_dict(state, strict=True, assign=True)
    model.to(device)
    for module in model.modules():  # tables that our modules compute stay float32; those of wrapped ones follow
        if dtype is not None and isinstance(module, TimmEncoder | OpenClipImageTower | OpenClipTextTower):
            module.to(dtype)


def _shape(tensor: Tensor) -> str:
    return " x ".join(map(str, tensor.shape)) or "()"

"""A timm model with random weights, and ours made from it, compared."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from multimodal.hub.timm_convert import from_timm
from multimodal.models.classifier import Classifier


def randomize(model: nn.Module) -> nn.Module:
    """Every parameter and statistic of `model`, random and of a size that keeps signals alive."""
    draw = torch.Generator().manual_seed(1)
    scales = {id(m.weight) for m in model.modules() if "norm" in type(m).__name__.lower() and hasattr(m, "weight")}
    with torch.no_grad():
        for parameter in model.parameters():
            noise = torch.randn(parameter.shape, generator=draw)
            fan_in = parameter[0].numel() if parameter.ndim > 1 else 10
            parameter.copy_(1 + 0.3 * noise if id(parameter) in scales else noise * fan_in**-0.5)
        for name, buffer in model.named_buffers():
            if name.endswith("running_var"):
                buffer.uniform_(0.5, 2.0, generator=draw)
            elif name.endswith("running_mean"):
                buffer.normal_(0.0, 0.3, generator=draw)
    return model.eval()


def convert(model: nn.Module, name: str, arguments: Mapping[str, Any]) -> Classifier:
    return from_timm(model, name, arguments, trained=False, device=torch.device("cpu"), dtype=None)


def assert_equal_outputs(model: nn.Module, classifier: Classifier, size: tuple[int, int], rest: float = 1e-5) -> None:
    pixels = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(2))
    with torch.inference_mode():
        theirs, ours = model(pixels), classifier(pixels)
    assert theirs.shape == ours.shape
    assert theirs.std() > 1e-2  # a signal got through
    assert (theirs - ours).abs().max() <= rest * theirs.abs().max()


def assert_same_tensors(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> None:
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) and one[name].dtype == other[name].dtype for name in one)

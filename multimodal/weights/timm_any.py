"""Any other timm model, which `TimmEncoder` wraps: the names stay, only the classifier moves.

Covers ConvNeXt, Swin, ResNet and the rest of timm, parameters and buffers (batch norm's statistics) alike.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from multimodal.weights.keymap import Ignore, Row, Table


def timm_any(
    body: Iterable[str],
    classifier: str | None = None,
    *,
    convolution: int | None = None,
    left_out: Iterable[str] = (),
) -> Table:
    """The table between a timm model and a `Classifier` that wraps it.

    Args:
        body: names of the tensors of the model without its classifier.
        classifier: name of the linear layer that gives the logits; None: the model has none.
        convolution: where that layer is a convolution over one pixel, how many channels it reads.
        left_out: names of the tensors of a classifier that is not one linear layer.
    """
    rows: list[Row | Ignore] = [Ignore(name, "a classifier of its own kind; a new one is trained") for name in left_out]
    if classifier is not None:
        shape = (-1, convolution, 1, 1) if convolution is not None else None
        rows += [Row(f"{classifier}.weight", "head.1.weight", shape=shape), Row(f"{classifier}.bias", "head.1.bias")]
    names = dict.fromkeys(counted(name) for name in body)  # one row for all layers: a model has thousands of names
    return Table(*rows, *(Row(name, f"encoder.model.{name}") for name in names))


def counted(name: str) -> str:
    """`name` with a placeholder for each number that stands alone: `stages.{n0}.blocks.{n1}.weight`."""
    parts = name.split(".")
    return ".".join(f"{{n{i}}}" if re.fullmatch("[0-9]+", part) else part for i, part in enumerate(parts))

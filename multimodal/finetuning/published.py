"""A trained model to go on from, of the kind that a recipe trains."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from multimodal.errors import ArgumentError
from multimodal.hub import load

Model = TypeVar("Model")


def published(source: str | Path, kind: type[Model], example: str, *, name: str, pretrained: bool = True) -> Model:
    """The model at `source` in float32 on the CPU, to be trained further.

    Args:
        source: what `mm.load` takes.
        kind: the class that it must be of.
        example: a source that would do, as it is said to a person.
        name: of the argument that `source` was given as.
        pretrained: False gives the architecture fresh weights.

    Raises:
        ArgumentError: `source` is a model of another kind.
    """
    model = load(source, pretrained=pretrained, device="cpu", dtype="float32")
    if not isinstance(model, kind):
        raise ArgumentError(
            f"{name} is {str(source)!r}, a {type(model).__name__}; this recipe trains a {kind.__name__}, such as "
            f"{example} or a model folder that it wrote."
        )
    return model

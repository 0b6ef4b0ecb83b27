"""Class names to vectors, without training: each name is put into caption templates, and their vectors are averaged.

Axes: n texts · c classes · e embedding width
Refs: CLIP arXiv:2103.00020 §3.1.4 · CLAP arXiv:2211.06687 §4.2
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from multimodal.errors import ArgumentError

TEMPLATES = ("a photo of a {}.",)
AUDIO_TEMPLATES = ("This is a sound of {}.",)


class Filled(NamedTuple):
    """Templates with the class names in them: all of the first class, then all of the second ..."""

    labels: tuple[str, ...]
    texts: list[str]


def filled(labels: Sequence[str], templates: Sequence[str]) -> Filled:
    """Each of `templates` with each of `labels` in the place of "{}".

    Raises:
        ArgumentError: no labels, an empty or repeated one, no templates, or one without "{}".
    """
    labels = (labels,) if isinstance(labels, str) else tuple(labels)
    templates = (templates,) if isinstance(templates, str) else tuple(templates)
    if not labels or not all(label.strip() for label in labels):
        raise ArgumentError(f"labels is {list(labels)}; give the name of at least one class, and none that is empty.")
    if len(set(labels)) < len(labels):
        twice = next(label for label in labels if labels.count(label) > 1)
        raise ArgumentError(f"labels has {twice!r} twice; each class needs a name of its own.")
    wrong = next((template for template in templates if "{}" not in template), None)
    if not templates or wrong is not None:
        fault = "is empty" if wrong is None else f"has {wrong!r}"
        raise ArgumentError(f"templates {fault}; each needs '{{}}' where the name goes, as 'a photo of a {{}}.'")
    return Filled(labels, [template.replace("{}", label) for label in labels for template in templates])


def class_vectors(vectors: Float[Tensor, "n e"], classes: int) -> Float[Tensor, "c e"]:
    """One unit vector for each class: the mean of its templates' unit vectors, in the order of `filled`."""
    return normalize(vectors.unflatten(0, (classes, -1)).mean(1), dim=-1)

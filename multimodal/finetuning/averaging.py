"""The average of the weights of all steps, later ones counting more; it is what is validated and saved.

Ref: arXiv:1806.05594; a decay that grows with the steps, so that fresh weights are soon forgotten: arXiv:1905.11946 §5
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from lightning.pytorch.callbacks import WeightAveraging
from torch import Tensor


def averaged_weights(decay: float) -> WeightAveraging:
    """A callback that keeps the average; after n steps it keeps (1 + n) / (10 + n) of it, and at most `decay`."""
    return WeightAveraging(multi_avg_fn=partial(_average, decay))


@torch.no_grad()
def _average(decay: float, averaged: list[Tensor], current: list[Tensor], steps: Tensor | int) -> None:
    n = int(steps)
    keep: Any = min(decay, (1 + n) / (10 + n))
    for old, new in zip(averaged, current, strict=True):
        if old.is_floating_point():
            old.lerp_(new.to(old), 1 - keep)
        else:
            old.copy_(new)

"""Which number format to train in."""

from __future__ import annotations

from typing import Literal

import torch

from multimodal.hub.placing import best_dtype, find_device


def training_precision() -> Literal["bf16-mixed", "32-true"]:
    """Lightning's name of the number format to train in: bf16 where the machine is fast at it, weights in float32."""
    return "bf16-mixed" if best_dtype(find_device("auto")) == torch.bfloat16 else "32-true"

"""AdamW as transformers are trained with it: decay on matrices only, lower rates near the input, warm-up, then a fall.

Refs: AdamW arXiv:1711.05101 · cosine arXiv:1608.03983 · inverse square root arXiv:1706.03762 §5.3 · linear
arXiv:1810.04805 §A.2 · rates by depth arXiv:1801.06146 §3.2, arXiv:2106.08254
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn

from multimodal.errors import ArgumentError


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """Hyper-parameters of AdamW and its schedule."""

    lr: float = 5e-4  # highest learning rate, at the end of the warm-up
    weight_decay: float = 0.05  # on matrices; none on biases, norms, tokens and positions
    layer_decay: float = 1.0  # the rate of each stage is that of the next one times this; 1: equal rates
    warmup: float = 0.1  # part of all steps in which the rate rises linearly
    final_lr: float = 0.01  # part of the highest rate that cosine and linear end at
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8  # added to the root of the second moment
    schedule: Literal["cosine", "linear", "inverse_sqrt", "constant"] = "cosine"  # how the rate falls after the warm-up

    def __post_init__(self) -> None:
        if not self.lr > 0:
            raise ArgumentError(f"lr is {self.lr}; it must be positive.")
        if not 0 < self.layer_decay <= 1:
            raise ArgumentError(f"layer_decay is {self.layer_decay}; it must lie in (0, 1].")
        if not 0 <= self.warmup < 1:
            raise ArgumentError(f"warmup is {self.warmup}; it is a part of all steps and must lie in [0, 1).")
        if not all(0 <= beta < 1 for beta in self.betas):
            raise ArgumentError(f"betas is {self.betas}; both must lie in [0, 1).")


def parameter_groups(
    stages: Sequence[Sequence[nn.Parameter]], config: OptimizerConfig, *, undecayed: Sequence[nn.Parameter] = ()
) -> list[dict[str, Any]]:
    """Groups for AdamW: `stages` from input to output, the last at the full rate. Frozen parameters stay in.

    Vectors (biases, norms, layer scales) and `undecayed` (tokens, positions) have no weight decay.
    """
    without = {id(parameter) for parameter in undecayed}
    groups: list[dict[str, Any]] = []
    for depth, stage in enumerate(stages):
        rate = config.layer_decay ** (len(stages) - 1 - depth)
        for decayed in (True, False):
            members = [p for p in stage if (p.ndim > 1 and id(p) not in without) == decayed]
            if members:
                decay = config.weight_decay if decayed else 0.0
                groups.append({"params": members, "lr": config.lr * rate, "weight_decay": decay})
    return groups


def adamw(groups: list[dict[str, Any]], config: OptimizerConfig) -> torch.optim.AdamW:
    """AdamW with its fused kernel, which CPUs and CUDA have."""
    return torch.optim.AdamW(groups, lr=config.lr, betas=config.betas, eps=config.eps, fused=True)


def scheduled(
    optimizer: torch.optim.Optimizer, steps: int, config: OptimizerConfig
) -> torch.optim.lr_scheduler.LambdaLR:
    """The schedule, advanced once a step: linear from near 0 to `lr`, then down as `config.schedule` says.

    Cosine and linear end at `final_lr` of the highest rate; the inverse square root of the step does not look at the
    end, and reaches `sqrt(warmup)` of it; constant stays.
    """
    rise = max(1, round(config.warmup * steps))

    def factor(step: int) -> float:
        if step < rise:
            return (step + 1) / rise
        if config.schedule == "constant":
            return 1.0
        if config.schedule == "inverse_sqrt":
            return math.sqrt(rise / (step + 1))
        progress = min(1.0, (step - rise) / max(1, steps - rise))
        left = 0.5 * (1 + math.cos(math.pi * progress)) if config.schedule == "cosine" else 1 - progress
        return config.final_lr + (1 - config.final_lr) * left

    return torch.optim.lr_scheduler.LambdaLR(optimizer, factor)

"""How much the outputs of two libraries differ, as the benchmarks ask it before they time anything."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional as F


def ids_differ(ours: Any, theirs: Any) -> float:
    """The part of the new ids that are others."""
    return float((ours != theirs).mean())


def largest(ours: Any, theirs: Any) -> float:
    """Largest difference, relative to the largest value."""
    return float(abs(ours - theirs).max() / abs(theirs).max())


def not_alike(ours: Any, theirs: Any) -> float:
    """1 - the smallest cosine between rows (logits, vectors) that should be the same."""
    return 1 - float(F.cosine_similarity(torch.from_numpy(ours), torch.from_numpy(theirs)).min())


def losses_differ(ours: Any, theirs: Any) -> float:
    """Relative difference of two losses."""
    return float(abs(ours - theirs) / abs(theirs))

"""Scores of captions: chrF and BLEU, as torchmetrics counts them by sacrebleu's rules, in lower case.

CIDEr is left out: no library has it without a hundred megabytes and a Java for its word splitter. All figures are
shares, in 0..1.

Axes: k counts that are summed over captions · r resamples
Refs: BLEU arXiv:1804.08771 (sacrebleu) · chrF (Popović, WMT 2015)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from multimodal.metrics.scored import Scored, Sums, check_answers


def caption_scores(answers: Sequence[str], wanted: Sequence[Sequence[str]]) -> Scored:
    """chrF and BLEU-4 of captions against those that people wrote, in lower case.

    chrF is the score, since BLEU-4 is 0 for captions of three words. Of one caption it is chrF as well.

    Raises:
        ValueError: no captions, or one without any to compare with.
    """
    from torchmetrics.text import CHRFScore, SacreBLEUScore

    check_answers(answers, wanted)
    # Sums are scored again and again for the interval, so nothing may be remembered.
    chrf = CHRFScore(n_word_order=0, lowercase=True, compute_with_cache=False)
    bleu = SacreBLEUScore(tokenize="13a", lowercase=True, compute_with_cache=False)
    rows, each = [], []
    for answer, right in zip(answers, wanted, strict=True):
        rows.append(torch.cat([_state_after(metric, answer, right) for metric in (chrf, bleu)]))
        each.append(_score(chrf).item())
    width = _state(chrf).numel()

    def rates(sums: Sums) -> dict[str, Tensor]:
        parts = {"chrf": (chrf, sums[:, :width]), "bleu": (bleu, sums[:, width:])}
        return {name: torch.stack([_of_state(metric, row) for row in rows]) for name, (metric, rows) in parts.items()}

    return Scored(metric="caption-1", each=tuple(each), counts=torch.stack(rows), rates=rates)


def _state(metric: Any) -> Float[Tensor, " k"]:
    """What a metric of torchmetrics has counted, end to end."""
    return torch.cat([value.double().flatten() for value in metric.metric_state.values()])


def _state_after(metric: Any, answer: str, wanted: Sequence[str]) -> Float[Tensor, " k"]:
    metric.reset()
    metric.update([answer], [list(wanted)])
    return _state(metric)


def _of_state(metric: Any, counts: Float[Tensor, " k"]) -> Float[Tensor, ""]:
    """What the metric makes of such counts."""
    sizes = {name: value.numel() for name, value in metric.metric_state.items()}
    for name, part in zip(sizes, counts.split(list(sizes.values())), strict=True):
        setattr(metric, name, part.reshape(getattr(metric, name).shape))
    return _score(metric)


def _score(metric: Any) -> Float[Tensor, ""]:
    return metric.compute().double()

"""Connectionist temporal classification: the likelihood of a text over all its placements among the frames.

Axes: b batch · s frames of the encoder · v tokens, the blank included · t length of a text
Ref: Graves et al. 2006, https://www.cs.toronto.edu/~graves/icml_2006.pdf
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F


def ctc_loss(
    logits: Float[Tensor, "b s v"],
    frames: Int[Tensor, " b"],
    ids: Int[Tensor, "b t"],
    keep: Bool[Tensor, "b t"],
    *,
    blank: int,
) -> Float[Tensor, ""]:
    """The mean negative log-likelihood in nats a token.

    A text that does not fit into its frames (one for each token, and one between two equal ones) counts nothing; see
    `fits`.

    Args:
        logits: of each frame.
        frames: how many of each row are real; they are in front.
        ids: the texts.
        keep: False at padding of `ids`, which is behind.
        blank: the id that stands for no token.
    """
    lengths = keep.sum(1)
    scores = logits.float().log_softmax(-1).transpose(0, 1)  # s b v
    with torch.autocast(logits.device.type, enabled=False):
        lost = F.ctc_loss(scores, ids, frames, lengths, blank=blank, reduction="none", zero_infinity=True)
    return lost.sum() / (lengths * fits(frames, ids, keep)).sum().clamp(min=1)


def fits(frames: Int[Tensor, " b"], ids: Int[Tensor, "b t"], keep: Bool[Tensor, "b t"]) -> Bool[Tensor, " b"]:
    """Whether each text has a placement: a frame a token, and a blank between two equal ones."""
    repeats = ((ids[:, 1:] == ids[:, :-1]) & keep[:, 1:]).sum(1)
    return keep.sum(1) + repeats <= frames

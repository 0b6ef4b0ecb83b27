"""Losses: pure functions that know no models, files or training.

vocabulary.py     over a vocabulary, without building all logits; distillation, spans, sums of losses
contrastive.py    over pairs of images and texts, without building all cosines
ctc.py            over all placements of a text among the frames of a recording
"""

from multimodal.losses.contrastive import Gathered, sigmoid_pairs, softmax_pairs
from multimodal.losses.ctc import ctc_loss, fits
from multimodal.losses.vocabulary import (
    CHUNK,
    FEW,
    IGNORE,
    chunked_cross_entropy,
    chunked_distillation,
    cosine_distance,
    distillation,
    span_loss,
    weighted_sum,
)

__all__ = [
    "CHUNK",
    "FEW",
    "IGNORE",
    "Gathered",
    "chunked_cross_entropy",
    "chunked_distillation",
    "cosine_distance",
    "ctc_loss",
    "distillation",
    "fits",
    "sigmoid_pairs",
    "softmax_pairs",
    "span_loss",
    "weighted_sum",
]

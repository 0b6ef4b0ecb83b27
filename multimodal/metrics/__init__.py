"""Metrics: pure functions, evaluated once over a whole held-out set; they know no models, files or training.

classification.py    classifiers: accuracy, per-class scores, calibration
text.py              text: perplexity, entities in tagged sentences, answers to questions
speech.py            word and character error rates; alignment.py: words side by side
normalizers.py       named ways to make texts comparable
retrieval.py         images and texts that find each other: recall, zero-shot accuracy, bootstrap intervals
"""

from multimodal.metrics.alignment import Aligned
from multimodal.metrics.classification import (
    TEMPERATURE_RANGE,
    PerClass,
    ReliabilityBins,
    average_precision,
    confusion_matrix,
    expected_calibration_error,
    fit_temperature,
    mean_over_present,
    micro_f1,
    per_class,
    per_label,
    reliability_bins,
    top_k_accuracy,
    wilson_interval,
)
from multimodal.metrics.normalizers import NORMALIZERS, Normalizer, normalizer
from multimodal.metrics.retrieval import Ranking, RetrievalScores, bootstrap_interval, retrieval, zero_shot_accuracy
from multimodal.metrics.speech import WordErrors, word_error_rate
from multimodal.metrics.text import (
    AnswerScores,
    Entity,
    EntityScores,
    answer_f1,
    answer_scores,
    entities,
    entity_scores,
    exact_match,
    normalize_answer,
    perplexity,
)

__all__ = [
    "NORMALIZERS",
    "TEMPERATURE_RANGE",
    "Aligned",
    "AnswerScores",
    "Entity",
    "EntityScores",
    "Normalizer",
    "PerClass",
    "Ranking",
    "ReliabilityBins",
    "RetrievalScores",
    "WordErrors",
    "answer_f1",
    "answer_scores",
    "average_precision",
    "bootstrap_interval",
    "confusion_matrix",
    "entities",
    "entity_scores",
    "exact_match",
    "expected_calibration_error",
    "fit_temperature",
    "mean_over_present",
    "micro_f1",
    "normalize_answer",
    "normalizer",
    "per_class",
    "per_label",
    "perplexity",
    "reliability_bins",
    "retrieval",
    "top_k_accuracy",
    "wilson_interval",
    "word_error_rate",
    "zero_shot_accuracy",
]

"""Metrics: pure functions, evaluated once over a whole held-out set; they know no models, files or training.

classification.py    classifiers: accuracy, per-class scores, calibration
text.py              text: perplexity, entities in tagged sentences, answers to questions
speech.py            word and character error rates; alignment.py: words side by side
normalizers.py       named ways to make texts comparable
answers.py           answers about images and recordings: exact, VQA, yes and no; captions.py: chrF and BLEU
retrieval.py         images and texts that find each other: recall, zero-shot accuracy, bootstrap intervals
"""

from multimodal.metrics.alignment import Aligned
from multimodal.metrics.answers import (
    ANSWER_METRICS,
    exact_scores,
    normalize_vqa,
    vqa_scores,
    yes_no_scores,
    yes_or_no,
)
from multimodal.metrics.captions import caption_scores
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
from multimodal.metrics.scored import Figure, Scored
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
    "ANSWER_METRICS",
    "NORMALIZERS",
    "TEMPERATURE_RANGE",
    "Aligned",
    "AnswerScores",
    "Entity",
    "EntityScores",
    "Figure",
    "Normalizer",
    "PerClass",
    "Ranking",
    "ReliabilityBins",
    "RetrievalScores",
    "Scored",
    "WordErrors",
    "answer_f1",
    "answer_scores",
    "average_precision",
    "bootstrap_interval",
    "caption_scores",
    "confusion_matrix",
    "entities",
    "entity_scores",
    "exact_match",
    "exact_scores",
    "expected_calibration_error",
    "fit_temperature",
    "mean_over_present",
    "micro_f1",
    "normalize_answer",
    "normalize_vqa",
    "normalizer",
    "per_class",
    "per_label",
    "perplexity",
    "reliability_bins",
    "retrieval",
    "top_k_accuracy",
    "vqa_scores",
    "wilson_interval",
    "word_error_rate",
    "yes_no_scores",
    "yes_or_no",
    "zero_shot_accuracy",
]

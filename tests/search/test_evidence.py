"""The model's own evidence against its definition, and what it makes relevant."""

import numpy as np
import pytest
import torch
from colour_embedder import ColourEmbedder

from multimodal.models.similarity import SoftmaxSimilarityConfig
from multimodal.search.evidence import evidence, trained_scale
from multimodal.search.relevance import RELEVANT, Background, relevances

BROAD = Background(0.0, 0.4)  # half of a picture right is nearly as near as all of it


def unit(rows, seed):
    found = np.random.default_rng(seed).standard_normal((rows, 8)).astype(np.float32)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def test_evidence_is_a_log_ratio_of_the_query_and_everyday_captions():
    pictures, captions, query, scale = unit(5, 0), unit(7, 1), unit(1, 2)[0], 12.0
    found = evidence(pictures @ query, pictures, captions, scale)
    for picture, nats in zip(pictures, found, strict=True):
        usual = np.mean([np.exp(scale * float(picture @ caption)) for caption in captions])
        assert nats == pytest.approx(np.log(np.exp(scale * float(picture @ query)) / usual), rel=1e-4)
    assert len(evidence(np.zeros(0), unit(0, 0), captions, scale)) == 0


def test_a_picture_that_any_text_fits_has_no_evidence_for_one():
    picture = unit(1, 0)
    everything = np.repeat(picture, 4, axis=0)  # each caption is as near as can be
    assert evidence(np.ones(1), picture, everything, 20.0)[0] == pytest.approx(0.0, abs=1e-4)


def test_evidence_shows_what_a_broad_background_would_hide_and_more_pictures_ask_for_more():
    scores, ranks = np.array([0.95, 0.9]), np.array([1, 2])
    assert relevances(scores, ranks, 400, BROAD)[0] < 0.1
    judged = relevances(scores, ranks, 400, BROAD, np.array([9.0, 4.0]))
    assert judged[0] == pytest.approx(1 / (1 + 400 * np.exp(-9.0))) and judged[0] > RELEVANT > judged[1]
    assert relevances(scores, ranks, 100_000, BROAD, np.array([9.0, 4.0]))[0] < RELEVANT


def test_relevance_does_not_rise_with_rank_whatever_the_evidence():
    scores, ranks = np.array([0.9, 0.8, 0.7]), np.array([1, 2, 3])
    judged = relevances(scores, ranks, 100, BROAD, np.array([2.0, 9.0, 12.0]))
    assert (np.diff(judged) <= 0).all()


def test_the_scale_is_that_of_a_model_that_was_trained_to_compare():
    class Model:
        similarity = SoftmaxSimilarityConfig(scale=20.0).build()

    with torch.no_grad():
        assert trained_scale(Model()) == pytest.approx(20.0)
    assert trained_scale(ColourEmbedder()) is None

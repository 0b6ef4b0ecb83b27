"""Every metric against its definition written out, or against scikit-learn, torchmetrics and scipy."""

import math

import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar
from sklearn import metrics as sk
from torch.nn import functional as F

from multimodal import metrics


@pytest.fixture
def draw():
    """Logits of a classifier that is right about two times in three, and the targets."""
    generator = torch.Generator().manual_seed(0)
    target = torch.randint(0, 7, (300,), generator=generator)
    logits = torch.randn(300, 7, generator=generator) + 2.2 * F.one_hot(target, 7)
    return logits, target


@pytest.fixture
def several():
    """Scores with many ties, several labels per example, and a last label that never occurs."""
    generator = torch.Generator().manual_seed(1)
    target = torch.rand(120, 6, generator=generator) < 0.3
    target[:, 5] = False
    scores = ((torch.rand(120, 6, generator=generator) + 0.5 * target) * 12).round() / 18
    return scores, target


def test_wilson_interval_solves_its_equation():
    for correct, n in [(0, 10), (10, 10), (1, 3), (188, 200), (70_000, 100_000)]:
        for bound in metrics.wilson_interval(correct, n):
            # each bound p lies exactly z standard errors (of p itself) from the observed share
            assert abs(correct / n - bound) == pytest.approx(1.959964 * math.sqrt(bound * (1 - bound) / n), abs=1e-7)
    low, high = metrics.wilson_interval(188, 200)
    assert low < 0.94 < high
    assert metrics.wilson_interval(0, 0) == (0.0, 1.0)
    with pytest.raises(ValueError, match="correct is 5"):
        metrics.wilson_interval(5, 4)


def test_top_k_accuracy(draw):
    logits, target = draw
    for k in (1, 2, 5):
        assert metrics.top_k_accuracy(logits, target, k) == pytest.approx(
            sk.top_k_accuracy_score(target, logits, k=k, labels=range(7))
        )
    assert metrics.top_k_accuracy(logits, target, 50) == 1.0
    assert metrics.top_k_accuracy(logits[:0], target[:0]) == 0.0


def test_confusion_matrix_and_class_scores(draw):
    logits, target = draw
    target = target.clamp(max=4)  # classes 5 and 6 are predicted but never true
    predicted = logits.argmax(1)
    confusion = metrics.confusion_matrix(predicted, target, 8)
    assert np.array_equal(confusion, sk.confusion_matrix(target, predicted, labels=range(8)))
    scores = metrics.per_class(confusion)
    expected = sk.precision_recall_fscore_support(target, predicted, labels=range(8), zero_division=0)
    for ours, theirs in zip((scores.precision, scores.recall, scores.f1, scores.support), expected, strict=True):
        assert np.allclose(ours, theirs)
    balanced = sk.recall_score(target, predicted, labels=range(5), average="macro")  # classes 5 to 7 never occur
    assert metrics.mean_over_present(scores.recall, scores.support) == pytest.approx(balanced)


def test_confusion_matrix_refuses_an_index_out_of_range():
    with pytest.raises(ValueError, match=r"target holds 0\.\.3; it must be within 0\.\.2"):
        metrics.confusion_matrix(torch.tensor([0, 1]), torch.tensor([0, 3]), 3)
    with pytest.raises(ValueError, match=r"predicted holds -1\.\.0"):
        metrics.confusion_matrix(torch.tensor([0, -1]), torch.tensor([0, 1]), 3)
    assert metrics.confusion_matrix(torch.tensor([]).long(), torch.tensor([]).long(), 2).sum() == 0


def test_several_labels(several):
    scores, target = several
    predicted = scores > 0.5
    ours = metrics.per_label(predicted, target)
    expected = sk.precision_recall_fscore_support(target, predicted, zero_division=0)
    assert np.allclose(ours.f1, expected[2])
    assert np.allclose(ours.precision, expected[0])
    assert np.allclose(ours.recall, expected[1])
    assert metrics.micro_f1(predicted, target) == pytest.approx(sk.f1_score(target, predicted, average="micro"))
    assert metrics.micro_f1(predicted[:0], target[:0]) == 0.0


def test_average_precision_treats_equal_scores_as_one_step(several):
    scores, target = several
    ours = metrics.average_precision(scores, target)
    expected = [sk.average_precision_score(target[:, i], scores[:, i]) for i in range(5)]
    assert np.allclose(ours[:5], expected)
    assert ours[5] == 0.0
    shuffled = torch.randperm(120, generator=torch.Generator().manual_seed(2))
    assert torch.allclose(metrics.average_precision(scores[shuffled], target[shuffled]), ours)
    assert metrics.mean_over_present(ours, target.sum(0)) == pytest.approx(np.mean(expected))
    assert metrics.average_precision(scores[:0], target[:0]).tolist() == [0.0] * 6


def test_calibration_error(draw):
    logits, target = draw
    probabilities = logits.softmax(1)
    confidence, chosen = probabilities.max(1)
    written_out = 0.0
    for i in range(15):  # arXiv:1706.04599, equations 2 to 4
        inside = (confidence > i / 15) & (confidence <= (i + 1) / 15)
        if inside.any():
            gap = (chosen == target)[inside].double().mean() - confidence[inside].double().mean()
            written_out += float(inside.double().mean() * gap.abs())
    ours = metrics.expected_calibration_error(probabilities, target)
    assert ours == pytest.approx(written_out, abs=1e-6)

    from torchmetrics.functional.classification import multiclass_calibration_error

    assert ours == pytest.approx(multiclass_calibration_error(probabilities, target, 7, n_bins=15).item(), abs=1e-6)


def test_reliability_bins_hold_every_probability_once():
    confidence = torch.tensor([0.0, 0.125, 0.13, 0.95, 1.0])
    bins = metrics.reliability_bins(confidence, torch.tensor([False, False, True, True, False]), bins=8)
    assert bins.count.tolist() == [2, 1, 0, 0, 0, 0, 0, 2]  # closed above, and 0 belongs to the first
    assert torch.allclose(bins.confidence[-1], torch.tensor(0.975, dtype=torch.float64))
    assert bins.accuracy.tolist()[:2] == [0.0, 1.0]
    assert metrics.reliability_bins(confidence[:0], confidence[:0].bool()).error == 0.0


def nll(logits, target, temperature):
    if target.ndim == 1:
        return F.cross_entropy(logits.double() / temperature, target).item()
    return F.binary_cross_entropy_with_logits(logits.double() / temperature, target.double()).item()


@pytest.mark.parametrize("scale", [0.05, 1.0, 30.0])
def test_temperature_is_the_best_one(scale):
    generator = torch.Generator().manual_seed(3)
    logits = 3 * torch.randn(4000, 5, generator=generator)
    target = logits.argmax(1)
    swapped = torch.rand(4000, generator=generator) < 0.2
    target[swapped] = torch.randint(0, 5, (int(swapped.sum()),), generator=generator)
    best = minimize_scalar(lambda t: nll(logits, target, math.exp(t)), bounds=(-4, 4), method="bounded")
    found = metrics.fit_temperature(logits * scale, target)
    assert found == pytest.approx(scale * math.exp(best.x), rel=5e-3)  # the smoothing shows in the third digit
    assert found == metrics.fit_temperature(logits * scale, target)


def test_temperature_for_several_labels():
    generator = torch.Generator().manual_seed(4)
    logits = 2 * torch.randn(1500, 4, generator=generator)
    target = torch.rand(1500, 4, generator=generator) < (logits / 2.5).sigmoid()
    best = minimize_scalar(lambda t: nll(logits, target, math.exp(t)), bounds=(-4, 4), method="bounded")
    assert metrics.fit_temperature(logits, target) == pytest.approx(math.exp(best.x), rel=5e-3)
    assert metrics.fit_temperature(logits, target) == pytest.approx(2.5, rel=0.1)


def test_temperature_stays_modest_where_the_data_says_little():
    certain = torch.eye(3)[torch.arange(30) % 3]
    target = torch.arange(30) % 3
    for scale in (0.5, 5.0, 50.0):
        probability = (certain * scale / metrics.fit_temperature(certain * scale, target)).softmax(1)
        # no mistake in 30, counted as half a one in 31
        assert probability[0, 0].item() == pytest.approx(1 - 0.5 / 31, abs=1e-4)
    wrong = metrics.fit_temperature(certain * 50, (target + 1) % 3)
    assert wrong == pytest.approx(metrics.TEMPERATURE_RANGE[1])
    assert metrics.fit_temperature(certain[:0], target[:0]) == 1.0
    assert metrics.fit_temperature(torch.full((9, 3), 4.0), target[:9]) == 1.0
    assert metrics.fit_temperature(torch.randn(9, 1), torch.zeros(9).long()) == 1.0
    with pytest.raises(ValueError, match="NaN or infinity"):
        metrics.fit_temperature(torch.tensor([[0.0, float("nan")]]), torch.tensor([0]))

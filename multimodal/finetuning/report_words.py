"""What the report says in words: the verdict, the key figures, the calibration; and how figures are written.

Plain text for people; report.html.jinja escapes it. Nothing here draws or writes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from multimodal import metrics
from multimodal.finetuning.held_out import HeldOut

SPLITS = {"val": "validation", "test": "test"}
FEW = 500  # answers; fewer leave an expected calibration error of some 5% to a model without one


def percent(share: float, digits: int = 1) -> str:
    """`0.945` as `94.5%`; what is not quite all or nothing is never rounded to it."""
    text, step = f"{100 * share:.{digits}f}", 10**-digits
    if share < 1 and float(text) == 100:
        return f">{100 - step:.{digits}f}%"
    if share > 0 and float(text) == 0:
        return f"<{step:.{digits}f}%"
    return text + "%"


def duration(seconds: float) -> str:
    """Seconds as a person says them: `48 s`, `3 min 12 s`, `2 h 5 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600:,} h {whole % 3600 // 60} min"


def listed(names: Sequence[str], most: int) -> str:
    """The first `most` names with commas, and how many more there are."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more:,} more" if more > 0 else "")


def verdict(held_out: HeldOut, baseline: tuple[str, float] | None) -> dict[str, Any]:
    """`headline`, `sentences` and `bars` (name, value and, for the model, its interval)."""
    n = len(held_out.paths)
    if n == 0:
        sentence = (
            "Every image was trained on. Hold some out, in a folder val/ or test/, to learn how good the model is."
        )
        return {"headline": "No image was held out", "sentences": [sentence], "bars": []}
    images = f"{n:,} {SPLITS.get(held_out.split, held_out.split)} image{'s' if n > 1 else ''}"
    right = int(held_out.right.sum())
    low, high = metrics.wilson_interval(right, n)
    if held_out.multi_label:
        headline = f"{percent(held_out.score)} mean average precision on {images}"
        start = f"{right:,} of {n:,} images have exactly the right labels"
    else:
        headline = f"{percent(held_out.score)} of {images} {'is' if n == 1 else 'are'} recognised"
        start = f"{right:,} of {n:,} answers are right"
    sentences = [f"{start}; the true share lies between {percent(low)} and {percent(high)} (95% interval)."]
    bars = [{"name": "this model", "value": held_out.score, "interval": None if held_out.multi_label else (low, high)}]
    if baseline is not None:
        name, score = baseline
        bars.append({"name": name, "value": score, "interval": None})
        uncertain = not held_out.multi_label and low <= score <= high
        sentences.append(_against(name, score, held_out.score, uncertain=uncertain))
    if not held_out.multi_label:
        support = held_out.per_class.support
        commonest = int(support.argmax())
        bars.append(
            {
                "name": f"always answering “{held_out.labels[commonest]}”",
                "value": int(support[commonest]) / n,
                "interval": None,
            }
        )
    return {"headline": headline, "sentences": sentences, "bars": bars}


def _against(name: str, baseline: float, score: float, *, uncertain: bool) -> str:
    points = 100 * (score - baseline)
    start = f"The baseline, {name}, reaches {percent(baseline)}: training "
    if abs(points) < 0.05:
        return start + "made no difference."
    change = f"adds {points:.1f} points" if points > 0 else f"lost {-points:.1f} points"
    if uncertain:
        return f"{start}{change}, too little to tell from chance with so few images."
    return f"{start}{change}." if points > 0 else f"{start}{change}. Use the baseline, or train more gently."


def key_figures(held_out: HeldOut, seconds: float) -> list[tuple[str, str]]:
    """Names and values of the figures beside the verdict; `seconds` is the time of training."""
    facts = [("Classes", f"{len(held_out.labels):,}"), ("Training time", duration(seconds))]
    if not held_out.paths:
        return facts
    scores = held_out.per_class
    if held_out.multi_label:
        facts.append(("F1 over all decisions", percent(metrics.micro_f1(held_out.predicted, held_out.targets))))
    else:
        if len(held_out.labels) > 10:
            top5 = metrics.top_k_accuracy(held_out.logits, held_out.targets, 5)
            facts.append(("Right among the top 5", percent(top5)))
        facts.append(("Mean recall of classes", percent(metrics.mean_over_present(scores.recall, scores.support))))
    facts.append(("Mean F1 of classes", percent(metrics.mean_over_present(scores.f1, scores.support))))
    facts.append(("Calibration error", percent(held_out.reliability(held_out.temperature).error)))
    return facts


def calibration(held_out: HeldOut) -> list[str]:
    """Sentences on whether the probabilities can be believed, before and after the temperature."""
    before, after = held_out.reliability(1.0), held_out.reliability(held_out.temperature)
    whose = "a label's probability" if held_out.multi_label else "the probability of the chosen class"
    so = "have the label" if held_out.multi_label else "be right"
    opening = (
        f"Of the images where {whose} is 80%, 80% should {so}. "
        "The mean distance between promise and outcome is the calibration error (ECE, 15 bins)."
    )
    if int(after.count.sum()) < FEW:
        opening += " With so few images, part of it is chance."
    if held_out.temperature == 1:
        return [opening, "The temperature is 1: the logits are used as they are."]
    was = "too sure of itself" if held_out.temperature > 1 else "not sure enough of itself"
    change = f"The model was {was}: its logits are divided by a temperature of {held_out.temperature:.3g}"
    effect = f"takes the error from {percent(before.error)} to {percent(after.error)}"
    if after.error >= before.error:
        effect += " (the temperature fits likelihood, which is not the same)"
    return [opening, f"{change}, which {effect}. The order of the classes does not change."]

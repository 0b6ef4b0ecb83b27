"""What is wrong with a set of labelled images, before any training: `check(path) -> Report`.

Every file is read once (inspect.py) and each judge below turns what was seen into findings: an error makes results
wrong or files unusable, a warning costs accuracy, a note says what training will do. How they look is in
check_report.py and ../check_report.py. Nothing is changed or deleted.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from multimodal.data.check_report import Finding, Severity, by_severity, left_out
from multimodal.data.images.check_report import Report
from multimodal.data.images.duplicates import Duplicates, find_duplicates
from multimodal.data.images.inspect import ImageFacts, inspect_images
from multimodal.data.images.read import read_labeled_images
from multimodal.data.images.samples import LabeledImages, Sample

TINY = 32  # px; a shorter side below that holds less than two patches of a usual vision transformer
ELONGATED = 3.0  # longer side over shorter; a centre crop keeps less than a third
IMBALANCED = 10.0  # largest class over smallest
FEW = 10  # training images of a class
USUAL_MODES = ("RGB",)


@dataclass(frozen=True)
class _Looked:
    """What the judges see: samples, their splits and facts, in one order."""

    images: LabeledImages
    samples: tuple[Sample, ...]
    split: tuple[str, ...]
    facts: tuple[ImageFacts, ...]
    duplicates: Duplicates

    @property
    def readable(self) -> list[ImageFacts]:
        return [fact for fact in self.facts if fact.error is None]


def check(path: str | Path, *, separator: str | None = "|") -> Report:
    """Read every image at `path` (the layouts of `read_labeled_images`) and report what is wrong.

    Raises:
        DataError: there is nothing to check: no images, no classes, a single class, or a class that training lacks.
    """
    images = read_labeled_images(path, separator=separator)
    pairs = [(sample, split) for split, members in images.splits.items() for sample in members]
    samples, split = tuple(sample for sample, _ in pairs), tuple(split for _, split in pairs)
    facts = tuple(inspect_images(samples))
    looked = _Looked(images, samples, split, facts, find_duplicates(facts))
    judges = (_unreadable, _duplicated, _classes, _splits, _shapes, _colours)
    found = [*left_out(images.skipped), *(finding for judge in judges for finding in judge(looked))]
    readable = looked.readable
    return Report(
        path=images.root,
        images=len(samples),
        unreadable=len(samples) - len(readable),
        multi_label=images.multi_label,
        classes=_counts(looked),
        median_size=_median_size(readable),
        formats=dict(Counter(fact.format for fact in readable).most_common()),
        modes=dict(Counter(fact.mode for fact in readable).most_common()),
        findings=by_severity(found),
    )


def _unreadable(looked: _Looked) -> Iterator[Finding]:
    broken = [fact for fact in looked.facts if fact.error is not None]
    if broken:
        yield Finding(
            severity="error",
            code="unreadable",
            message=f"{_images(len(broken))} cannot be read",
            advice="Replace or delete them; training leaves them out.",
            files=tuple((fact.path,) for fact in broken),
            details=tuple(str(fact.error) for fact in broken),
        )


def _duplicated(looked: _Looked) -> Iterator[Finding]:
    """Each group of duplicates once: in two classes, else in two splits, else plain."""
    exact, near = looked.duplicates.exact, looked.duplicates.near
    for kind, code, groups in (("the same file", "same_file", exact), ("the same picture", "same_picture", near)):
        found: dict[str, list[tuple[str, ...]]] = {"classes": [], "splits": [], "": []}
        for group in groups:
            labels = {looked.samples[i].labels for i in group}
            splits = {looked.split[i] for i in group}
            place = "classes" if len(labels) > 1 else "splits" if len(splits) > 1 else ""
            found[place].append(tuple(looked.samples[i].path for i in group))
        certain: Severity = "error" if code == "same_file" else "warning"
        if found["classes"]:
            message = f"{kind} has different labels, {_times(found['classes'])}"
            yield _group(
                certain, f"{code}_in_classes", found["classes"], message, "Keep the right label; delete the rest."
            )
        if found["splits"]:
            message = f"{kind} is in two splits, {_times(found['splits'])}: accuracy there is overstated"
            yield _group(certain, f"{code}_in_splits", found["splits"], message, "Delete it from the training split.")
        if found[""]:
            extra = sum(len(group) - 1 for group in found[""])
            message = f"{kind} is there more than once: {_images(extra)} more than needed"
            advice = "Delete the copies. A validation split that is drawn keeps them on one side."
            yield _group("warning" if code == "same_file" else "note", code, found[""], message, advice)


def _classes(looked: _Looked) -> Iterator[Finding]:
    train = {name: row.get("train", 0) for name, row in _counts(looked).items()}
    smallest, largest = min(train, key=train.__getitem__), max(train, key=train.__getitem__)
    ratio = train[largest] / max(1, train[smallest])
    if ratio >= IMBALANCED:
        yield Finding(
            severity="warning",
            code="imbalance",
            message=f"the classes are uneven: {largest!r} has {train[largest]} training images, {smallest!r} "
            f"{train[smallest]}",
            advice="Add images of the rare classes, or train with --balance 0.5; do not judge by accuracy alone.",
        )
    few = [name for name, count in train.items() if count < FEW]
    if few:
        yield Finding(
            severity="warning",
            code="few_images",
            message=f"{len(few)} of {len(train)} classes have fewer than {FEW} readable training images",
            advice="Add some; a class with a single image cannot be validated.",
            details=tuple(f"{name}: {train[name]}" for name in sorted(few, key=train.__getitem__)),
        )


def _splits(looked: _Looked) -> Iterator[Finding]:
    counts = _counts(looked)
    if "val" not in looked.images.splits:
        message = "there is no validation split"
        yield Finding("note", "no_validation", message, "One fifth of the training images will be held out, by class.")
    for split in looked.images.splits:
        missing = [name for name, row in counts.items() if not row.get(split)]
        if missing and split != "train":
            yield Finding(
                severity="note",
                code="missing_classes",
                message=f"the {split} split has no image of {len(missing)} of {len(counts)} classes",
                advice="They are trained but not measured.",
                details=tuple(missing),
            )


def _shapes(looked: _Looked) -> Iterator[Finding]:
    readable = looked.readable
    tiny = [fact.path for fact in readable if min(fact.width, fact.height) < TINY]
    if tiny:
        advice = "Pretrained models expect 200 px and more; use larger originals, or a small model of your own."
        yield _finding("warning", "tiny", tiny, f"{{n}} with a side of less than {TINY} px", advice)
    long = [f.path for f in readable if max(f.width, f.height) > ELONGATED * min(f.width, f.height)]
    if long:
        advice = "A centre crop loses most of them; train with --resize pad."
        yield _finding("note", "elongated", long, f"{{n}} more than {ELONGATED:.0f} times as long as wide", advice)


def _colours(looked: _Looked) -> Iterator[Finding]:
    readable = looked.readable
    modes = Counter(fact.mode for fact in readable if fact.mode not in USUAL_MODES)
    if modes:
        listed = ", ".join(f"{mode} {count}" for mode, count in modes.most_common())
        unusual = [fact.path for fact in readable if fact.mode in modes]
        advice = "They are converted to it. If one class alone is grey, say, then grey is what a model will look for."
        yield _finding("note", "colour_modes", unusual, f"{{n}} not in plain RGB ({listed})", advice)
    animated = [fact.path for fact in readable if fact.frames > 1]
    if animated:
        yield _finding("note", "animated", animated, "{n} with several frames", "Only the first frame is used.")


def _counts(looked: _Looked) -> dict[str, dict[str, int]]:
    """Readable images of each class in each split."""
    counts = {name: dict.fromkeys(looked.images.splits, 0) for name in looked.images.labels}
    for sample, split, fact in zip(looked.samples, looked.split, looked.facts, strict=True):
        if fact.error is None:
            for label in sample.labels:
                counts[looked.images.labels[label]][split] += 1
    return counts


def _median_size(facts: Sequence[ImageFacts]) -> tuple[int, int]:
    if not facts:
        return (0, 0)
    return round(statistics.median(f.width for f in facts)), round(statistics.median(f.height for f in facts))


def _finding(severity: Severity, code: str, paths: Sequence[str], message: str, advice: str) -> Finding:
    """A finding about single files; `{n}` in the message becomes "3 images"."""
    files = tuple((path,) for path in paths)
    return Finding(severity, code, message.format(n=_images(len(paths))), advice, files=files)


def _group(severity: Severity, code: str, groups: Sequence[tuple[str, ...]], message: str, advice: str) -> Finding:
    return Finding(severity, code, message, advice, files=tuple(groups))


def _images(n: int) -> str:
    return f"{n:,} image{'s' * (n != 1)}"


def _times(groups: Sequence[tuple[str, ...]]) -> str:
    return "once" if len(groups) == 1 else f"{len(groups):,} times"

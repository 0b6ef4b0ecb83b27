"""Before training: look at every image, split them, and see what the untrained features give.

Axes: b batch · n images · c classes · e feature width
"""

from __future__ import annotations

import hashlib
import statistics
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from multimodal.data.images.data_modules import LabeledImageData, with_validation
from multimodal.data.images.duplicates import find_duplicates
from multimodal.data.images.inspect import ImageFacts, inspect_images, leave_out_unreadable
from multimodal.data.images.read import read_labeled_images
from multimodal.data.images.samples import LabeledImages
from multimodal.errors import DataError
from multimodal.models.classifier import Classifier
from multimodal.progress import track

BASELINE_IMAGES = 5_000  # as many training images at most make the class means


@dataclass(frozen=True)
class Inspected:
    """Readable images, and what is known of the training ones."""

    images: LabeledImages
    median_side: int  # px, of the shorter sides
    groups: dict[str, int]  # path to number; versions of one picture share it
    fingerprint: str  # of all files' contents and labels


def inspect(folder: str) -> Inspected:
    """Read the layout of `folder` and every image in it; unreadable ones are left out and named in `skipped`."""
    images = read_labeled_images(folder)
    facts = {split: inspect_images(samples) for split, samples in images.splits.items()}
    readable = leave_out_unreadable(images, facts)
    train = [fact for fact in facts["train"] if fact.error is None]
    by_path = {fact.path: fact for split in facts.values() for fact in split}
    duplicates = find_duplicates(train)
    groups = {fact.path: group for fact, group in zip(train, duplicates.group, strict=True)}
    side = round(statistics.median(min(fact.width, fact.height) for fact in train))
    return Inspected(readable, side, groups, _fingerprint(readable, by_path))


def _fingerprint(images: LabeledImages, facts: dict[str, ImageFacts]) -> str:
    lines = [
        f"{split}\t{','.join(images.labels[i] for i in sample.labels)}\t{facts[sample.path].content}"
        for split, samples in images.splits.items()
        for sample in samples
    ]
    return hashlib.sha256("\n".join(sorted(lines)).encode("utf-8", "surrogatepass")).hexdigest()


def split(inspected: Inspected, fraction: float, seed: int) -> LabeledImages:
    """The images with a validation split; versions of one picture stay on one side.

    Raises:
        DataError: a split is empty, or fewer than two images are left to train on.
    """
    images = with_validation(inspected.images, fraction, seed, inspected.groups)
    for name, samples in images.splits.items():
        if not samples:
            raise DataError(f"The {name} part of {images.root} holds no readable image; add some or remove the folder.")
    if len(images.splits["train"]) < 2:
        raise DataError(f"{images.root} leaves one image to train on; a classifier needs more.")
    return images


@torch.inference_mode()
def features(model: Classifier, data: LabeledImageData, part: str, most: int | None = None) -> tuple[Tensor, Tensor]:
    """Frozen features (n, e) and targets of up to `most` images of a split, spread evenly over it."""
    images = data.images
    if most is not None and len(images.splits[part]) > most:
        step = len(images.splits[part]) / most
        chosen = tuple(images.splits[part][int(i * step)] for i in range(most))
        images = replace(images, splits={**images.splits, part: chosen})
    plain = LabeledImageData(images, batch_size=data.batch_size, workers=data.workers, transform=model.transform.config)
    loader = plain.evaluation_loader(part)
    device = next(model.parameters()).device
    was = model.training
    model.eval()
    found = [
        (model.features(batch["pixels"].to(device)).float().cpu(), batch["target"])
        for batch in track(loader, len(loader), f"Features of the {part} images")
    ]
    model.train(was)
    return torch.cat([f for f, _ in found]), torch.cat([t for _, t in found])


def nearest_mean_accuracy(model: Classifier, data: LabeledImageData, part: str) -> float:
    """Accuracy on `part` of the simplest classifier on frozen features: the class whose mean is nearest (cosine)."""
    x, y = features(model, data, "train", BASELINE_IMAGES)
    held_out, target = features(model, data, part)
    return float((nearest_mean(x, y, held_out, len(data.labels)) == target).float().mean())


def nearest_mean(
    x: Float[Tensor, "n e"], y: Int[Tensor, " n"], queries: Float[Tensor, "m e"], classes: int
) -> Int[Tensor, " m"]:
    """For each query the class whose mean of the features `x` is nearest, after centring and scaling to length 1."""
    center = x.mean(0)
    x, queries = nn.functional.normalize(x - center, dim=1), nn.functional.normalize(queries - center, dim=1)
    means = torch.stack(
        [x[y == c].mean(0) if bool((y == c).any()) else torch.zeros_like(center) for c in range(classes)]
    )
    return (queries @ nn.functional.normalize(means, dim=1).t()).argmax(1)

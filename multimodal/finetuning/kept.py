"""How well a dual encoder still does what it could before: a score on data that it is not trained on.

Labelled images give zero-shot accuracy, images with captions the mean of recall@1 both ways.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from multimodal.data.images.read import read_labeled_images
from multimodal.data.images.samples import LabeledImages
from multimodal.data.images.shards import read_bytes
from multimodal.data.pairs.batches import caption_number
from multimodal.data.pairs.read import read_pairs
from multimodal.data.pairs.samples import Pair
from multimodal.errors import ArgumentError, DataError
from multimodal.media import MediaError
from multimodal.metrics import Ranking, RetrievalScores, retrieval, zero_shot_accuracy
from multimodal.models.dual_encoder import DualEncoder
from multimodal.models.zero_shot import TEMPLATES, class_vectors, filled
from multimodal.progress import track
from multimodal.tasks.pair_scores import mean_recall
from multimodal.tokenizers.image_batches import read_batches

MOST = 2000  # images that a score is made from; the rest would cost time at every epoch and tell little more


def kept_score(
    source: str | Path, *, templates: Sequence[str] = TEMPLATES, most: int = MOST
) -> Callable[[DualEncoder], float]:
    """A score from 0 to 1 of a model on `source`: images in class folders or a table of labels, or with captions.

    Args:
        source: what `read_labeled_images` or `read_pairs` reads; of several splits the last (test) is taken.
        templates: captions for class names.
        most: images at most, evenly spread.

    Raises:
        DataError: `source` is neither.
    """
    try:
        labeled = read_labeled_images(source)
    except (DataError, ArgumentError) as error:
        try:
            pairs = read_pairs(source)
        except DataError as other:
            raise DataError(f"{source} holds neither labelled images ({error}) nor captions ({other})") from None
        chosen = _spread(list(pairs.splits.values())[-1], most)
        return lambda model: mean_recall(pair_scores(model, chosen))
    return lambda model: class_scores(model, labeled, templates=templates, most=most).recall(1)


def class_scores(
    model: DualEncoder, images: LabeledImages, *, templates: Sequence[str] = TEMPLATES, most: int | None = None
) -> Ranking:
    """Zero-shot: where the right class of each image stands; `.recall(1)` is the accuracy, `.interval(1)` its range.

    Raises:
        DataError: the images have several labels each, or none can be read.
    """
    if images.multi_label:
        raise DataError(f"{images.root} has images with several labels; zero-shot accuracy needs one for each.")
    samples = _spread(list(images.splits.values())[-1], most)
    names = filled(images.labels, templates)
    classes = class_vectors(model.embed_texts(names.texts), len(images.labels))
    vectors, read = _embedded(model, [sample.path for sample in samples])
    target = torch.tensor([samples[place].labels[0] for place in read])
    return zero_shot_accuracy(vectors, classes, target)


def pair_scores(model: DualEncoder, pairs: Sequence[Pair]) -> RetrievalScores:
    """How images find their captions and captions their images, among `pairs`.

    Raises:
        DataError: no image can be read.
    """
    vectors, read = _embedded(model, [pair.path for pair in pairs])
    captions = [(owner, text) for owner, place in enumerate(read) for text in pairs[place].captions]
    same = torch.tensor([caption_number(text) for _, text in captions])
    owner = torch.tensor([owner for owner, _ in captions])
    return retrieval(vectors, model.embed_texts([text for _, text in captions]), owner, same=same)


def _embedded(model: DualEncoder, paths: Sequence[str]) -> tuple[torch.Tensor, list[int]]:
    """The vectors of the images that can be read, and their places in `paths`."""

    def read(place: int) -> torch.Tensor:
        try:
            return model.transform.read(read_bytes(paths[place]))
        except DataError as error:
            raise MediaError(str(error)) from error

    errors: list[tuple[int, str]] = []
    places: list[int] = []
    found = []
    for batch in track(read_batches(range(len(paths)), read, batch_size=32, errors=errors), None, "measuring"):
        places += batch.sources
        found.append(model.embed_pixels(batch.pixels))
    if not found:
        raise DataError(f"None of {len(paths)} images can be read; the first: {errors[0][1] if errors else 'none'}")
    return torch.cat(found), places


def _spread(items: Sequence, most: int | None) -> list:
    step = 1 if most is None else max(1, -(-len(items) // most))
    return list(items[::step])

"""Recall over a whole split of images and captions, also when several processes each saw a part of it.

Axes: b images · m captions of them · n images and c captions of the split · e embedding width
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from multimodal.metrics import RetrievalScores, retrieval
from multimodal.models.dual_encoder import DualEncoder
from multimodal.models.text.input import device_of
from multimodal.models.watching import evaluating


class PairScores(Metric):
    """Keeps the vectors of a split, and compares all with all at its end."""

    full_state_update = False
    image: list[Tensor]
    text: list[Tensor]
    index: list[Tensor]
    owner: list[Tensor]
    caption: list[Tensor]

    def __init__(self) -> None:
        super().__init__()
        for name in ("image", "text", "index", "owner", "caption"):
            self.add_state(name, default=[], dist_reduce_fx="cat")

    def update(
        self,
        image: Float[Tensor, "b e"],
        text: Float[Tensor, "m e"],
        index: Int[Tensor, " b"],
        owner: Int[Tensor, " m"],
        caption: Int[Tensor, " m"],
    ) -> None:
        """Add a batch: the numbers of its images in the split, of each caption's image, and of each caption's text."""
        self.image.append(image)
        self.text.append(text)
        self.index.append(index)
        self.owner.append(owner)
        self.caption.append(caption)

    def compute(self) -> dict[str, Tensor]:
        """Recall at 1, 5 and 10 both ways, and `recall`, the mean of those at 1."""
        scores = self.scores()
        values = {**scores.recalls(), "recall": mean_recall(scores)}
        # On the metric's device: processes with a GPU each can exchange nothing else.
        return {name: torch.tensor(value, device=self.device) for name, value in values.items()}

    def scores(self) -> RetrievalScores:
        """Everything that `metrics.retrieval` says of the split; each image counts once, with each of its captions."""
        parts = (self.image, self.text, self.index, self.owner, self.caption)
        image, text, index, owner, caption = (dim_zero_cat(part) for part in parts)
        number, first = _first_of_each(index)
        place = torch.searchsorted(number, owner)
        said = caption.unique(return_inverse=True)[1]
        _, once = _first_of_each(place * (len(caption) + 1) + said)
        return retrieval(image[first], text[once], place[once], same=caption[once])


def _first_of_each(index: Int[Tensor, " b"]) -> tuple[Tensor, Tensor]:
    """The different numbers of `index` in their order, and where each stands first: an unreadable image's place is
    taken by another, which then comes twice, and its captions too.
    """
    number, group = index.unique(return_inverse=True)
    places = torch.arange(len(index), device=index.device)
    first = torch.full_like(number, len(index)).scatter_reduce(0, group, places, "amin")
    return number, first


def mean_recall(scores: RetrievalScores) -> float:
    """The mean of recall@1 of both directions."""
    return (scores.image_to_text.recall(1) + scores.text_to_image.recall(1)) / 2


def split_recall(model: DualEncoder, batches: Iterable[Any]) -> float:
    """`mean_recall` of `model` on a split, of which `batches` are this process's; see `data.pairs.batches`.

    As at validation, images and captions of all processes are compared: among fewer of them more would be found.
    """
    device = device_of(model)
    metric = PairScores().to(device)
    with evaluating(model), torch.inference_mode():
        for batch in batches:
            image = model.encode_images(batch["pixels"].to(device))
            text = model.encode_texts(batch["ids"].to(device), keep=batch["keep"].to(device))
            index, owner = batch["image"].to(device), batch["image"][batch["owner"]].to(device)
            metric.update(image, text, index, owner, batch["caption"].to(device))
    return float(metric.compute()["recall"])

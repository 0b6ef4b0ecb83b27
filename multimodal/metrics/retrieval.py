"""How well images and texts find each other: recall at k both ways, zero-shot accuracy, intervals by resampling.

Pure functions on embeddings, whose dot products are the similarities. What is as similar as the right answer counts as
standing before it, and so does what is not a number: a model that gives every text the same vector finds nothing.

Axes: n images · m captions · c classes · q queries · r resamples · d embedding width
Refs: recall at k of images with several captions: Karpathy and Fei-Fei arXiv:1412.2306 §4.2 · the bootstrap: Efron 1979
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int, Num
from torch import Tensor

TIE = 1e-6  # similarities of unit vectors that differ by less are equal but for rounding
_AT_ONCE = 1 << 22  # similarities in memory: 16 MB
_DRAWS_AT_ONCE = 1 << 22


@dataclass(frozen=True, kw_only=True)
class Ranking:
    """Where the best right answer of each query stands among all candidates."""

    before: Int[Tensor, " q"]  # wrong candidates that are at least as similar
    right: Int[Tensor, " q"]  # right candidates, at least one
    candidates: int
    group: Int[Tensor, " q"]  # queries of one number are no independent measurements, as captions of one image

    def hits(self, k: int) -> Bool[Tensor, " q"]:
        """Whether a right answer is among the first `k`."""
        return self.before < k

    def recall(self, k: int) -> float:
        """Share of the queries with a right answer among the first `k`; 0 without queries."""
        return float(self.hits(k).double().mean()) if len(self.before) else 0.0

    def interval(self, k: int, *, seed: int = 0, level: float = 0.95) -> tuple[float, float]:
        """The range in which `recall(k)` would lie with other queries of the same kind; see `bootstrap_interval`."""
        return bootstrap_interval(self.hits(k), seed, level=level, group=self.group)

    def chance(self, k: int) -> float:
        """The `recall(k)` that a random order reaches on average."""
        if not len(self.before):
            return 0.0
        taken = torch.arange(min(k, self.candidates), dtype=torch.float64)
        wrong = (self.candidates - self.right.double().cpu())[:, None] - taken
        missed = (wrong.clamp(min=0) / (self.candidates - taken)).prod(dim=1)
        return float((1 - missed).mean())


@dataclass(frozen=True, kw_only=True)
class RetrievalScores:
    """Both directions of retrieval."""

    image_to_text: Ranking  # a query for each image that has a caption
    text_to_image: Ranking  # a query for each caption

    def recalls(self, ks: Sequence[int] = (1, 5, 10)) -> dict[str, float]:
        """All of them by name: "image_to_text_recall@1" ..."""
        return {
            f"{name}_recall@{k}": ranking.recall(k)
            for name, ranking in (("image_to_text", self.image_to_text), ("text_to_image", self.text_to_image))
            for k in ks
        }


def retrieval(
    image: Float[Tensor, "n d"],
    text: Float[Tensor, "m d"],
    owner: Int[Tensor, " m"],
    *,
    same: Int[Tensor, " m"] | None = None,
) -> RetrievalScores:
    """How images find their captions and captions their images. Similarities are made in blocks, never n x m at once.

    An image has found a caption when any of its own is among the first k. Images without a caption are no queries, but
    candidates.

    Args:
        image: unit rows.
        text: unit rows.
        owner: row of the image that each caption belongs to.
        same: a number for each caption, equal for captions of equal text: each of them is right for every image that
            has one of them. None: a caption is right for its owner alone.

    Raises:
        ValueError: `owner` names an image that is not there.
    """
    n, m = len(image), len(text)
    if m and not 0 <= int(owner.min()) <= int(owner.max()) < n:
        raise ValueError(f"owner holds {int(owner.min())}..{int(owner.max())}; it must be within 0..{n - 1}.")
    owner = owner.to(image.device)
    numbers = torch.arange(m, device=image.device) if same is None else same.to(image.device)
    said, group = numbers.unique(return_inverse=True)
    before = owner.new_zeros(n, dtype=torch.long), owner.new_zeros(m, dtype=torch.long)
    right = owner.new_zeros(n, dtype=torch.long), owner.new_zeros(m, dtype=torch.long)
    best = torch.full((m,), -torch.inf, device=image.device)
    blocks = list(torch.arange(n, device=owner.device).split(max(1, _AT_ONCE // max(1, m))))

    def similar(rows: Tensor) -> tuple[Tensor, Tensor]:
        """Of a block of images: similarities to all captions, and which of these are right (b, m)."""
        has = torch.zeros(len(rows), len(said), dtype=torch.bool, device=owner.device)
        mine = (owner >= rows[0]) & (owner <= rows[-1])
        has[owner[mine] - rows[0], group[mine]] = True
        return image[rows].float() @ text.float().T, has[:, group]

    for rows in blocks if m else []:
        scores, correct = similar(rows)
        own = scores.masked_fill(~correct, -torch.inf)
        best = torch.maximum(best, own.amax(0))
        before[0][rows] = (~(scores < own.amax(1, keepdim=True) - TIE) & ~correct).sum(1)
        right[0][rows] = correct.sum(1)
        right[1].add_(correct.sum(0))
    for rows in blocks if m else []:  # again, now that the best image of each caption is known
        scores, correct = similar(rows)
        before[1].add_((~(scores < best - TIE) & ~correct).sum(0))
    asked = right[0] > 0
    return RetrievalScores(
        image_to_text=Ranking(
            before=before[0][asked], right=right[0][asked], candidates=m, group=asked.nonzero().squeeze(1)
        ),
        text_to_image=Ranking(before=before[1], right=right[1], candidates=n, group=owner.long()),
    )


def zero_shot_accuracy(
    image: Float[Tensor, "n d"], classes: Float[Tensor, "c d"], target: Int[Tensor, " n"]
) -> Ranking:
    """Where the right class of each image stands: top-1 accuracy is `.recall(1)`, top-5 `.recall(5)`.

    Args:
        image: unit rows.
        classes: a unit row for each class, such as the mean of its prompts' embeddings.
        target: the right class of each image.

    Raises:
        ValueError: `target` names a class that is not there.
    """
    n, c = len(image), len(classes)
    if n and not 0 <= int(target.min()) <= int(target.max()) < c:
        raise ValueError(f"target holds {int(target.min())}..{int(target.max())}; it must be within 0..{c - 1}.")
    before = [target.new_zeros(0, dtype=torch.long)]
    for rows, wanted in zip(image.split(step := max(1, _AT_ONCE // max(1, c))), target.split(step), strict=True):
        scores = rows.float() @ classes.float().T
        own = scores.gather(1, wanted.long()[:, None])
        before.append((~(scores < own - TIE)).sum(1) - 1)  # itself
    return Ranking(
        before=torch.cat(before),
        right=torch.ones_like(target),
        candidates=c,
        group=torch.arange(n, device=target.device),
    )


def bootstrap_interval(
    hits: Num[Tensor, " n"] | Bool[Tensor, " n"],
    seed: int = 0,
    *,
    level: float = 0.95,
    resamples: int = 1000,
    group: Int[Tensor, " n"] | None = None,
) -> tuple[float, float]:
    """The range that holds the middle `level` of the means of resampled `hits`; (0, 1) without any.

    Where all hits are equal the range has no width; for few of them `wilson_interval` is sounder.

    Args:
        hits: a measurement each, 0 and 1 or any number.
        seed: of the resampling.
        level: share of the resampled means within the range.
        resamples: how many there are.
        group: measurements of one number are drawn together, as the captions of one image are.

    Raises:
        ValueError: `level` or `resamples` is out of range.
    """
    if not 0 < level < 1 or resamples < 1:
        raise ValueError(f"level is {level} and resamples {resamples}; they must be within 0..1, and at least 1.")
    if not len(hits):
        return 0.0, 1.0
    values = hits.double().cpu()
    members = torch.arange(len(values)) if group is None else group.cpu().unique(return_inverse=True)[1]
    count = torch.bincount(members).double()
    total = torch.bincount(members, weights=values)
    generator = torch.Generator().manual_seed(seed)
    means = []
    for part in torch.arange(resamples).split(max(1, _DRAWS_AT_ONCE // len(count))):
        drawn = torch.randint(len(count), (len(part), len(count)), generator=generator)  # r g
        means.append(total[drawn].sum(1) / count[drawn].sum(1))
    ends = torch.tensor([(1 - level) / 2, (1 + level) / 2], dtype=torch.float64)
    low, high = torch.cat(means).quantile(ends).tolist()
    return low, high

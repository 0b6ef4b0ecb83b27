"""Which scores say that something is there, and which are only the best of nothing.

A cosine alone does not tell: unrelated pictures reach 0.25 for one query and 0.15 for another, and no cutoff serves
both. What serves is the query's own background. Nearly all pictures of a collection have nothing to do with a query,
so the bulk of its scores shows what chance gives for exactly this query, model and collection:

1. The middle of the background is the median of the query's scores, which the few related pictures cannot move.
2. Its scale is mostly (three quarters of the variance) that of other queries, which nobody asked, with these pictures:
   everyday captions for texts, the pictures themselves for pictures (`prior.py`). The query's own scale grows with
   what is related to it, so that a common subject would hide itself; on drawn scenes the pooled scale told queries for
   what is there from others with an area under the ROC curve of 0.90 to 0.95, the query's own with 0.82 to 0.87.
   Scales are distances from the median to a quantile, of the upper half because scores lean to the right, but at most
   `LEAN` times that of the lower half.
3. Of N pictures of the background, N * P(Z >= z) are expected to score z scales above its middle or higher. That is
   below one only beyond the extreme value expected of N draws: a picture of a large collection must stand out further
   than one of a small collection, because chance has had more attempts. P is that of a normal distribution `TAIL` times
   as wide as the bulk: the unrelated pictures that score highest share something with the query.
4. When r pictures score so high, the part of them that chance explains is f = N * P(Z >= z) / r (the false discovery
   rate of Benjamini and Hochberg, 1995, with the null estimated from the data, Efron, 2004). The best picture must pass
   alone; when it does, fainter ones of a subject with many pictures pass that would not pass alone.
5. Where pictures differ in few ways, such as drawings, many are half right and the background reaches as high as what
   is meant. For texts the model's own evidence (`evidence.py`) is a second way to be relevant: N * exp(-evidence) by
   chance, where even odds are enough, because it is an estimate of just this picture.
6. `relevance` = 1 / (1 + f / FALSE), which falls from 1 to 0 and is 1/2 where one in `1 / FALSE` is by chance. It never
   rises with rank. From `RELEVANT` on a picture is shown.

Of few pictures the median tells little; it is completed by that of other queries, which is worth `PRIOR` scores. A
picture that is the query itself has relevance 1, whatever the rest is.

Limits: a subject in more than half of the pictures is the background, and is not told from it by its scores. A query
whose parts are all there, but not in one picture, is often answered with those that have a part.
`benchmarks/relevance.py` measures precision and recall of the decision for a model and labelled pictures.

Axes: n scores · k results
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

RELEVANT = 0.5  # relevance from which on a result is shown
FALSE = 0.05  # part of the results by chance at which relevance is 1/2
SAME = 0.9995  # cosine from which on a picture is the query itself
LEAN = 1.5  # by how much the upper half of the background may be wider than the lower one
TAIL = 1.2  # by how much the tail of the background is wider than its bulk
PRIOR = 20  # scores that the prior is worth, for the middle
OWN = 0.25  # part of the variance that is the query's own, however many scores there are
_SMALLEST_SCALE = 1e-3  # of cosines: below it differences are rounding
_DEVIATION = 0.8413447460685429  # part of a normal distribution below one standard deviation


@dataclass(frozen=True)
class Background:
    """How unrelated pictures score."""

    middle: float
    scale: float  # of the bulk


# With nothing else known, as for one or two pictures and a model without texts: cosines of unrelated photographs.
UNKNOWN = Background(0.5, 0.15)


def spread(scores: Float[np.ndarray, " n"]) -> Background:
    """Location and scale of scores nearly all of which are of the background."""
    low, middle, high = np.quantile(scores, [1 - _DEVIATION, 0.5, _DEVIATION]).tolist()
    lower = max(middle - low, _SMALLEST_SCALE)
    return Background(middle, min(max(high - middle, lower), LEAN * lower))


def completed(found: Background, n: int, prior: Background | None) -> Background:
    """What `n` scores of a query showed, completed by those of other queries."""
    if prior is None:
        return found
    weight = n / (n + PRIOR)
    middle = weight * found.middle + (1 - weight) * prior.middle
    own = OWN * weight
    return Background(middle, math.sqrt(own * found.scale**2 + (1 - own) * prior.scale**2))


def relevances(
    scores: Float[np.ndarray, " k"],
    ranks: Int[np.ndarray, " k"],
    total: int,
    background: Background,
    nats: Float[np.ndarray, " k"] | None = None,
) -> Float[np.ndarray, " k"]:
    """Relevance of results.

    Args:
        scores: falling.
        ranks: how many of all pictures score at least so high, at least 1.
        total: pictures in all.
        background: of this query.
        nats: the model's own evidence for each; None: it gives none.
    """
    from scipy.special import ndtr

    if not len(scores):
        return np.zeros(0)
    beyond = ndtr(-(scores - background.middle) / (TAIL * background.scale))
    found = 1 / (1 + np.maximum.accumulate(total * beyond / ranks) / FALSE)
    if nats is not None:
        found = np.maximum(found, 1 / (1 + np.maximum.accumulate(total * np.exp(-nats))))
    found = np.minimum.accumulate(found)  # a picture that scores less is never the more relevant
    return np.where(scores >= SAME, 1.0, found)

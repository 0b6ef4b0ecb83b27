"""The best rows by product with a query, exactly as a full sort would give them, in memory.

Products in float32 find a few rows that may be the best; those are computed again in float64, each in the same order,
so that equal vectors get equal scores wherever they lie. Ties go to the earlier row. No sort of all scores is made:
the k-th largest of the largest of each of many groups is a bound that the k-th best reaches.

Axes: n rows · q queries · d width of a vector · g rows of a group
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool, Float, Int

_GROUP = 64  # g
_MARGIN = 1e-4  # by which a product in float32 may be wrong: unit vectors of up to some thousand numbers
_SCORES_AT_ONCE = 1 << 24  # 64 MB


def scores_of(matrix: Float[np.ndarray, "n d"], queries: Float[np.ndarray, "q d"]) -> Iterator[Float[np.ndarray, " n"]]:
    """Products of each query with all rows; queries share the reading of the matrix, some at a time."""
    several = max(1, _SCORES_AT_ONCE // max(1, len(matrix)))
    for start in range(0, len(queries), several):
        block = queries[start : start + several]
        if len(block) == 1:
            yield matrix @ block[0]
        else:
            yield from block @ matrix.T


def best_rows(
    matrix: Float[np.ndarray, "n d"],
    query: Float[np.ndarray, " d"],
    scores: Float[np.ndarray, " n"],
    k: int,
    *,
    among: Bool[np.ndarray, " n"] | None = None,
) -> tuple[Int[np.ndarray, " k"], Float[np.ndarray, " k"]]:
    """The `k` best rows, best first, and their scores in float64; fewer where there are fewer.

    `scores` are those of `scores_of`; only rows that are True in `among` count.
    """
    if among is not None:
        places = np.flatnonzero(among)
        scores = scores[places]
    else:
        places = None
    rows = np.flatnonzero(scores >= _bound(scores, k) - _MARGIN)
    if places is not None:
        rows = places[rows]
    exact = np.multiply(matrix[rows], query, dtype=np.float64).sum(axis=1)
    order = np.argsort(-exact, kind="stable")[:k]
    return rows[order], exact[order]


def _bound(scores: Float[np.ndarray, " n"], k: int) -> float:
    """A number that at least `k` scores reach; minus infinity where there are not so many."""
    n = len(scores)
    if n <= k:
        return -np.inf
    whole = n // _GROUP * _GROUP
    if n // _GROUP < 4 * k:
        return float(np.partition(scores, n - k)[n - k])
    largest = scores[:whole].reshape(_GROUP, -1).max(axis=0)  # n/g groups, each of rows that lie far apart
    return float(np.partition(largest, len(largest) - k)[len(largest) - k])

"""The best rows are those of a full sort, ties by row, whatever the sizes."""

from __future__ import annotations

import numpy as np
import pytest

from multimodal.search.exact import best_rows, scores_of


def units(n, d, seed=0):
    x = np.random.default_rng(seed).standard_normal((n, d)).astype(np.float32)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def by_sorting(matrix, query, k, among=None):
    """Every product in float64, and a stable sort of all."""
    exact = np.array([sum(np.float64(a) * np.float64(b) for a, b in zip(row, query, strict=True)) for row in matrix])
    rows = np.arange(len(matrix)) if among is None else np.flatnonzero(among)
    order = sorted(rows, key=lambda row: (-exact[row].round(12), row))[:k]
    return order, exact[order]


@pytest.mark.parametrize("n", [1, 5, 63, 64, 65, 1000, 3001])
@pytest.mark.parametrize("k", [1, 7, 100])
def test_as_a_full_sort(n, k):
    matrix, queries = units(n, 8), units(3, 8, seed=1)
    matrix[n // 2 :] = matrix[: n - n // 2]  # each twice: ties
    for query, scores in zip(queries, scores_of(matrix, queries), strict=True):
        rows, exact = best_rows(matrix, query, scores, k)
        expected = by_sorting(matrix, query, k)
        assert rows.tolist() == list(expected[0])
        np.testing.assert_allclose(exact, expected[1], atol=1e-7)


def test_equal_vectors_tie_wherever_they_lie():
    matrix = units(5000, 100)
    matrix[[3, 777, 4999, 1234]] = units(1, 100, seed=9)
    query = units(1, 100, seed=9)[0]
    rows, exact = best_rows(matrix, query, next(scores_of(matrix, query[None])), 4)
    assert rows.tolist() == [3, 777, 1234, 4999] and len(set(exact)) == 1


def test_one_query_gets_what_it_gets_among_many(monkeypatch):
    matrix, queries = units(2000, 32), units(20, 32, seed=2)
    together = [best_rows(matrix, q, s, 9) for q, s in zip(queries, scores_of(matrix, queries), strict=True)]
    monkeypatch.setattr("multimodal.search.exact._SCORES_AT_ONCE", 7 * 2000)
    blocks = [best_rows(matrix, q, s, 9) for q, s in zip(queries, scores_of(matrix, queries), strict=True)]
    alone = [best_rows(matrix, q, next(scores_of(matrix, q[None])), 9) for q in queries]
    for a, b, c in zip(together, blocks, alone, strict=True):
        assert a[0].tolist() == b[0].tolist() == c[0].tolist()
        assert a[1].tolist() == b[1].tolist() == c[1].tolist()


@pytest.mark.parametrize("part", [0.0, 0.01, 0.5, 1.0])
def test_among_some_rows(part):
    matrix, query = units(3000, 8), units(1, 8, seed=1)[0]
    among = np.random.default_rng(0).random(3000) < part
    rows, _ = best_rows(matrix, query, next(scores_of(matrix, query[None])), 10, among=among)
    assert rows.tolist() == list(by_sorting(matrix, query, 10, among)[0])

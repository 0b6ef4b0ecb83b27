"""Search beside its peers: the same results first, then time.

    python benchmarks/search.py [--rounds 7] [--rows 200000] [--record]

Indexing: 24 photos of twelve megapixels and 96 of one, by a CLIP ViT-B/32 with random weights, beside open_clip with
Pillow (`indexing.py`). Equal precision: float32 on both sides. Out of the box: bf16 here where the machine is fast at
it.

Exact search: the best 10 of 200,000 unit vectors of 512 numbers, for one query and for 64 at once, beside FAISS
IndexFlatIP, the fastest exact search on a CPU that we know. Both hold the vectors in memory as float32 and use the
threads that they choose by themselves. Needs faiss-cpu. `--record` writes benchmarks/results/.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from contrastive import write_folder
from harness import Comparison, Step, compare, machine, record, show
from indexing import indexing, not_alike, write_photos

WIDTH, BEST = 512, 10
INPUTS = 3  # sets of queries that take turns


def unit_vectors(rows: int, seed: int) -> np.ndarray:
    """Random directions, the same in every process."""
    found = np.random.default_rng(seed).standard_normal((rows, WIDTH), dtype=np.float32)
    found /= np.linalg.norm(found, axis=1, keepdims=True)
    return found


def exact(library: str, rows: int, queries: int) -> Step:
    """A step is one search; it returns rows and scores, (2, queries, best)."""
    matrix = unit_vectors(rows, seed=0)
    asked = [unit_vectors(queries, seed=1 + i) for i in range(INPUTS)]
    turn = iter(range(10**9))
    if library == "faiss":
        import faiss

        index = faiss.IndexFlatIP(WIDTH)
        index.add(matrix)  # pyright: ignore[reportCallIssue]  its Python wrapper takes the array alone

        def step() -> torch.Tensor:
            scores, places = index.search(asked[next(turn) % INPUTS], BEST)  # pyright: ignore[reportCallIssue]
            return torch.from_numpy(np.stack([places.astype(np.float64), scores]))

        return step
    from multimodal.search.exact import best_rows, scores_of

    def ours() -> torch.Tensor:
        batch = asked[next(turn) % INPUTS]
        pairs = zip(batch, scores_of(matrix, batch), strict=True)
        found = [best_rows(matrix, query, scores, BEST) for query, scores in pairs]
        return torch.from_numpy(np.stack([[places for places, _ in found], [scores for _, scores in found]]))

    return ours


def results_differ(ours: Any, theirs: Any) -> float:
    """Largest difference of the scores; 1 where the rows or their order are not the same."""
    return float(abs(ours[1] - theirs[1]).max()) if (ours[0] == theirs[0]).all() else 1.0


def exact_search(rows: int, rounds: int) -> list[Comparison]:
    """One query, and 64."""
    return [
        compare(
            f"best {BEST} of {rows:,} x {WIDTH}, {queries} quer{'y' if queries == 1 else 'ies'}",
            ("ImageIndex, exact", exact, {"library": "ours", "rows": rows, "queries": queries}),
            ("FAISS IndexFlatIP", exact, {"library": "faiss", "rows": rows, "queries": queries}),
            difference=results_differ,
            tolerance=1e-6,
            rounds=rounds,
        )
        for queries in (1, 64)
    ]


def photo_indexing(rounds: int) -> dict[str, list[Comparison]]:
    """A folder of photos to vectors, in two tables."""
    with tempfile.TemporaryDirectory() as temporary:
        weights = write_folder("ViT-B-32", Path(temporary) / "clip")
        shared = {"folder": weights, "photos": write_photos(Path(temporary) / "photos")}
        peer = ("open_clip + Pillow fp32", indexing, {**shared, "library": "open_clip"})
        tables = {}
        for title, dtype in (("indexing, equal precision", "float32"), ("indexing, out of the box", "auto")):
            ours = (f"ImageIndex.sync {dtype}", indexing, {**shared, "library": "ours", "dtype": dtype})
            # Large JPEGs are decoded at reduced size here, so vectors are alike and not equal.
            row = compare("24 x 12 MP, 96 x 1 MP", ours, peer, difference=not_alike, tolerance=2e-3, rounds=rounds)
            tables[title] = [row]
    return tables


def main() -> None:
    """Compare, print, and record on request."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7, help="timed steps of each side (default: 7)")
    parser.add_argument("--rows", type=int, default=200_000, help="vectors that are searched (default: 200000)")
    parser.add_argument("--record", action="store_true", help="write the result to benchmarks/results/")
    arguments = parser.parse_args()
    peers = ("faiss-cpu", "lancedb", "open_clip_torch")
    print("  ".join(f"{name} {value}" for name, value in machine(*peers).items()))
    tables = {
        **photo_indexing(min(arguments.rounds, 5)),
        "exact search": exact_search(arguments.rows, arguments.rounds),
    }
    for title, rows in tables.items():
        show(title, rows)
    if arguments.record:
        path = Path(__file__).parent / "results" / f"search-cpu-{time.strftime('%Y-%m-%d')}.json"
        record(path, tables, {}, *peers)
        print(f"Recorded in {path}")


if __name__ == "__main__":
    main()

"""LLaVA beside transformers: equal tokens first, then the time to the first token, to the last, and of five questions.

    python benchmarks/vision_language.py [--rounds 5] [--record]

A ViT-S/16 at 224 pixels (196 tokens an image), a projector of two layers and a Llama of 12 layers and width 768; one
image, 32 tokens of text and 32 new ones, greedily, from normalised pixels and ids on. Equal precision: float32 on both
sides, and the same tokens. Out of the box: bf16 here where the machine is fast at it, float32 there; our logits are
compared with theirs.

Five questions about one image: here they are one call, which reads the image once; there five calls, as a person asks
them, and one batch of five.

The weights are random; nothing of the timing depends on their values. `--record` writes benchmarks/results/.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import torch
from differences import ids_differ, not_alike
from harness import Comparison, compare, machine, matrix_product_rate, outputs_differ, record, show
from vision_language_workloads import NEW, answers, first_logits, write_llava

PEERS = ("transformers",)


def tables(folder: str, rounds: int) -> dict[str, list[Comparison]]:
    """Ours beside transformers, at equal precision and out of the box."""
    ours, theirs = {"folder": folder, "library": "ours"}, {"folder": folder, "library": "transformers"}
    alike = outputs_differ(("auto", first_logits, {**ours, "dtype": "auto"}), ("fp32", first_logits, theirs), not_alike)
    found: dict[str, list[Comparison]] = {}
    for title, dtype in (("equal precision", "float32"), ("out of the box", "auto")):
        exact = dtype == "float32"
        differ = ids_differ if exact else lambda *_: alike
        run = partial(compare, difference=differ, tolerance=0.0 if exact else 1e-3, rounds=rounds)
        mine = {**ours, "dtype": dtype}
        name, five = "fp32" if exact else "auto", {"count": 5}
        found[title] = [
            run("first token", (name, answers, {**mine, "new": 1}), ("transformers", answers, {**theirs, "new": 1})),
            run(f"{NEW} tokens", (name, answers, mine), ("transformers", answers, theirs)),
            run(
                "five questions",
                (name, answers, {**mine, **five}),
                ("transformers, five calls", answers, {**theirs, **five, "together": False}),
            ),
            run(
                "five questions",
                (name, answers, {**mine, **five}),
                ("transformers, a batch", answers, {**theirs, **five}),
            ),
        ]
    return found


def per_token(rows: list[Comparison]) -> dict[str, float]:
    """Milliseconds of each token after the first, on both sides, and their ratio."""
    first, whole = rows[:2]
    ours, theirs = ((b - a) / (NEW - 1) for a, b in ((first.ours_s, whole.ours_s), (first.peer_s, whole.peer_s)))
    return {"ours ms": 1000 * ours, "peer ms": 1000 * theirs, "ratio": theirs / ours}


def main() -> None:
    """Write the weights once, compare, print, and record on request."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="timed steps of each side (default: 5)")
    parser.add_argument("--record", action="store_true", help="write the result to benchmarks/results/")
    arguments = parser.parse_args()
    print("  ".join(f"{name} {value}" for name, value in machine(*PEERS).items()))
    peak = {dtype: matrix_product_rate(dtype) for dtype in ("float32", "bfloat16")}
    print("Matrix products: " + ", ".join(f"{name} {rate / 1e9:.0f} GFLOP/s" for name, rate in peak.items()))
    with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
        write_llava(Path(folder) / "llava")
        found = tables(str(Path(folder) / "llava"), arguments.rounds)
    more: dict[str, Any] = {}
    for title, rows in found.items():
        show(title, rows)
        more[f"a token, {title}"] = per_token(rows)
        print(f"a token after the first, {title}: " + ", ".join(f"{k} {v:.2f}" for k, v in per_token(rows).items()))
    if arguments.record:
        path = Path(__file__).parent / "results" / f"vision-language-cpu-{time.strftime('%Y-%m-%d')}.json"
        record(path, found, peak, *PEERS, **more)
        print(f"Recorded in {path}")


if __name__ == "__main__":
    main()

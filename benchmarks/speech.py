"""Speech recognition beside openai-whisper, transformers and faster-whisper: equal tokens first, then time.

    python benchmarks/speech.py [--rounds 5] [--only writing] [--record]

`writing`: Whisper-base dimensions, one window of 30 s, 48 tokens, greedily and with 5 beams: encoder and decoder, from
the spectrogram on. Equal precision: float32 on both sides, and the same tokens. Out of the box: bf16 here where the
machine is fast at it, float32 in openai-whisper and transformers, int8 in faster-whisper; our logits of a given text
are compared with openai-whisper's.

`recording`: four minutes in Whisper-tiny dimensions by `transcribe`, 100 tokens each half minute, all windows together
beside one after the other.

On a GPU: Whisper-turbo dimensions in bf16, 32 windows at a time, seconds of audio per second (not yet run).

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
from speech_peers import NEW, convert
from speech_workloads import SECONDS, forced, recording, windows, write_model, writing

PEERS = ("openai-whisper", "transformers", "faster-whisper", "ctranslate2")
WINDOWS = 32  # at a time on a GPU
SPOKEN = 100  # tokens of half a minute of talk


def writing_tables(folder: Path, rounds: int) -> dict[str, list[Comparison]]:
    """Ours beside each peer, at equal precision and out of the box."""
    equal: list[Comparison] = []
    box: list[Comparison] = []
    common: dict[str, Any] = {"folder": str(folder)}
    peer = ("openai-whisper", forced, {**common, "library": "openai-whisper"})
    found = outputs_differ(("auto", forced, {**common, "library": "ours", "dtype": "auto"}), peer, not_alike)
    run = partial(compare, rounds=rounds)
    for beams in (None, 5):
        title = f"Whisper-base, 30 s, {NEW} tokens, " + (f"beam {beams}" if beams else "greedy")
        common["beams"] = beams
        ours = ("fp32", writing, {**common, "library": "ours"})
        auto = ("auto", writing, {**common, "library": "ours", "dtype": "auto"})
        for library in ("openai-whisper", "transformers", "faster-whisper"):
            theirs = (f"{library} fp32", writing, {**common, "library": library})
            equal.append(run(title, ours, theirs, difference=ids_differ, tolerance=0.0))
            if library == "faster-whisper":
                theirs = (f"{library} int8", writing, {**common, "library": library, "dtype": "int8"})
            box.append(run(title, auto, theirs, difference=lambda *_: found, tolerance=1e-3))
    return {"equal precision": equal, "out of the box": box}


def recording_table(folder: Path, rounds: int) -> dict[str, list[Comparison]]:
    """All windows together beside one after the other, of ours."""
    together, alone = (
        (name, recording, {"folder": str(folder), "batch_size": size}) for name, size in (("batched", None), ("one", 1))
    )
    title = "Whisper-tiny, 4 minutes"
    row = compare(title, together, alone, difference=lambda *_: 0.0, tolerance=0.0, rounds=rounds)
    return {"a recording": [row]}


def on_a_gpu(folder: Path, rounds: int) -> dict[str, float]:
    """Seconds of audio that are transcribed in a second."""
    step = windows(str(folder), WINDOWS)
    for _ in range(2):
        step()
    times = []
    for _ in range(rounds):
        torch.cuda.synchronize()
        start = time.perf_counter()
        step()
        torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    seconds = sorted(times)[len(times) // 2]
    return {"windows": WINDOWS, "seconds": seconds, "audio seconds a second": WINDOWS * SECONDS / seconds}


def main() -> None:
    """Write the weights once, compare, print, and record on request."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="timed steps of each side (default: 5)")
    parser.add_argument("--only", choices=("writing", "recording", "gpu"), action="append", help="may be repeated")
    parser.add_argument("--record", action="store_true", help="write the result to benchmarks/results/")
    arguments = parser.parse_args()
    wanted = set(arguments.only or ("writing", "recording", "gpu"))
    print("  ".join(f"{name} {value}" for name, value in machine(*PEERS).items()))
    peak = {dtype: matrix_product_rate(dtype) for dtype in ("float32", "bfloat16")}
    print("Matrix products: " + ", ".join(f"{name} {rate / 1e9:.0f} GFLOP/s" for name, rate in peak.items()))
    tables: dict[str, list[Comparison]] = {}
    more: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        if "writing" in wanted:
            write_model(root / "base", "base")
            convert(root / "base")
            tables |= writing_tables(root / "base", arguments.rounds)
        if "recording" in wanted:
            write_model(root / "tiny", "tiny", length=2 * SPOKEN)
            tables |= recording_table(root / "tiny", arguments.rounds)
        if "gpu" in wanted and torch.cuda.is_available():
            write_model(root / "turbo", "large-v3-turbo")
            more["Whisper-turbo, bf16"] = on_a_gpu(root / "turbo", arguments.rounds)
    for title, rows in tables.items():
        show(title, rows)
    for title, row in more.items():
        print(f"{title}: " + ", ".join(f"{name} {value:.2f}" for name, value in row.items()))
    if arguments.record:
        path = Path(__file__).parent / "results" / f"speech-cpu-{time.strftime('%Y-%m-%d')}.json"
        record(path, tables, peak, *PEERS, **more)
        print(f"Recorded in {path}")


if __name__ == "__main__":
    main()

"""Text models beside transformers and CTranslate2: the same weights, equal outputs first, then time.

    python benchmarks/text.py [--rounds 5] [--only decoding] [--record]

Four workloads. `decoding`: GPT-2 (124M parameters) goes on from 32 tokens for 48, greedily, at batch 1 and 8.
`encoding`: a BERT of 6 layers on 64 documents of lognormal length (mean about 60 tokens, at most 256), packed here and
padded there. `training`: a step of a GPT of 6 layers and width 384 on 8 rows of 256 tokens. `translating`: T5-small
writes 48 tokens after 64.

Two tables. Equal precision: both sides float32. Out of the box: what a person gets who writes the obvious lines, which
for us is bf16 where the machine is fast at it and for transformers float32. The weights are random; nothing of the
timing depends on their values. `--record` writes benchmarks/results/.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
from differences import ids_differ, largest, not_alike
from harness import Comparison, compare, machine, matrix_product_rate, outputs_differ, record, show
from text_workloads import decoding, encoding, forced, forced_target, quiet, training, translating


def write_models(root: Path, names: set[str]) -> dict[str, str]:
    """The folders that transformers writes of the models that the workloads `names` need, with random weights."""
    from transformers import BertConfig, BertModel, GPT2Config, GPT2LMHeadModel, T5Config, T5ForConditionalGeneration

    quiet()
    small: dict[str, Any] = {"n_layer": 6, "n_head": 6, "n_embd": 384, "n_positions": 256}
    still: dict[str, Any] = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
    t5: dict[str, Any] = {"d_model": 512, "d_kv": 64, "d_ff": 2048, "num_layers": 6, "num_heads": 8}
    t5 |= {"decoder_start_token_id": 0, "eos_token_id": None}
    makers = {
        "decoding": lambda: GPT2LMHeadModel(GPT2Config(bos_token_id=None, eos_token_id=None)),
        "encoding": lambda: BertModel(BertConfig(num_hidden_layers=6), add_pooling_layer=False),
        "training": lambda: GPT2LMHeadModel(GPT2Config(**small, **still)),
        "translating": lambda: T5ForConditionalGeneration(T5Config(**t5)),
    }
    folders = {}
    for name in names:
        torch.manual_seed(0)
        folders[name] = str(root / name)
        makers[name]().save_pretrained(folders[name])
    if "decoding" in names:
        _convert(Path(folders["decoding"]))
    return folders


def _convert(folder: Path) -> None:
    """The same weights for CTranslate2, whose converter asks for a tokenizer: one that calls token i "t{i}"."""
    from ctranslate2.converters import TransformersConverter
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from transformers import PreTrainedTokenizerFast

    vocabulary = {f"t{i}": i for i in range(50_257)}
    tokenizer = Tokenizer(WordLevel(vocabulary, unk_token="t0"))
    source = folder.with_name(f"{folder.name}-source")
    shutil.copytree(folder, source)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="t0", bos_token="t0", eos_token="t0").save_pretrained(
        source
    )
    TransformersConverter(str(source)).convert(str(folder.with_name(f"{folder.name}-ctranslate2")))


def tables(folders: dict[str, str], rounds: int) -> dict[str, list[Comparison]]:
    """All comparisons of the workloads in `folders`."""
    run = partial(compare, rounds=rounds)
    equal: list[Comparison] = []
    box: list[Comparison] = []
    for name, title, make, arguments, fast, same, alike in workloads(folders):
        common = {"folder": folders[name], **arguments}
        ours = ("fp32", make, {**common, "library": "ours"})
        auto = ("auto", make, {**common, "library": "ours", **fast})
        theirs = ("transformers fp32", make, {**common, "library": "transformers"})
        equal.append(run(title, ours, theirs, difference=same[0], tolerance=same[1]))
        box.append(run(title, auto, theirs, difference=alike[0], tolerance=alike[1]))
        if name == "decoding":
            fp32, int8 = (
                (f"CTranslate2 {kind}", make, {**common, "library": "ctranslate2", "dtype": kind})
                for kind in ("float32", "int8")
            )
            found = logits_differ(forced, folders[name], ctranslate2="int8")
            equal.append(run(title, ours, fp32, difference=same[0], tolerance=same[1]))
            box.append(run(title, auto, int8, difference=lambda *_, found=found: found, tolerance=1e-2))
    return {"equal precision": equal, "out of the box": box}


def workloads(folders: dict[str, str]) -> Iterator[tuple[Any, ...]]:
    """Folder, title, maker, its arguments, those of ours out of the box; how outputs are compared in either table."""
    for name, what, make, read in (
        ("decoding", "GPT-2 124M decoding", decoding, forced),
        ("translating", "T5-small decoding", translating, forced_target),
    ):
        if name in folders:
            found = logits_differ(read, folders[name])
            for batch in (1, 8):
                alike = (lambda *_, found=found: found, 1e-3)
                yield name, f"{what} b{batch}", make, {"batch": batch}, {"dtype": "auto"}, (ids_differ, 0.0), alike
    if "encoding" in folders:
        title = "BERT-6L encoding of 64 ragged documents"
        yield "encoding", title, encoding, {}, {"dtype": "auto"}, (largest, 1e-4), (not_alike, 1e-3)
    if "training" in folders:
        yield "training", "GPT 6L/384 training b8 x 256", training, {}, {"amp": True}, (largest, 1e-4), (largest, 1e-2)


def logits_differ(read: Any, folder: str, *, ctranslate2: str | None = None) -> float:
    """How much our logits of given tokens, in bf16 where the machine is fast at it, differ from the peer's.

    Decoded tokens cannot be compared across precisions: where two are nearly as likely, each takes its own.
    """
    peer = {"library": "ctranslate2", "dtype": ctranslate2} if ctranslate2 else {"library": "transformers"}
    ours = ("auto", read, {"folder": folder, "library": "ours", "dtype": "auto"})
    return outputs_differ(ours, ("peer", read, {"folder": folder, **peer}), not_alike)


def main() -> None:
    """Write the weights once, compare, print, and record on request."""
    names = ("decoding", "encoding", "training", "translating")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="timed steps of each side (default: 5)")
    parser.add_argument("--only", choices=names, action="append", help="one workload; may be repeated")
    parser.add_argument("--record", action="store_true", help="write the result to benchmarks/results/")
    arguments = parser.parse_args()
    print("  ".join(f"{name} {value}" for name, value in machine("transformers", "ctranslate2").items()))
    peak = {dtype: matrix_product_rate(dtype) for dtype in ("float32", "bfloat16")}
    print("Matrix products: " + ", ".join(f"{name} {rate / 1e9:.0f} GFLOP/s" for name, rate in peak.items()))
    with tempfile.TemporaryDirectory() as temporary:
        folders = write_models(Path(temporary), set(arguments.only or names))
        found = tables(folders, arguments.rounds)
    for title, rows in found.items():
        show(title, rows)
    if arguments.record:
        path = Path(__file__).parent / "results" / f"text-cpu-{time.strftime('%Y-%m-%d')}.json"
        record(path, found, peak, "transformers", "ctranslate2")
        print(f"Recorded in {path}")


if __name__ == "__main__":
    main()

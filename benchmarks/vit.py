"""Vision transformers beside timm: the same weights, equal outputs first, then time.

    python benchmarks/vit.py [--rounds 7] [--record]

Two tables. Equal precision: float32 on both sides. Out of the box: what a person gets who writes the obvious lines,
which for us is bf16 where the machine is fast at it (`mm.load`, `mm.finetune`) and for timm float32. On a GPU a third:
training in bf16, both eager, both compiled. `--record` writes benchmarks/results/.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from functools import partial
from pathlib import Path

import torch
from differences import largest, losses_differ, not_alike
from harness import Comparison, Step, compare, machine, matrix_product_rate, record, show
from torch.nn import functional as F

# Multiply-adds of one 224 px image through the matrix products of the network, in FLOP (two each).
FLOPS = {"vit_tiny_patch16_224": 2 * 1.26e9, "vit_small_patch16_224": 2 * 4.61e9, "vit_base_patch16_224": 2 * 17.58e9}
INPUTS = 3  # batches that take turns, so that no step finds its input in the cache


def pixels(batch: int, device: str) -> list[torch.Tensor]:
    """Normalised random images, the same in every process."""
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(batch, 3, 224, 224, generator=generator).to(device) for _ in range(INPUTS)]


def our_model(folder: str, dtype: str, device: str) -> torch.nn.Module:
    """`mm.load` of the folder that timm wrote."""
    from multimodal.hub import load

    return load(folder, device=device, dtype=dtype)


def their_model(folder: str, device: str) -> torch.nn.Module:
    """timm's own load of the same folder."""
    import timm

    return timm.create_model(f"local-dir:{folder}", pretrained=True).eval().to(device)


def inference(folder: str, library: str, batch: int, dtype: str = "float32", device: str = "cpu") -> Step:
    """A step is one batch of logits."""
    model = our_model(folder, dtype, device) if library == "ours" else their_model(folder, device)
    inputs, turn = pixels(batch, device), iter(range(10**9))

    def step() -> torch.Tensor:
        with torch.inference_mode():
            return model(inputs[next(turn) % INPUTS])

    return step


def training(
    folder: str,
    library: str,
    batch: int,
    amp: bool = False,
    compiled: bool = False,
    device: str = "cpu",
) -> Step:
    """A step is forward, loss, backward and AdamW; it returns the loss before the update."""
    if library == "ours":
        from multimodal.finetuning.train import compile_blocks
        from multimodal.tasks.optimizer import OptimizerConfig, adamw

        model = our_model(folder, "float32", device).train()
        optimizer: torch.optim.Optimizer = adamw([{"params": list(model.parameters())}], OptimizerConfig(lr=1e-5))
        if compiled:
            compile_blocks(model)  # pyright: ignore[reportArgumentType]
    else:
        model = their_model(folder, device).train()
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, weight_decay=0.05)
        if compiled:
            model.compile()
    inputs, turn = pixels(batch, device), iter(range(10**9))
    target = (torch.arange(batch) % 1000).to(device)

    def step() -> torch.Tensor:
        with torch.autocast(device, torch.bfloat16, enabled=amp):
            loss = F.cross_entropy(model(inputs[next(turn) % INPUTS]).float(), target)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return loss.detach()

    return step


def on_cpu(folders: dict[str, str], rounds: int, peak: dict[str, float]) -> dict[str, list[Comparison]]:
    """ViT-S/16 inference at batch 16 and ViT-Ti/16 training at batch 32."""
    small, tiny = "vit_small_patch16_224", "vit_tiny_patch16_224"
    run = partial(compare, rounds=rounds)
    infer = {"folder": folders[small], "batch": 16}
    train = {"folder": folders[tiny], "batch": 32}
    infer_cost, train_cost = 16 * FLOPS[small], 3 * 32 * FLOPS[tiny]
    theirs_infer = ("timm fp32", inference, {**infer, "library": "timm"})
    theirs_train = ("timm fp32", training, {**train, "library": "timm"})
    equal = [
        run(
            "ViT-S/16 inference b16",
            ("fp32", inference, {**infer, "library": "ours"}),
            theirs_infer,
            difference=largest,
            tolerance=1e-4,
            flops=infer_cost,
            peak_flops=peak["float32"],
        ),
        run(
            "ViT-Ti/16 training b32",
            ("fp32", training, {**train, "library": "ours"}),
            theirs_train,
            difference=losses_differ,
            tolerance=1e-3,
            flops=train_cost,
            peak_flops=peak["float32"],
        ),
    ]
    box = [
        run(
            "ViT-S/16 inference b16",
            ("auto", inference, {**infer, "library": "ours", "dtype": "auto"}),
            theirs_infer,
            difference=not_alike,
            tolerance=1e-3,
            flops=infer_cost,
            peak_flops=peak["bfloat16"],
        ),
        run(
            "ViT-Ti/16 training b32",
            ("auto", training, {**train, "library": "ours", "amp": True}),
            theirs_train,
            difference=losses_differ,
            tolerance=2e-2,
            flops=train_cost,
            peak_flops=peak["bfloat16"],
        ),
    ]
    return {"equal precision": equal, "out of the box": box}


def on_gpu(folders: dict[str, str], rounds: int, peak: dict[str, float]) -> dict[str, list[Comparison]]:
    """ViT-S/16 and ViT-B/16 training in bf16 at batch 256, eager and compiled."""
    rows = []
    for name in ("vit_small_patch16_224", "vit_base_patch16_224"):
        for compiled in (False, True):
            arguments = {"folder": folders[name], "batch": 256, "amp": True, "compiled": compiled, "device": "cuda"}
            kind = "bf16 compiled" if compiled else "bf16 eager"
            rows.append(
                compare(
                    f"{name} training b256",
                    (kind, training, {**arguments, "library": "ours"}),
                    (f"timm {kind}", training, {**arguments, "library": "timm"}),
                    difference=losses_differ,
                    tolerance=1e-2,
                    rounds=rounds,
                    flops=3 * 256 * FLOPS[name],
                    peak_flops=peak["bfloat16"],
                )
            )
    return {"GPU training": rows}


def main() -> None:
    """Write the weights once, compare, print, and record on request."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7, help="timed steps of each side (default: 7)")
    parser.add_argument("--record", action="store_true", help="write the result to benchmarks/results/")
    arguments = parser.parse_args()
    import timm

    print("  ".join(f"{name} {value}" for name, value in machine().items()))
    peak = {dtype: matrix_product_rate(dtype) for dtype in ("float32", "bfloat16")}
    print("Matrix products: " + ", ".join(f"{name} {rate / 1e9:.0f} GFLOP/s" for name, rate in peak.items()))
    cuda = torch.cuda.is_available()
    with tempfile.TemporaryDirectory() as temporary:
        folders = {}
        for name in FLOPS if cuda else list(FLOPS)[:2]:
            torch.manual_seed(0)
            folders[name] = str(Path(temporary) / name)
            timm.models.save_for_hf(timm.create_model(name), folders[name], safe_serialization=True)
        tables = (on_gpu if cuda else on_cpu)(folders, arguments.rounds, peak)
    for title, rows in tables.items():
        show(title, rows)
    if arguments.record:
        kind = "gpu" if cuda else "cpu"
        path = Path(__file__).parent / "results" / f"vit-{kind}-{time.strftime('%Y-%m-%d')}.json"
        record(path, tables, peak)
        print(f"Recorded in {path}")


if __name__ == "__main__":
    main()

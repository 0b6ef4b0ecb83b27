"""Contrastive training beside open_clip: the same weights, equal losses first, then time and memory.

    python benchmarks/contrastive.py [--rounds 7] [--record]

A training step of CLIP with a ViT-S/32: 32 pictures, captions of lognormal length (16 of 77 tokens in the mean), loss,
backward pass, AdamW. open_clip pads every caption to 77 tokens; here they are packed. Equal precision: float32 on both
sides. Out of the box: bf16 here where the machine is fast at it, float32 in open_clip.

The loss alone, forward and backward at 8,192 pairs of 512 numbers: memory beyond the vectors and their gradients.

On a GPU: ViT-B/32 in bf16 at batch 256, samples a second.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from differences import losses_differ
from harness import Comparison, Step, compare, machine, peak_mib, record, show

LENGTH, END = 77, 49_407  # tokens of a padded caption; id of the end token
INPUTS = 3  # batches that take turns


def batches(batch: int, size: int, device: str) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Pictures and padded captions, the same in every process; the start token, words, the end token, zeros."""
    random, draw = np.random.default_rng(2), torch.Generator().manual_seed(1)
    found = []
    for _ in range(INPUTS):
        pixels = torch.randn(batch, 3, size, size, generator=draw)
        ids = torch.zeros(batch, LENGTH, dtype=torch.long)
        lengths = np.clip(random.lognormal(np.log(16) - 0.5 * 0.5**2, 0.5, batch), 4, LENGTH).astype(int)
        for row, length in zip(ids, lengths, strict=True):
            row[:length] = torch.randint(1000, 40_000, (length,), generator=draw)
            row[0], row[length - 1] = END - 1, END
        found.append((pixels.to(device), ids.to(device)))
    return found


def training(folder: str, library: str, batch: int, size: int, amp: bool = False, device: str = "cpu") -> Step:
    """A step is forward, loss, backward and AdamW; it returns the loss before the update."""
    loss_of = (_ours if library == "ours" else _theirs)(folder, device)
    inputs, turn = batches(batch, size, device), iter(range(10**9))
    parameters = list(loss_of.keywords["model"].parameters())
    optimizer = torch.optim.AdamW(parameters, lr=1e-5, weight_decay=0.2, fused=library == "ours")

    def step() -> torch.Tensor:
        pixels, ids = inputs[next(turn) % INPUTS]
        with torch.autocast(device, torch.bfloat16, enabled=amp):
            loss = loss_of(pixels=pixels, ids=ids)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return loss.detach()

    return step


def _ours(folder: str, device: str) -> partial[torch.Tensor]:
    from multimodal.hub import load
    from multimodal.tasks.contrastive import pair_loss

    model: Any = load(folder, device=device, dtype="float32")

    def loss(model: Any, pixels: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
        longest = int((ids != 0).sum(1).max())  # as the data module gives them: to the longest of the batch
        ids = ids[:, :longest]
        image, text = model.encode_images(pixels), model.encode_texts(ids, keep=ids != 0)
        return pair_loss(model, image, text, torch.arange(len(image), device=ids.device))

    return partial(loss, model=model.train())


def _theirs(folder: str, device: str) -> partial[torch.Tensor]:
    import open_clip

    made: Any = open_clip.create_model(f"local-dir:{folder}", device=device)
    criterion = open_clip.ClipLoss()

    def loss(model: Any, pixels: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
        return criterion(*model(pixels, ids)[:3])

    return partial(loss, model=made.train())


def write_folder(architecture: str, folder: Path) -> str:
    """A folder of open_clip with fresh weights, which both libraries load."""
    import open_clip
    from safetensors.torch import save_file

    torch.manual_seed(0)
    model: Any = open_clip.create_model(architecture)
    config = open_clip.get_model_config(architecture)
    size = model.visual.image_size
    preprocess = {"size": size, "mean": open_clip.OPENAI_DATASET_MEAN, "std": open_clip.OPENAI_DATASET_STD}
    folder.mkdir()
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": preprocess}))
    save_file(
        {name: value.contiguous() for name, value in model.state_dict().items()}, folder / "open_clip_model.safetensors"
    )
    return str(folder)


def loss_memory(library: str, pairs: int, answers: Any) -> None:
    """Puts into `answers` the loss, and MiB of memory beyond inputs and gradients."""
    from multimodal.losses import softmax_pairs

    image, text = (torch.nn.functional.normalize(torch.randn(pairs, 512), dim=-1).requires_grad_() for _ in range(2))
    scale = torch.tensor(14.3, requires_grad=True)
    for x in (image, text):
        x.grad = torch.zeros_like(x)
    if library == "ours":
        softmax_pairs(image[:8], text[:8], scale).backward()  # libraries are loaded by now
        before = peak_mib()
        loss = softmax_pairs(image, text, scale)
    else:
        import open_clip

        criterion = open_clip.ClipLoss()
        criterion(image[:8], text[:8], scale).backward()
        before = peak_mib()
        loss = criterion(image, text, scale)
    loss.backward()
    answers.put((loss.item(), peak_mib() - before))


def compare_memory(pairs: int) -> dict[str, float]:
    """MiB of both losses, each in a process of its own, after their values were compared."""
    context = multiprocessing.get_context("spawn")
    found = {}
    for library in ("ours", "open_clip"):
        answers = context.Queue()
        process = context.Process(target=loss_memory, args=(library, pairs, answers))
        process.start()
        found[library] = answers.get()
        process.join()
    (ours, mine), (theirs, peer) = found["ours"], found["open_clip"]
    assert abs(ours - theirs) < 0.05 * theirs, f"the losses differ: {ours} and {theirs}"  # other random pairs
    return {"pairs": pairs, "ours_mib": mine, "open_clip_mib": peer, "ratio": peer / mine}


def main() -> None:
    """Write the weights once, compare, print, and record on request."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7, help="timed steps of each side (default: 7)")
    parser.add_argument("--record", action="store_true", help="write the result to benchmarks/results/")
    arguments = parser.parse_args()
    print("  ".join(f"{name} {value}" for name, value in machine("open_clip_torch").items()))
    cuda = torch.cuda.is_available()
    name, batch = ("ViT-B-32", 256) if cuda else ("ViT-S-32", 32)
    with tempfile.TemporaryDirectory() as temporary:
        shared = {"folder": write_folder(name, Path(temporary) / "clip"), "batch": batch, "size": 224}
        shared["device"] = "cuda" if cuda else "cpu"

        def against(label: str, amp: bool, peer_amp: bool, tolerance: float) -> Comparison:
            peer = "open_clip bf16" if peer_amp else "open_clip fp32"
            return compare(
                f"CLIP {name} training b{batch}",
                (label, training, {**shared, "library": "ours", "amp": amp}),
                (peer, training, {**shared, "library": "theirs", "amp": peer_amp}),
                difference=losses_differ,
                tolerance=tolerance,
                rounds=arguments.rounds,
            )

        if cuda:
            tables = {"GPU training": [against("bf16", True, True, 1e-2)]}
        else:
            tables = {
                "equal precision": [against("fp32", False, False, 1e-4)],
                "out of the box": [against("auto", True, False, 2e-2)],
            }
    for title, rows in tables.items():
        show(title, rows)
    memory = compare_memory(8192)
    print(
        "Loss at {pairs:,} pairs: {ours_mib:.0f} MiB, open_clip {open_clip_mib:.0f} MiB, {ratio:.1f}x".format(**memory)
    )
    if arguments.record:
        kind = "gpu" if cuda else "cpu"
        path = Path(__file__).parent / "results" / f"contrastive-{kind}-{time.strftime('%Y-%m-%d')}.json"
        record(path, tables, {}, "open_clip_torch", loss_memory=memory)
        print(f"Recorded in {path}")


if __name__ == "__main__":
    main()

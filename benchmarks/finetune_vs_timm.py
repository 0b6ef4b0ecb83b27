"""Fine-tuning on a folder beside timm's own model: the same start, the same images, the same number of steps.

    python benchmarks/finetune_vs_timm.py FOLDER [--model vit_tiny_patch16_224] [--image-size 64] [--epochs 20]

Both start from fresh weights as timm draws them. Ours is `mm.finetune` with its defaults; timm's is its model in the
plain loop of a training script: its own transforms (random resized crop, flip), AdamW, warm-up and cosine, at the same
learning rate. The same split, batch and number of steps; accuracy on the same held-out images.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import torch
from torch.nn import functional as F


def theirs(folder: Path, model: str, out: Path, *, lr: float) -> float:
    """Accuracy of timm's model after the steps that our run at `out` took."""
    import timm
    from timm.data.config import resolve_model_data_config
    from timm.data.transforms_factory import create_transform
    from timm.optim import create_optimizer_v2
    from timm.scheduler import CosineLRScheduler

    from multimodal.finetuning.plan import read_plan
    from multimodal.media import read_image

    plan = read_plan(out)
    loop, size = plan.settings.loop, plan.settings.adapt.image_size
    torch.manual_seed(plan.settings.seed)
    network = timm.create_model(model, num_classes=len(plan.images.labels), img_size=size, drop_path_rate=0.1)
    config = resolve_model_data_config(network)
    look = create_transform(**{**config, "input_size": (3, size, size)}, is_training=False)
    change = create_transform(
        input_size=(3, size, size), is_training=True, mean=config["mean"], std=config["std"], scale=(0.5, 1.0)
    )
    optimizer = create_optimizer_v2(network, opt="adamw", lr=lr, weight_decay=0.05)
    train = [(read_image(s.path), s.labels[0]) for s in plan.images.splits["train"]]
    steps = loop.epochs * (len(train) // loop.batch_size)
    schedule = CosineLRScheduler(optimizer, t_initial=steps, warmup_t=steps // 10, warmup_lr_init=1e-6)
    step = 0
    network.train()
    for _ in range(loop.epochs):
        order = torch.randperm(len(train)).tolist()
        for start in range(0, len(order) - loop.batch_size + 1, loop.batch_size):
            chosen = [train[i] for i in order[start : start + loop.batch_size]]
            pixels = torch.stack([change(image) for image, _ in chosen])  # pyright: ignore
            target = torch.tensor([label for _, label in chosen])
            with torch.autocast("cpu", torch.bfloat16):
                logits = network(pixels)
            F.cross_entropy(logits.float(), target, label_smoothing=0.1).backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            step += 1
            schedule.step(step)
    network.eval()
    held_out = plan.images.splits.get("test", plan.images.splits["val"])
    right = 0
    with torch.inference_mode():
        for start in range(0, len(held_out), 64):
            chosen = held_out[start : start + 64]
            pixels = torch.stack([look(read_image(s.path)) for s in chosen])  # pyright: ignore
            predicted = network(pixels).argmax(1)
            right += int((predicted == torch.tensor([s.labels[0] for s in chosen])).sum())
    return right / len(held_out)


def main() -> None:
    """Train both and print both accuracies."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="class folders, as for multimodal finetune")
    parser.add_argument("--model", default="vit_tiny_patch16_224", help="timm architecture (default: %(default)s)")
    parser.add_argument("--image-size", type=int, default=64, help="pixels (default: %(default)s)")
    parser.add_argument("--epochs", type=int, default=20, help="default: %(default)s")
    parser.add_argument("--seeds", type=int, default=1, help="runs with different seeds (default: %(default)s)")
    arguments = parser.parse_args()

    from multimodal.finetuning import finetune

    for seed in range(arguments.seeds):
        with tempfile.TemporaryDirectory() as temporary:
            out = Path(temporary) / "run"
            start = time.perf_counter()
            run = finetune(
                arguments.folder,
                model=f"timm:{arguments.model}",
                pretrained=False,
                out=out,
                image_size=arguments.image_size,
                epochs=arguments.epochs,
                seed=seed,
            )
            ours_s = time.perf_counter() - start
            start = time.perf_counter()
            accuracy = theirs(arguments.folder, arguments.model, out, lr=run.settings["optimizer"]["lr"])
            theirs_s = time.perf_counter() - start
            print(
                f"seed {seed}: ours {run.metrics['accuracy']:.1%} in {ours_s:.0f} s (report included), "
                f"timm {accuracy:.1%} in {theirs_s:.0f} s",
                flush=True,
            )


if __name__ == "__main__":
    main()

"""Fine-tune a published dual encoder on your own images with captions, and keep what it could do before.

With `--model.keep` other data are measured at each validation: class folders by zero-shot accuracy, images with
captions by recall. At the end the weights are interpolated between before and after, and of the points that forget no
more than `--model.max_forget` the one with the best recall on your validation images becomes the model.

Paper     WiSE-FT, arXiv:2109.01903; adapters: LoRA, arXiv:2106.09685
Run       python recipes/clip_finetune.py fit --data.root pairs.csv --model.source open_clip:ViT-B-32/openai
          --model.keep photos_by_class/
LoRA      --model.training.lora.rank 8 --model.optimizer.lr 2e-4
Many GPUs add --trainer.devices 8 --trainer.strategy ddp
Hardware  ViT-B/32 at batch 256: one GPU with 24 GB; larger batches with --model.training.micro_batch 128
Hours     not yet run
Expected  not yet run
Small     python recipes/clip_finetune.py smoke          a small CLIP with fresh weights learns drawn scenes, on a CPU
"""

from pathlib import Path

import torch

from multimodal.checkpoint import save
from multimodal.cli.recipe import Smoke, run
from multimodal.data.pairs.data_modules import PairData
from multimodal.data.pairs.read import read_pairs
from multimodal.data.pairs.scenes import write_scenes
from multimodal.finetuning.dual_start import FreshTowersConfig, fresh_clip
from multimodal.finetuning.kept import kept_score
from multimodal.finetuning.precision import training_precision
from multimodal.finetuning.published import published
from multimodal.models.dual_encoder import DualEncoder
from multimodal.presets import Stack, ViT
from multimodal.tasks.contrastive import ContrastiveConfig, ContrastiveTask
from multimodal.tasks.forgetting import ForgettingGuard
from multimodal.tasks.optimizer import OptimizerConfig


def clip_finetune(
    source: str = "open_clip:ViT-B-32/openai",
    pretrained: bool = True,
    keep: str | None = None,
    max_forget: float = 0.01,
    training: ContrastiveConfig = ContrastiveConfig(),
    optimizer: OptimizerConfig = OptimizerConfig(
        lr=1e-5, weight_decay=0.1, betas=(0.9, 0.98), eps=1e-6, warmup=0.1, final_lr=0.0
    ),
    seed: int = 0,
) -> ContrastiveTask:
    """A published dual encoder, trained further under its own loss.

    Args:
        source: what `mm.load` takes.
        pretrained: False starts from fresh weights, to try things out.
        keep: data that the model shall not become worse on; None: nothing is watched.
        max_forget: how far the score on them may fall, as a part of 1.
        training: locked tower, adapters, left out patches, micro-batches.
        optimizer: AdamW and its schedule.
        seed: of everything random in a step.
    """
    model = published(source, DualEncoder, "'open_clip:ViT-B-32/openai'", name="source", pretrained=pretrained)
    guard = [ForgettingGuard(model, kept_score(keep), max_forget=max_forget)] if keep is not None else []
    return ContrastiveTask(model, training=training, optimizer=optimizer, callbacks=guard, seed=seed)


def _small_clip(folder: Path) -> list[str]:
    """A CLIP with fresh weights as a folder, scenes to learn, and others to keep."""
    scenes = write_scenes(folder / "scenes", train=1000, val=100, test=0, size=32)
    keep = write_scenes(folder / "keep", train=0, val=100, test=0, size=32, seed=1)
    sizes = FreshTowersConfig(
        image=ViT(dim=64, depth=2, heads=2, patch=8),
        text=Stack(dim=64, depth=2, heads=2),
        dim=64,
        size=32,
        length=24,
        vocabulary=300,
    )
    torch.manual_seed(0)
    captions = (caption for pair in read_pairs(scenes).splits["train"] for caption in pair.captions)
    source = save(fresh_clip(captions, sizes), folder / "clip")
    return [f"--data.root={scenes}", f"--model.keep={keep}", f"--model.source={source}"]


SMOKE = Smoke(
    arguments=(
        "--model.optimizer.lr=0.001",
        "--data.batch_size=50",
        "--trainer.max_epochs=4",
    ),
    data=_small_clip,
    metric="val_recall",
    at_least=0.03,
)

if __name__ == "__main__":
    run(
        clip_finetune,
        PairData,
        smoke=SMOKE,
        trainer={"precision": training_precision(), "max_epochs": 5, "gradient_clip_val": 1.0},
    )

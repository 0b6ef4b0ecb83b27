"""Train SigLIP from nothing on images with captions: each pair is judged for itself, so the batch may be small.

Paper     SigLIP, arXiv:2303.15343
Run       python recipes/siglip.py fit --data.root pairs.csv
          (or .jsonl, .parquet, tar shards, a folder with a .txt beside each image; recipes/clip.py has more)
Many GPUs add --trainer.devices 8 --trainer.strategy ddp
Hardware  ViT-B/16 at batch 256: one GPU with 40 GB
Hours     not yet run
Expected  not yet run
Small     python recipes/siglip.py smoke          drawn scenes, about twenty seconds on a CPU
"""

from multimodal.cli.recipe import Smoke, run
from multimodal.data.pairs.data_modules import PairData
from multimodal.data.pairs.scenes import write_scenes
from multimodal.finetuning.dual_start import FreshTowersConfig, fresh_siglip
from multimodal.finetuning.precision import training_precision
from multimodal.presets import Stack, ViT
from multimodal.tasks.contrastive import ContrastiveConfig, ContrastiveTask
from multimodal.tasks.optimizer import OptimizerConfig


def siglip(
    texts: tuple[str, ...],
    fresh: FreshTowersConfig = FreshTowersConfig(
        image=ViT(dim=768, depth=12, heads=12, patch=16),
        text=Stack(dim=768, depth=12, heads=12),
        dim=768,
        length=64,
        vocabulary=32_000,
    ),
    training: ContrastiveConfig = ContrastiveConfig(),
    optimizer: OptimizerConfig = OptimizerConfig(
        lr=1e-3, weight_decay=1e-4, betas=(0.9, 0.95), warmup=0.05, final_lr=0.0
    ),
    seed: int = 0,
) -> ContrastiveTask:
    """Two fresh towers under a sigmoid, trained so that images and their captions find each other.

    Args:
        texts: what the vocabulary is trained on; the data give them.
        fresh: sizes of both towers, whose widths are equal.
        training: locked tower, adapters, left out patches, micro-batches.
        optimizer: AdamW and its schedule.
        seed: of everything random in a step.
    """
    return ContrastiveTask(fresh_siglip(texts, fresh), training=training, optimizer=optimizer, seed=seed)


SMOKE = Smoke(
    arguments=(
        "--model.fresh.image={dim: 64, depth: 2, heads: 2, patch: 8}",
        "--model.fresh.text={dim: 64, depth: 2, heads: 2}",
        "--model.fresh.dim=64",
        "--model.fresh.size=32",
        "--model.fresh.length=24",
        "--model.fresh.vocabulary=300",
        "--model.optimizer.lr=0.001",
        "--data.batch_size=50",
        "--trainer.max_epochs=6",
    ),
    data=lambda folder: [f"--data.root={write_scenes(folder / 'scenes', train=1000, val=100, test=0, size=32)}"],
    metric="val_recall",
    at_least=0.05,
)

if __name__ == "__main__":
    run(
        siglip,
        PairData,
        smoke=SMOKE,
        trainer={"precision": training_precision(), "max_epochs": 32, "gradient_clip_val": 1.0},
    )

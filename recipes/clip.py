"""Train CLIP from nothing on images with captions.

Paper     CLIP, arXiv:2103.00020; leaving out patches: FLIP, arXiv:2212.00794; large batches on one device: the gradient
          cache, arXiv:2101.06983
Run       python data/scenes/prepare.py
          python recipes/clip.py fit --data.root data/scenes/images --data.batch_size 128 --trainer.max_epochs 8
          --model.fresh.image "{dim: 128, depth: 4, heads: 4, patch: 8}"
          --model.fresh.text "{dim: 128, depth: 2, heads: 4}" --model.fresh.dim 128 --model.fresh.size 48
          --model.fresh.length 24 --model.fresh.vocabulary 300 --model.optimizer.lr 1e-3
Your own  --data.root pairs.csv (or .jsonl, .parquet, tar shards, a folder with a .txt beside each image)
Many GPUs --trainer.devices 8 --trainer.strategy ddp; the loss compares the pairs of all of them
FLIP      --model.training.patch_drop 0.5 leaves out half of the patches; what that saves: not yet measured
Batches   --data.batch_size 4096 --model.training.micro_batch 256 compares 4,096 pairs with the memory of 256
Hardware  ViT-B/32 at batch 256: one GPU with 24 GB; the scenes: two cores of a CPU
Hours     0.04 for the scenes on two cores of an AMD EPYC; ViT-B/32: not yet run
Expected  recall@1 among 400 scenes of combinations that training never showed, as `make demo` trains: a scene by its
          words 48.3% (95% interval 43.8 to 52.9%), words by their scene 48.8%; chance 0.25%. Noto emoji by name, 1,184
          drawings at 64 px and 60 epochs: 8.6% (4.8 to 12.9%) of 209 unseen ones, chance 0.5%. ViT-B/32: not yet run
Small     python recipes/clip.py smoke          drawn scenes, about twenty seconds on a CPU
"""

from multimodal.cli.recipe import Smoke, run
from multimodal.data.pairs.data_modules import PairData
from multimodal.data.pairs.scenes import write_scenes
from multimodal.finetuning.dual_start import FreshTowersConfig, fresh_clip
from multimodal.finetuning.precision import training_precision
from multimodal.tasks.contrastive import ContrastiveConfig, ContrastiveTask
from multimodal.tasks.optimizer import OptimizerConfig


def clip(
    texts: tuple[str, ...],
    fresh: FreshTowersConfig = FreshTowersConfig(),
    training: ContrastiveConfig = ContrastiveConfig(),
    optimizer: OptimizerConfig = OptimizerConfig(
        lr=5e-4, weight_decay=0.2, betas=(0.9, 0.98), eps=1e-6, warmup=0.05, final_lr=0.0
    ),
    seed: int = 0,
) -> ContrastiveTask:
    """Two fresh towers, trained so that images and their captions find each other.

    Args:
        texts: what a vocabulary is trained on, where `fresh.vocabulary` asks for one; the data give them.
        fresh: sizes of both towers.
        training: locked tower, adapters, left out patches, micro-batches.
        optimizer: AdamW and its schedule.
        seed: of everything random in a step.
    """
    return ContrastiveTask(fresh_clip(texts, fresh), training=training, optimizer=optimizer, seed=seed)


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
        clip,
        PairData,
        smoke=SMOKE,
        trainer={"precision": training_precision(), "max_epochs": 32, "gradient_clip_val": 1.0},
    )

"""Teach a text tower to describe what a published image model sees: locked-image tuning.

The image tower is never changed, so each image goes through it once: from the second epoch on its vector is at hand and
the file is not even opened. That needs images that are the same in every epoch, so nothing random is done to them.

Paper     LiT, arXiv:2111.07991
Run       python recipes/lit.py fit --data.root pairs.csv --model.source timm:vit_base_patch16_224.augreg_in21k
Many GPUs add --trainer.devices 8 --trainer.strategy ddp; each keeps the vectors that it has seen
Hardware  one GPU with 16 GB for ViT-B/16 at batch 1,024
Hours     not yet run
Expected  not yet run
Small     python recipes/lit.py smoke          a frozen image model with fresh weights on drawn scenes, a quarter minute
"""

from multimodal.cli.recipe import Smoke, run
from multimodal.data.pairs.locked import LockedPairData
from multimodal.data.pairs.scenes import write_scenes
from multimodal.finetuning.dual_start import FreshTowersConfig, locked_image
from multimodal.finetuning.precision import training_precision
from multimodal.tasks.contrastive import ContrastiveConfig, ContrastiveTask
from multimodal.tasks.optimizer import OptimizerConfig


def lit(
    texts: tuple[str, ...],
    source: str = "timm:vit_base_patch16_224.augreg_in21k",
    pretrained: bool = True,
    fresh: FreshTowersConfig = FreshTowersConfig(),
    optimizer: OptimizerConfig = OptimizerConfig(
        lr=1e-3, weight_decay=1e-4, betas=(0.9, 0.95), warmup=0.05, final_lr=0.0
    ),
    seed: int = 0,
) -> ContrastiveTask:
    """A fresh text tower under a locked image tower.

    Args:
        texts: what a vocabulary is trained on, where `fresh.vocabulary` asks for one; the data give them.
        source: what `mm.load` takes: an image classifier, or a dual encoder whose image tower is used.
        pretrained: False locks fresh weights, to try things out.
        fresh: the size of the text tower; that of the image tower is the published model's.
        optimizer: AdamW and its schedule.
        seed: of everything random in a step.
    """
    model = locked_image(source, texts, fresh, pretrained=pretrained)
    return ContrastiveTask(model, training=ContrastiveConfig(locked="image"), optimizer=optimizer, seed=seed)


SMOKE = Smoke(
    arguments=(
        "--model.source=timm:test_vit",
        "--model.pretrained=false",
        "--model.fresh.text={dim: 64, depth: 2, heads: 2}",
        "--model.fresh.length=24",
        "--model.fresh.vocabulary=300",
        "--model.optimizer.lr=0.002",
        "--data.batch_size=50",
        "--trainer.max_epochs=8",
    ),
    data=lambda folder: [f"--data.root={write_scenes(folder / 'scenes', train=500, val=100, test=0, size=32)}"],
    metric="val_recall",
    at_least=0.03,
)

if __name__ == "__main__":
    run(lit, LockedPairData, smoke=SMOKE, trainer={"precision": training_precision(), "max_epochs": 10})

"""Train a vision transformer from fresh weights, as DeiT does.

Paper     DeiT, arXiv:2012.12877, Table 9: AdamW, RandAugment 9, mixup 0.8, CutMix 1.0, erasing 0.25, label smoothing
          0.1, drop path 0.1, 300 epochs, batch 1024, rate 5e-4 per 512 images. Not here: repeated augmentation and
          distillation
Run       python recipes/vit_scratch.py fit --data.root imagenet/ --trainer.devices 8 --trainer.strategy ddp
          (imagenet/ holds train/ and val/ with a folder for each class; --data.batch_size is for each process)
Hardware  8 GPUs with 16 GB or more
Hours     not yet run
Expected  DeiT-S reaches 79.8% top-1 on ImageNet-1k in the paper's Table 7; here not yet run
Small     python recipes/vit_scratch.py smoke           digits, about twenty seconds on a CPU
"""

from multimodal.backbone.attention import AttentionConfig
from multimodal.backbone.backbone import BackboneConfig
from multimodal.backbone.block import BlockConfig
from multimodal.backbone.mlp import MlpConfig
from multimodal.backbone.norm import LayerNormConfig
from multimodal.backbone.pool import ClassPoolConfig
from multimodal.cli.recipe import Smoke, run
from multimodal.data.images.augment import AugmentConfig
from multimodal.data.images.data_modules import ImageFolderData
from multimodal.models.classifier import ClassifierConfig
from multimodal.models.image_encoder import ImageEncoderConfig
from multimodal.tasks.classification import ClassificationTask, ObjectiveConfig
from multimodal.tasks.mixing import MixConfig
from multimodal.tasks.optimizer import OptimizerConfig
from multimodal.tokenizers.image import ImageTokenizerConfig
from multimodal.tokenizers.image_transform import ImageTransformConfig


def vit_scratch(
    labels: tuple[str, ...],
    image_size: int = 224,
    patch: int = 16,
    dim: int = 384,
    depth: int = 12,
    heads: int = 6,
    drop_path: float = 0.1,
    resize: str = "crop",
    objective: ObjectiveConfig = ObjectiveConfig(smoothing=0.1, mix=MixConfig(mixup=0.8, cutmix=1.0)),
    optimizer: OptimizerConfig = OptimizerConfig(lr=1e-3, weight_decay=0.05, warmup=5 / 300),
    seed: int = 0,
) -> ClassificationTask:
    """A vision transformer with fresh weights; the defaults are DeiT-S.

    Args:
        labels: class names; the data give them.
        image_size: side of the images in pixels.
        patch: side of a patch in pixels.
        dim: width of a token.
        depth: number of blocks.
        heads: attention heads of a block.
        drop_path: probability of skipping the last block while training.
        resize: how images of other proportions fit: crop, pad or squash.
        objective: label smoothing, mixup, CutMix, class weights.
        optimizer: AdamW and its schedule; the rate is for the whole batch of 1024.
        seed: of the fresh weights and of everything random in a step.
    """
    norm = LayerNormConfig(eps=1e-6)
    block = BlockConfig(attention=AttentionConfig(heads=heads), mlp=MlpConfig(hidden=4 * dim), norm=norm)
    encoder = ImageEncoderConfig(
        tokenizer=ImageTokenizerConfig(size=(image_size, image_size), patch=(patch, patch)),
        backbone=BackboneConfig(dim=dim, depth=depth, block=block, drop_path=drop_path),
        pool=ClassPoolConfig(),
    )
    transform = ImageTransformConfig(size=(image_size, image_size), resize=resize)  # pyright: ignore
    model = ClassifierConfig(encoder=encoder, classes=len(labels), transform=transform).build(labels)
    return ClassificationTask(model, objective=objective, optimizer=optimizer, seed=seed)


class DeitData(ImageFolderData):
    """An image folder with DeiT's augmentation unless told otherwise."""

    def __init__(
        self,
        root: str,
        *,
        batch_size: int = 128,
        augment: AugmentConfig = AugmentConfig(scale=0.08, randaugment=9, erase=0.25),
        val_fraction: float = 0.1,
        workers: int | None = None,
        seed: int = 0,
    ) -> None:
        """As `ImageFolderData`."""
        super().__init__(
            root, batch_size=batch_size, augment=augment, val_fraction=val_fraction, workers=workers, seed=seed
        )


SMOKE = Smoke(
    arguments=(
        "--model.image_size=8",
        "--model.patch=2",
        "--model.dim=64",
        "--model.depth=3",
        "--model.heads=4",
        "--model.resize=squash",
        "--model.objective.mix.mixup=0",
        "--model.objective.mix.cutmix=0",
        "--model.drop_path=0",
        "--model.optimizer.lr=0.002",
        "--model.optimizer.warmup=0.1",
        "--data.batch_size=32",
        "--data.augment={scale: 1, flip: 0, randaugment: 0, erase: 0}",
        "--trainer.max_epochs=6",
    ),
    at_least=0.5,
)

if __name__ == "__main__":
    run(vit_scratch, DeitData, smoke=SMOKE)

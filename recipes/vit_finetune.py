"""Fine-tune a published vision transformer on a folder of labelled images.

Paper     ViT, arXiv:2010.11929; AdamW with rates that fall towards the input, arXiv:2106.08254; drop path and label
          smoothing as in arXiv:2106.10270 ("How to train your ViT")
Run       python data/oxford_pet/prepare.py
          python recipes/vit_finetune.py fit --data.root data/oxford_pet/images
Many GPUs add --trainer.devices 8 --trainer.strategy ddp
Hardware  one GPU with 16 GB for ViT-S/16 at batch 64
Hours     not yet run
Expected  Oxford-IIIT Pet test accuracy: not yet run
Small     python recipes/vit_finetune.py smoke          fresh weights on digits, about fifteen seconds on a CPU

`mm.finetune` does the same with defaults from the data, a report, and resuming; this file is where to begin when the
training itself is to be changed.
"""

from dataclasses import replace

from multimodal.cli.recipe import Smoke, run
from multimodal.data.images.data_modules import ImageFolderData
from multimodal.errors import ArgumentError
from multimodal.finetuning.adapt import with_head
from multimodal.hub import load
from multimodal.models.classifier import Classifier
from multimodal.tasks.classification import ClassificationTask, ObjectiveConfig
from multimodal.tasks.optimizer import OptimizerConfig
from multimodal.tokenizers.transforms import of_images


def vit_finetune(
    labels: tuple[str, ...],
    source: str = "timm:vit_small_patch16_224.augreg_in21k",
    pretrained: bool = True,
    image_size: int | None = None,
    drop_path: float = 0.1,
    objective: ObjectiveConfig = ObjectiveConfig(smoothing=0.1),
    optimizer: OptimizerConfig = OptimizerConfig(lr=2e-4, layer_decay=0.75, weight_decay=0.05),
    seed: int = 0,
) -> ClassificationTask:
    """A published image model with a fresh head for `labels`.

    Args:
        labels: class names; the data give them.
        source: what `mm.load` takes.
        pretrained: False starts from fresh weights.
        image_size: side of the images in pixels; None: the size the model was trained at.
        drop_path: probability of skipping the last block while training.
        objective: label smoothing, mixup, CutMix, class weights.
        optimizer: AdamW and its schedule.
        seed: of fresh weights and of everything random in a step.
    """
    model = load(source, pretrained=pretrained, device="cpu", dtype="float32")
    if not isinstance(model, Classifier):
        raise ArgumentError(f"source is {source!r}, which is not an image model.")
    transform = of_images(model.config.transform, "This recipe")
    if image_size is not None:
        transform = replace(transform, size=(image_size, image_size))
    model = with_head(model, labels, transform=transform, drop_path=drop_path, fresh=not pretrained)
    return ClassificationTask(model, objective=objective, optimizer=optimizer, seed=seed)


SMOKE = Smoke(
    arguments=(
        "--model.source=timm:test_vit",
        "--model.pretrained=false",
        "--model.image_size=32",
        "--model.optimizer.lr=0.003",
        "--data.batch_size=64",
        "--data.augment.scale=0.8",
        "--data.augment.flip=0",
        "--trainer.max_epochs=2",
    ),
    at_least=0.5,
)

if __name__ == "__main__":
    run(vit_finetune, ImageFolderData, smoke=SMOKE)

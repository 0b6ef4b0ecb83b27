"""Train one linear layer on the frozen features of a published model.

Paper     as an evaluation of representations: arXiv:2103.00020 (CLIP) §3.2, arXiv:2304.07193 (DINOv2) §7.1
Run       python data/imagenette/prepare.py
          python recipes/linear_probe.py fit --data.root data/imagenette/images
Hardware  any GPU; a CPU for a few thousand images
Hours     not yet run
Expected  Imagenette validation accuracy: not yet run
Small     python recipes/linear_probe.py smoke          random features of digits, about fifteen seconds on a CPU
"""

from multimodal.cli.recipe import Smoke, run
from multimodal.data.images.data_modules import ImageFolderData
from multimodal.errors import ArgumentError
from multimodal.finetuning.adapt import with_head
from multimodal.hub import load
from multimodal.models.classifier import Classifier
from multimodal.tasks.classification import ClassificationTask, ObjectiveConfig
from multimodal.tasks.optimizer import OptimizerConfig


def linear_probe(
    labels: tuple[str, ...],
    source: str = "timm:vit_small_patch14_dinov2.lvd142m",
    pretrained: bool = True,
    objective: ObjectiveConfig = ObjectiveConfig(),
    optimizer: OptimizerConfig = OptimizerConfig(lr=1e-3, weight_decay=0.0, warmup=0.05),
    seed: int = 0,
) -> ClassificationTask:
    """A published image model whose head alone is trained.

    Args:
        labels: class names; the data give them.
        source: what `mm.load` takes.
        pretrained: False probes random features.
        objective: label smoothing, mixup, CutMix, class weights.
        optimizer: AdamW and its schedule.
        seed: of the head's fresh weights.
    """
    model = load(source, pretrained=pretrained, device="cpu", dtype="float32")
    if not isinstance(model, Classifier):
        raise ArgumentError(f"source is {source!r}, which is not an image model.")
    model = with_head(model, labels)
    return ClassificationTask(model, objective=objective, optimizer=optimizer, train_encoder=False, seed=seed)


SMOKE = Smoke(
    arguments=(
        "--model.source=timm:test_convnext",
        "--model.pretrained=false",
        "--model.optimizer.lr=0.02",
        "--data.batch_size=64",
        "--data.augment.scale=1",
        "--data.augment.flip=0",
        "--trainer.max_epochs=1",
    ),
    at_least=0.25,
)

if __name__ == "__main__":
    run(linear_probe, ImageFolderData, smoke=SMOKE)

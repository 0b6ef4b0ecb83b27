"""`multimodal demo`: a whole day of the package in a few minutes, on pictures that need no download.

Writes scikit-learn's digits as a folder of images, checks that folder, trains a small vision transformer on it and
classifies three images that it has not seen. Then a small CLIP learns drawn scenes and searches others
(`demo_search.py`). Everything stays in one folder, to be looked at afterwards.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from multimodal.models.classifier import ClassifierConfig

# The rest is chosen from the data. A second process reads images while the first one trains.
SETTINGS = {"epochs": 40, "scale": 0.9, "randaugment": 2, "smoothing": 0.0, "drop_path": 0.0, "workers": 1}

HELP = "classify handwritten digits, then search drawn scenes by words, to see that everything works"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `multimodal demo`."""
    parser.add_argument("--out", type=Path, default=Path("demo"), help="folder to write to (default: demo)")


def run(arguments: argparse.Namespace) -> int:
    """Data, check, training, predictions; each announced by one line."""
    import torch

    from multimodal.cli.demo_search import demo_search
    from multimodal.data.images.check import check
    from multimodal.data.images.digits import write_digits
    from multimodal.finetuning import finetune

    out: Path = arguments.out
    folder = write_digits(out / "digits")
    print(f"1. 1,797 handwritten digits are in {folder}: a folder for each class, in train/ and test/.\n", flush=True)

    print("2. multimodal check: is anything wrong with them?\n")
    print(check(folder))

    print("\n3. multimodal finetune: a small vision transformer learns them.\n", flush=True)
    threads = torch.get_num_threads()
    # So small a model is not worth sharing out; where the machine is busy, threads would wait for one another.
    torch.set_num_threads(1)
    finished = (out / "run" / "metrics.json").is_file()  # an earlier demo is done again, an interrupted one resumed
    trained = finetune(folder, model=digits_model(), out=out / "run", overwrite=finished, **SETTINGS)
    print(f"Accuracy on the {trained.metrics['images']} test images: {trained.metrics['accuracy']:.1%}")
    print(f"Report: {trained.report}\n")

    print("4. multimodal classify: three test images.\n")
    images = [min((folder / "test" / digit).iterdir()) for digit in ("3", "5", "8")]
    for prediction in trained.model.predict(images, top=1):
        print(f"  {prediction.source}  is {prediction.label}, {prediction.probability:.0%} sure")

    torch.set_num_threads(threads)
    demo_search(out)

    print(
        "\nNext, your own photos, one folder for each class:\n"
        "  multimodal check photos/\n"
        "  multimodal finetune photos/ --model timm:vit_small_patch16_224.augreg_in21k --out runs/photos\n"
        "  multimodal classify runs/photos/model new.jpg\n"
        "or all of them, to be searched by words:\n"
        "  multimodal index photos/\n"
        '  multimodal search "a dog on a beach" --open\n'
        "  multimodal serve"
    )
    return 0


def digits_model() -> ClassifierConfig:
    """A vision transformer for 8 x 8 pixels, 0.45 million parameters: 2-pixel patches, 4 blocks of width 96.

    Rotary positions over rows and columns and a mean over patches learn more from 1,300 pictures than a learned grid
    and a class token, which reached 1 to 2 points less.
    """
    from multimodal.backbone.attention import AttentionConfig
    from multimodal.backbone.backbone import BackboneConfig
    from multimodal.backbone.block import BlockConfig
    from multimodal.backbone.mlp import MlpConfig
    from multimodal.backbone.pool import MeanPoolConfig
    from multimodal.backbone.rotary import RotaryConfig
    from multimodal.models.classifier import ClassifierConfig
    from multimodal.models.image_encoder import ImageEncoderConfig
    from multimodal.tokenizers.image import ImageTokenizerConfig
    from multimodal.tokenizers.image_transform import ImageTransformConfig

    size, width = (8, 8), 96
    half = (0.5, 0.5, 0.5)  # of mean and deviation: pixels from -1 to 1
    block = BlockConfig(attention=AttentionConfig(heads=4), mlp=MlpConfig(hidden=4 * width))
    positions = RotaryConfig(axes=2, layout="interleaved", base=100.0)
    encoder = ImageEncoderConfig(
        tokenizer=ImageTokenizerConfig(size=size, patch=(2, 2), prefix=0),
        backbone=BackboneConfig(dim=width, depth=4, block=block, position=positions),
        pool=MeanPoolConfig(),
    )
    whole = ImageTransformConfig(size=size, resize="squash", crop_fraction=1.0, mean=half, std=half)
    return ClassifierConfig(encoder=encoder, classes=10, transform=whole)

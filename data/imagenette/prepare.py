"""Imagenette: ten easily told classes of ImageNet, 13,394 photos, as a folder of images.

python data/imagenette/prepare.py [OUT] [--size 160|320|full]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from multimodal.data.download import all_or_nothing, download, exit_code, unpack

SOURCE = "https://s3.amazonaws.com/fast-ai-imageclas"
ARCHIVES = {  # shorter side in px: file, checksum (as in torchvision.datasets.Imagenette)
    "160": ("imagenette2-160.tgz", "md5:e793b78cc4c9e9a4ccc0c1155377a412"),
    "320": ("imagenette2-320.tgz", "md5:3df6f0d01a2c9592104656642f5e78a3"),
    "full": ("imagenette2.tgz", "md5:fe2fc210e6bb7c5664d602c3cd71e612"),
}
CLASSES = {  # WordNet number: name
    "n01440764": "tench",
    "n02102040": "English springer",
    "n02979186": "cassette player",
    "n03000684": "chain saw",
    "n03028079": "church",
    "n03394916": "French horn",
    "n03417042": "garbage truck",
    "n03425413": "gas pump",
    "n03445777": "golf ball",
    "n03888257": "parachute",
}


def prepare(out: Path, size: str) -> Path:
    """Download and unpack into out/train and out/val, one folder for each class."""
    name, checksum = ARCHIVES[size]
    with all_or_nothing(out) as folder:
        archive = download(f"{SOURCE}/{name}", out.parent / name, checksum=checksum)
        unpacked = unpack(archive, folder / "unpacked") / Path(name).stem
        for split in ("train", "val"):
            (folder / split).mkdir()
            for number, label in CLASSES.items():
                (unpacked / split / number).rename(folder / split / label)
        (unpacked / "noisy_imagenette.csv").unlink(missing_ok=True)  # labels made wrong on purpose
        for empty in (unpacked / "train", unpacked / "val", unpacked, unpacked.parent):
            empty.rmdir()
    archive.unlink()
    return out


def main(argv: list[str] | None = None) -> int:
    """Read the arguments and prepare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", nargs="?", type=Path, default=Path(__file__).parent / "images", metavar="OUT")
    parser.add_argument("--size", choices=ARCHIVES, default="160", help="shorter side in px (default: 160)")
    arguments = parser.parse_args(argv)
    return exit_code(lambda: prepare(arguments.out, arguments.size))


if __name__ == "__main__":
    sys.exit(main())

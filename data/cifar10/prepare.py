"""CIFAR-10: ten classes, 60,000 pictures of 32 x 32 pixels, as a folder of PNGs.

The binary version is read, not the Python one: that is a pickle, which could run code.

python data/cifar10/prepare.py [OUT]
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from multimodal.data.download import all_or_nothing, download, run_script, unpack
from multimodal.errors import DataError
from multimodal.progress import track

URL = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
CHECKSUM = "sha256:c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"
FILES = {"train": [f"data_batch_{i}.bin" for i in range(1, 6)], "test": ["test_batch.bin"]}
SIDE = 32  # px
RECORD = 1 + 3 * SIDE * SIDE  # bytes: class, then the red, green and blue planes


def prepare(out: Path) -> Path:
    """Download, and write out/train and out/test, one folder for each class."""
    with all_or_nothing(out) as folder:
        archive = download(URL, out.parent / "cifar-10-binary.tar.gz", checksum=CHECKSUM)
        unpacked = unpack(archive, folder / "unpacked")
        batches = unpacked / "cifar-10-batches-bin"
        labels = (batches / "batches.meta.txt").read_text(encoding="utf-8").split()
        for split, names in FILES.items():
            records = np.concatenate([_records(batches / name) for name in names])
            for label in labels:
                (folder / split / label).mkdir(parents=True)
            for i, record in enumerate(track(records, len(records), f"Writing the {split} images")):
                pixels = record[1:].reshape(3, SIDE, SIDE).transpose(1, 2, 0)  # h w c
                Image.fromarray(pixels).save(folder / split / labels[record[0]] / f"{i:05d}.png")
        shutil.rmtree(unpacked)
    archive.unlink()
    return out


def _records(file: Path) -> np.ndarray:
    """The images of one batch, (n, RECORD) uint8."""
    data = np.fromfile(file, dtype=np.uint8)
    if len(data) % RECORD:
        raise DataError(f"{file.name} does not hold whole images of {RECORD} bytes.")
    return data.reshape(-1, RECORD)


def main(argv: list[str] | None = None) -> int:
    """Read the arguments and prepare."""
    return run_script(prepare, __doc__, Path(__file__).parent / "images", argv)


if __name__ == "__main__":
    sys.exit(main())

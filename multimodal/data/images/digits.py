"""scikit-learn's 1,797 handwritten digits as a folder of images: the demo's data, made without a download.

    digits/train/0/0000.png ...   1,437 grey PNGs of 8 x 8 pixels, in ten class folders
    digits/test/0/0078.png ...      360, the same share of each class

Source: Alpaydin and Kaynak, "Optical Recognition of Handwritten Digits", UCI, 1998 (CC BY 4.0), the part that
scikit-learn ships.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from multimodal.errors import DataError

_TEST_SHARE = 0.2
_SEED = 0


def write_digits(folder: str | Path) -> Path:
    """The path of `folder`, which holds the digits afterwards; one that already does is left as it is.

    The whole folder appears at once, so an interrupted call leaves nothing behind that looks finished.

    Raises:
        DataError: `folder` exists and holds something else.
    """
    folder = Path(folder)
    images = _images()
    if folder.exists() and any(folder.iterdir()):
        if {path.relative_to(folder).as_posix() for path in folder.rglob("*.png")} != set(images):
            raise DataError(f"{folder} holds something other than the digits; choose another folder, or empty it.")
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}-"))
    try:
        for name, pixels in images.items():
            path = temporary / name
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(path)
        temporary.chmod(0o755)  # a temporary folder is made private
        temporary.replace(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder


def _images() -> dict[str, np.ndarray]:
    """Path below the folder -> uint8 pixels (8, 8), white on black; the name is the image's place in the data set."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    ink, labels = load_digits(return_X_y=True)  # ink: 0 to 16
    pixels = np.round(ink.reshape(-1, 8, 8) * (255 / 16)).astype(np.uint8)
    _, test = train_test_split(
        np.arange(len(labels)), test_size=_TEST_SHARE, stratify=labels, random_state=_SEED, shuffle=True
    )
    split = np.full(len(labels), "train", dtype=object)
    split[test] = "test"
    return {f"{split[i]}/{labels[i]}/{i:04d}.png": pixels[i] for i in range(len(labels))}

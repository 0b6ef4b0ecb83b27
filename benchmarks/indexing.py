"""The indexing workload of `search.py`: a folder of photos to vectors, here and by open_clip with Pillow.

Here all of `ImageIndex.sync` is timed: listing, hashing, dates, thumbnails and the commit included. The peer is what
tools such as rclip do: Pillow reads each file whole, open_clip's transform and model make the vector.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from harness import Step
from PIL import Image

LARGE, SMALL = ((4000, 3000), 24), ((1152, 864), 96)  # pixels and number of photos: twelve and one megapixel
BATCH = 8  # photos that go through the peer's model at a time


def write_photos(folder: Path) -> str:
    """JPEGs of quality 90 with structure at every scale, as photos have it."""
    random = np.random.default_rng(0)
    folder.mkdir()
    for size, count in (LARGE, SMALL):
        for number in range(count):
            picture = np.zeros((size[1], size[0], 3), np.float32)
            for side in (4, 16, 64, 256):
                noise = Image.fromarray(random.integers(0, 256, (side * 3 // 4, side, 3), dtype=np.uint8))
                picture += np.asarray(noise.resize(size, Image.Resampling.BICUBIC), np.float32) / 4
            Image.fromarray(picture.astype(np.uint8)).save(folder / f"{size[0]}-{number:02d}.jpg", quality=90)
    return str(folder)


def indexing(folder: str, library: str, photos: str, dtype: str = "float32") -> Step:
    """A step indexes all photos anew; it returns their unit vectors in the order of their names."""
    return _ours(folder, photos, dtype) if library == "ours" else _theirs(folder, photos)


def _ours(folder: str, photos: str, dtype: str) -> Step:
    import pyarrow.parquet as pq

    from multimodal.hub import load
    from multimodal.search import ImageIndex

    model = load(folder, device="cpu", dtype=dtype)
    place = Path(tempfile.mkdtemp())

    def step() -> torch.Tensor:
        shutil.rmtree(place, ignore_errors=True)
        with ImageIndex(place / "index", model) as index:
            index.sync(photos, progress=False)
            table = pq.read_table(index.export(place / "vectors.parquet")).sort_by("path")
        return torch.tensor(table["vector"].to_pylist())

    return step


def _theirs(folder: str, photos: str) -> Step:
    import open_clip

    made: Any = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    model, _, transform = made
    model.eval()
    paths = sorted(Path(photos).iterdir())

    def step() -> torch.Tensor:
        found = []
        with torch.inference_mode():
            for start in range(0, len(paths), BATCH):
                pictures = [transform(Image.open(path).convert("RGB")) for path in paths[start : start + BATCH]]
                found.append(model.encode_image(torch.stack(pictures), normalize=True))
        return torch.cat(found)

    return step


def not_alike(ours: np.ndarray, theirs: np.ndarray) -> float:
    """1 - the smallest cosine between both vectors of a photo."""
    return 1 - float((ours * theirs).sum(1).min())

"""Small files of images with captions."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import numpy as np
from PIL import Image

from multimodal.data.images.samples import Skipped
from multimodal.data.pairs.samples import PairedImages


def png(seed: int) -> bytes:
    """The file of a picture of 12 x 10 px, different for every seed."""
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (10, 12, 3), dtype=np.uint8)).save(file, "PNG")
    return file.getvalue()


def write(path: Path, content: bytes | str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def pictures(folder: Path, *names: str) -> None:
    """A different picture for each name."""
    for seed, name in enumerate(names):
        write(folder / name, png(seed))


def tar(path: Path, members: dict[str, bytes | str]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for name, content in members.items():
            data = content.encode() if isinstance(content, str) else content
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def plain(images: PairedImages) -> dict[str, dict[str, tuple[str, ...]]]:
    """Split -> name of the image -> captions."""
    return {split: {Path(p.path).name: p.captions for p in pairs} for split, pairs in images.splits.items()}


def reasons(skipped: tuple[Skipped, ...]) -> list[str]:
    return [one.reason for one in skipped]

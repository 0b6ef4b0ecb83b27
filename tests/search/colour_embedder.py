"""A model that needs no training: a picture is the colours in it, a text the colours that it names."""

from __future__ import annotations

import hashlib
import re
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from multimodal.tokenizers.image_transform import ImageTransformConfig

COLOURS = {
    "red": (220, 30, 30),
    "green": (30, 170, 50),
    "blue": (40, 60, 220),
    "yellow": (240, 220, 40),
    "purple": (140, 40, 160),
    "orange": (250, 140, 20),
    "white": (250, 250, 250),
    "black": (10, 10, 10),
}
_TABLE = torch.tensor(list(COLOURS.values()), dtype=torch.float32)


class ColourEmbedder:
    """Vectors of `width` numbers: how much of each colour there is, and a little of everything else."""

    tokenizer = object()

    def __init__(self, size=32, seed=0, width=16, log: Path | None = None, delay=0.0):
        self.transform = ImageTransformConfig(size=(size, size), resize="squash").build()
        self.card = {}
        self.width = width
        self.seed, self.log, self.delay = seed, log, delay
        generator = torch.Generator().manual_seed(seed)
        self._basis = torch.linalg.qr(torch.randn(width, width, generator=generator))[0]
        self.images = 0  # that went through the model

    def fingerprint(self):
        return hashlib.blake2b(f"{self.seed} {self.width}".encode(), digest_size=16).hexdigest()

    def embed_pixels(self, pixels):
        self.images += len(pixels)
        flat = pixels.float().flatten(2).transpose(1, 2)  # b n 3
        near = torch.softmax(-torch.cdist(flat, _TABLE.expand(len(pixels), -1, -1)) / 20, dim=-1)
        found = self._unit(near.mean(1))
        if self.log is not None:
            time.sleep(self.delay)
            with self.log.open("a") as stream:
                stream.writelines(hashlib.md5(it.numpy().tobytes()).hexdigest() + "\n" for it in pixels)
        return found

    def embed_texts(self, texts):
        rows = []
        for text in texts:
            words = re.findall(r"\w+", text.lower())
            row = torch.tensor([float(name in words) for name in COLOURS])
            rows.append(row if row.any() else torch.full((len(COLOURS),), 1.0))
        return self._unit(torch.stack(rows))

    def _unit(self, colours):
        rest = torch.full((len(colours), self.width - len(COLOURS)), 0.05)
        return torch.nn.functional.normalize(torch.cat([colours, rest], dim=1) @ self._basis, dim=-1)


def picture(colour="red", seed=0, size=(64, 48), noise=30):
    """A picture of one colour with noise: no two are the same."""
    rng = np.random.default_rng([seed, *map(ord, colour)])
    pixels = np.array(COLOURS[colour]) + rng.integers(-noise, noise + 1, (size[1], size[0], 3))
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def folder_of(root: Path, colours=("red", "green", "blue", "yellow"), each=3):
    """`red-0.png`, `red-1.png` ... below `root`."""
    root.mkdir(parents=True, exist_ok=True)
    for colour in colours:
        for i in range(each):
            picture(colour, i).save(root / f"{colour}-{i}.png")
    return root

"""Running the commands in this process on a folder of a few digits, and how they must end."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

from multimodal.cli import main

OPTIONS = ["--epochs", "1", "--batch-size", "8", "--precision", "fp32", "--no-baseline"]


def few_digits(root: Path) -> Path:
    """Six training and two test images each of the digits 0, 1 and 2."""
    images, targets = load_digits(return_X_y=True)
    for digit in range(3):
        for i, pixels in enumerate(images[targets == digit][:8]):
            folder = root / "digits" / ("train" if i < 6 else "test") / str(digit)
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray((pixels * 15.9375).astype(np.uint8).reshape(8, 8)).save(folder / f"{i}.png")
    return root / "digits"


def train(data: Path | str, out: Path | str, start: Path | str, *more: str) -> list[str]:
    return ["finetune", str(data), "--out", str(out), "--model", str(start), *OPTIONS, *more]


def ends(capsys, words: list[str], code: int, *parts: str) -> str:
    """Run the command; the one sentence that it must end with."""
    assert main(words) == code
    err = capsys.readouterr().err
    last = [line for line in err.splitlines() if line.strip()][-1]
    assert last.startswith(f"multimodal {words[0]}: ") and last.rstrip().endswith((".", "?")), last
    assert "Traceback" not in err and err.count(f"multimodal {words[0]}: ") == 1
    for part in parts:
        assert part in last, last
    return last

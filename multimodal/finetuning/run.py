"""The run folder: what is in it, and how it is opened again.

model/          the trained model (`mm.load`), see multimodal/checkpoint/
report.html     how good it is and where it fails
metrics.json    the figures of the report
metrics.csv     a row for each epoch
predictions.csv the model's answer on every held-out image
run.json        settings as resolved, the images of each split, the fingerprint of the data
tensorboard/    the same curves for TensorBoard
checkpoints/    to resume from, while the run is not finished
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from multimodal.errors import DataError
from multimodal.models.classifier import Classifier, Prediction

FILES = frozenset(
    ["model", "report.html", "metrics.json", "metrics.csv", "predictions.csv", "run.json", "tensorboard", "checkpoints"]
)  # nothing else is ever removed from a run folder


@dataclass(frozen=True)
class Mistake:
    """A held-out image that the model got wrong."""

    path: str
    label: str
    predicted: str
    probability: float  # of what was predicted


@dataclass(frozen=True)
class Run:
    """A finished run."""

    folder: Path

    @staticmethod
    def open(folder: str | Path) -> Run:
        """The run in `folder`.

        Raises:
            DataError: there is no finished run.
        """
        folder = Path(folder)
        if not (folder / "metrics.json").is_file():
            raise DataError(
                f"{folder} holds no finished run; call finetune with out={str(folder)!r} to finish or make one."
            )
        return Run(folder)

    @cached_property
    def model(self) -> Classifier:
        """The trained classifier, on the CPU in float32."""
        from multimodal.checkpoint import load_folder
        from multimodal.models.classifier import Classifier

        model = load_folder(self.folder / "model")
        assert isinstance(model, Classifier)  # a run writes no other
        return model

    @cached_property
    def metrics(self) -> dict[str, Any]:
        """Figures on the held-out images: `split`, `images`, `accuracy` (or `map`), `baseline`, `loss`, `ece` ..."""
        return json.loads((self.folder / "metrics.json").read_text(encoding="utf-8"))

    @cached_property
    def settings(self) -> dict[str, Any]:
        """Every setting, as resolved."""
        return json.loads((self.folder / "run.json").read_text(encoding="utf-8"))["settings"]

    @property
    def report(self) -> Path:
        """The page to look at."""
        return self.folder / "report.html"

    def predict(self, images: Any, **options: Any) -> list[Prediction]:
        """What the trained model says of `images`; see `Classifier.predict`."""
        return self.model.predict(images, **options)

    def mistakes(self, n: int = 10) -> list[Mistake]:
        """The `n` held-out images that the model was most sure of and wrong."""
        with (self.folder / "predictions.csv").open(newline="", encoding="utf-8", errors="surrogateescape") as file:
            wrong = [
                Mistake(row["path"], row["label"], row["predicted"], float(row["probability"]))
                for row in csv.DictReader(file)
                if row["label"] != row["predicted"]
            ]
        return sorted(wrong, key=lambda mistake: -mistake.probability)[:n]


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """`value` as JSON, replaced in one step."""
    _replace(path, json.dumps(value, indent=2, ensure_ascii=True) + "\n")


def write_predictions(path: Path, rows: Sequence[Mistake]) -> None:
    """One line for each held-out image: path, label, predicted, probability."""
    temporary = path.with_name(path.name + ".tmp")
    with temporary.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "label", "predicted", "probability"])
        writer.writerows([row.path, row.label, row.predicted, f"{row.probability:.6f}"] for row in rows)
    temporary.replace(path)


def _replace(path: Path, text: str) -> None:
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)

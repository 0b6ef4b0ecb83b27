"""What a fine-tuning run decided before training, on disk, so that a resumed run decides nothing anew."""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from multimodal.config import from_plain, to_plain
from multimodal.data.images.samples import LabeledImages, Sample, Skipped
from multimodal.errors import ArgumentError, DataError
from multimodal.finetuning.run import FILES, write_json
from multimodal.finetuning.settings import FinetuneConfig, check


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Everything decided before training; kept in `run.json`."""

    folder: str
    source: str  # where the model came from
    asked: dict[str, Any]  # settings that the caller gave
    settings: FinetuneConfig
    images: LabeledImages
    fingerprint: str
    baseline: float | None = None


def open_plan(out: Path, folder: str, source: str, asked: dict[str, Any], *, overwrite: bool) -> Plan | None:
    """The plan of an unfinished run at `out`, or None where a new one starts.

    Raises:
        ArgumentError: `out` holds a finished run, another unfinished one, or something that is no run.
    """
    _check_place(out, folder)
    if not out.exists():
        return None
    if all(entry.suffix == ".tmp" for entry in out.iterdir()):  # empty, or stopped before anything was decided
        return None
    if not (out / "run.json").is_file():
        raise ArgumentError(f"out is {str(out)!r}, which holds other files; choose a new or an empty folder.")
    if overwrite:
        other = sorted(entry.name for entry in out.iterdir() if entry.name not in FILES and entry.suffix != ".tmp")
        if other:
            raise ArgumentError(
                f"out is {str(out)!r}, which holds more than a run ({other[0]!r}); move that away first."
            )
        return None
    if (out / "metrics.json").is_file():
        raise ArgumentError(f"{out} holds a finished run; choose another `out`, or set overwrite to replace it.")
    plan = read_plan(out)
    for name, was, now in (("folder", plan.folder, folder), ("model", plan.source, source)):
        if was != now:
            raise ArgumentError(
                f"{out} holds an unfinished run with {name}={was!r}, not {now!r}; set overwrite to drop it."
            )
    if plan.asked != json.loads(json.dumps(asked)):
        raise ArgumentError(
            f"{out} holds an unfinished run with settings {plan.asked}, not {asked}; set overwrite to drop it."
        )
    return plan


def _check_place(out: Path, folder: str) -> None:
    """Whether a run folder can be made at `out`, tried before the slow work; nothing stays behind.

    Raises:
        ArgumentError: `out` is or lies below a file, is a link to nothing, or it and the data lie in one another.
        DataError: it cannot be written to.
    """
    present = next(path for path in (out, *out.parents) if os.path.lexists(path))
    if not present.is_dir():
        what = "a link that leads nowhere" if present.is_symlink() and not present.exists() else "a file"
        where = "which is" if present == out else f"which lies below {str(present)!r},"
        raise ArgumentError(f"out is {str(out)!r}, {where} {what}; give a folder.")
    if Path(folder).is_dir():
        data, place = Path(os.path.realpath(folder)), Path(os.path.realpath(out))
        if data == place or data in place.parents or place in data.parents:
            raise ArgumentError(
                f"out is {str(out)!r} and the data are in {folder!r}; one lies inside the other, so that the next run "
                "would take results for data. Choose another place for out."
            )
    try:
        Path(tempfile.mkdtemp(prefix=".run-", dir=present)).rmdir()
    except OSError as error:
        raise DataError(
            f"out is {str(out)!r}, where nothing can be written ({error.strerror}); choose another place."
        ) from error


def image_counts(images: LabeledImages) -> dict[str, int]:
    """Number of images in each split."""
    return {name: len(samples) for name, samples in images.splits.items()}


def write_plan(out: Path, plan: Plan) -> None:
    """Write `plan` into the run folder `out`."""
    images = plan.images
    plain = {
        "folder": plan.folder,
        "source": plan.source,
        "asked": plan.asked,
        "fingerprint": plan.fingerprint,
        "baseline": plan.baseline,
        "settings": to_plain(plan.settings),
        "images": {
            "root": images.root,
            "labels": images.labels,
            "multi_label": images.multi_label,
            "splits": {name: [[s.path, *s.labels] for s in samples] for name, samples in images.splits.items()},
            "skipped": [[s.path, s.reason] for s in images.skipped],
        },
    }
    write_json(out / "run.json", plain)


def read_plan(out: Path) -> Plan:
    """The plan that `write_plan` wrote.

    Raises:
        DataError: the file is damaged or was edited into something impossible.
    """
    path = out / "run.json"
    try:
        plain = json.loads(path.read_text(encoding="utf-8"))
        images = plain["images"]
        _check_labels(images)
        return Plan(
            folder=plain["folder"],
            source=plain["source"],
            asked=plain["asked"],
            fingerprint=plain["fingerprint"],
            baseline=plain["baseline"],
            settings=check(from_plain(FinetuneConfig, plain["settings"], where=f"{path}: settings")),
            images=LabeledImages(
                root=images["root"],
                labels=tuple(images["labels"]),
                multi_label=images["multi_label"],
                splits={
                    name: tuple(Sample(path, tuple(labels)) for path, *labels in rows)
                    for name, rows in images["splits"].items()
                },
                skipped=tuple(Skipped(*row) for row in images["skipped"]),
            ),
        )
    except (KeyError, ValueError, TypeError, AttributeError, DataError) as error:
        raise DataError(f"{path} is damaged ({error}); set overwrite to start the run anew.") from error


def _check_labels(images: Any) -> None:
    """Refuse class names and samples, as run.json has them, that do not belong together."""
    labels = images["labels"]
    if not all(isinstance(label, str) for label in labels) or len(set(labels)) != len(labels):
        raise ValueError("labels must be different class names")
    if not all(images["splits"].get(name) for name in ("train", "val")):
        raise ValueError("there are no images to train on or to validate with")
    used = {label for rows in images["splits"].values() for _, *members in rows for label in members}
    if not all(isinstance(label, int) and 0 <= label < len(labels) for label in used):
        raise ValueError(f"the images have classes beyond the {len(labels)} labels")

"""The report of a training run: one self-contained HTML page that says how good the model is, and where it fails.

`write_report` turns a `ReportData` into words and tables here, into pictures in plots.py, and into a page in
report.html.jinja. Every text that comes from the data (class names, paths, reasons) is escaped there. An image that has
vanished since training costs its thumbnail, never the report.
"""

from __future__ import annotations

import base64
import io
import json
import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from multimodal.data.images.samples import Skipped
from multimodal.data.images.shards import MEMBER, read_bytes
from multimodal.errors import DataError
from multimodal.finetuning.held_out import HeldOut, Mistake, top_confusions, worst_mistakes
from multimodal.finetuning.report_words import calibration, key_figures, listed, percent, verdict
from multimodal.media import MediaError, read_image

MATRIX_CLASSES = 60  # above it, a confusion matrix gives way to a table
SHOWN_CLASSES = 60  # rows of the class table that are not folded away
SHOWN_SKIPPED = 100
MISTAKES = 24
THUMBNAIL = 256  # px, the longer side


@dataclass(frozen=True, kw_only=True)
class ReportData:
    """What a report is made from, as plain data."""

    title: str  # what was learned: usually the folder's name
    model: str  # the model's source, such as timm:vit_small_patch16_224.augreg_in21k
    held_out: HeldOut
    baseline: tuple[str, float] | None = None  # its name and its score in 0..1, on the same images
    # a mapping for each epoch: epoch, train_loss, val_loss, val_accuracy or val_map, lr; what is missing is not drawn
    history: Sequence[Mapping[str, Any]] = ()
    options: Mapping[str, Any] = field(default_factory=dict)  # settings as resolved; may be nested
    seconds: float  # of training
    versions: Mapping[str, str] = field(default_factory=dict)
    skipped: Sequence[Skipped] = ()
    notes: Sequence[str] = ()  # sentences that the reader must not miss


def write_report(data: ReportData, path: str | Path) -> None:
    """Write the page to `path`, at once or not at all. The model is said to be in the folder `model` beside it.

    Raises:
        OSError: `path` cannot be written.
    """
    path = Path(path)
    page = _render(data, path.parent / "model")
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(page.encode("utf-8", "replace"))  # a file's name may hold bytes that are no text
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _render(data: ReportData, model_folder: Path) -> str:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(percent=percent, width=lambda share: f"{100 * share:.1f}%")
    return environment.get_template("report.html.jinja").render(
        title=data.title,
        model=data.model,
        multi_label=data.held_out.multi_label,
        notes=data.notes,
        facts=key_figures(data.held_out, data.seconds),
        curves=_curves(data),
        options=_flat(data.options),
        versions=list(data.versions.items()),
        shell_folder=shlex.quote(model_folder.as_posix()),
        python_folder=json.dumps(model_folder.as_posix(), ensure_ascii=False),
        **verdict(data.held_out, data.baseline),
        **_confusions(data.held_out),
        **_classes(data.held_out),
        **_mistakes(data.held_out),
        **_calibration(data.held_out),
        **_skipped(data.skipped),
    )


def _curves(data: ReportData) -> list[Any]:
    from markupsafe import Markup

    from multimodal.finetuning import plots

    def has(key: str) -> bool:
        return any(row.get(key) is not None for row in data.history)

    key, name = ("val_map", "mAP") if data.held_out.multi_label else ("val_accuracy", "accuracy")
    if len(data.history) < 2:  # a point is no curve
        return []
    pictures = []
    if has("train_loss") or has("val_loss"):
        pictures.append(plots.loss_curves(data.history))
    if has(key):
        baseline = data.baseline[1] if data.baseline else None
        pictures.append(plots.score_curve(data.history, key, name=name, baseline=baseline))
    if has("lr"):
        pictures.append(plots.learning_rate(data.history))
    return [Markup(svg) for svg in pictures]


def _confusions(held_out: HeldOut) -> dict[str, Any]:
    from markupsafe import Markup

    from multimodal.finetuning import plots

    shown: dict[str, Any] = {"confusion": None, "confusions": [], "class_count": len(held_out.labels)}
    if held_out.multi_label or not held_out.paths:
        return shown
    matrix = len(held_out.labels) <= MATRIX_CLASSES
    if matrix:
        shown["confusion"] = Markup(plots.confusion(held_out.confusion, held_out.labels))
    if len(held_out.labels) > 2:
        shown["confusions"] = top_confusions(held_out, 10 if matrix else 40)
    return shown


def _classes(held_out: HeldOut) -> dict[str, Any]:
    scores = held_out.per_class
    columns = {"F1": scores.f1, "precision": scores.precision, "recall": scores.recall}
    rivals: dict[int, str] = {}
    if held_out.multi_label:
        columns = {"AP": held_out.average_precision, **columns}
    else:
        wrong = held_out.confusion - torch.diag(held_out.confusion.diagonal())
        for i, (count, rival) in enumerate(zip(*(best.tolist() for best in wrong.max(dim=1)), strict=True)):
            rivals[i] = f"{held_out.labels[rival]} ({count})" if count else ""
    rows = [
        {
            "name": name,
            "support": int(scores.support[i]),
            "scores": [float(column[i]) for column in columns.values()],
            "rival": rivals.get(i, ""),
        }
        for i, name in enumerate(held_out.labels)
        if scores.support[i] > 0
    ]
    absent = [name for i, name in enumerate(held_out.labels) if scores.support[i] == 0]
    sentence = f"Without a held-out image, and so unmeasured: {listed(absent, 40)}." if absent else ""
    rows.sort(key=lambda row: row["scores"])
    return {"classes": rows, "class_columns": list(columns), "shown_classes": SHOWN_CLASSES, "absent": sentence}


def _mistakes(held_out: HeldOut) -> dict[str, Any]:
    found = worst_mistakes(held_out, MISTAKES)
    wrong = int((~held_out.right).sum())
    kind = "images with a wrong label" if held_out.multi_label else "wrong answers"
    sentence = f"The {len(found)} of {wrong:,} {kind} that the model was surest of, the surest first."
    if wrong == len(found):
        sentence = f"All {wrong} {kind}, the surest first." if wrong > 1 else "The only one."
    return {"mistakes": [_tile(mistake) for mistake in found], "mistakes_sentence": sentence}


def _tile(mistake: Mistake) -> dict[str, Any]:
    tile = {
        "path": mistake.path,
        "file": Path(mistake.path.rpartition(MEMBER)[2]).name,
        "true": listed(mistake.true, 4) or "no label",
        "predicted": listed(mistake.predicted, 4) or "no label",
        "label": mistake.label,
        "missed": mistake.label in mistake.true,
        "probability": mistake.probability,
    }
    try:
        picture = read_image(read_bytes(mistake.path), min_side=THUMBNAIL // 2)
    except (DataError, MediaError) as error:
        return {**tile, "uri": None, "problem": f"This image can no longer be read: {error}"}
    picture.thumbnail((THUMBNAIL, THUMBNAIL))
    buffer = io.BytesIO()
    picture.save(buffer, format="JPEG", quality=85)
    uri = "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
    return {**tile, "uri": uri, "small": max(picture.size) <= 64}  # a few pixels: shown as squares, not as a blur


def _calibration(held_out: HeldOut) -> dict[str, Any]:
    from markupsafe import Markup

    from multimodal.finetuning import plots

    if not held_out.paths:
        return {"calibration": [], "reliability": []}
    steps = [("Before", 1.0)] if held_out.temperature == 1 else [("Before", 1.0), ("After", held_out.temperature)]
    pictures = []
    for name, temperature in steps:
        bins = held_out.reliability(temperature)
        svg = plots.reliability(bins, name=f"reliability-{name.lower()}")
        when = "" if len(steps) == 1 else f"{name} temperature scaling: "
        pictures.append((f"{when}error {percent(bins.error)}", Markup(svg)))
    return {"calibration": calibration(held_out), "reliability": pictures}


def _skipped(skipped: Sequence[Skipped]) -> dict[str, Any]:
    count = len(skipped)
    sentence = f"{count:,} file{' was' if count == 1 else 's were'} not used."
    if count > SHOWN_SKIPPED:
        sentence += f" The first {SHOWN_SKIPPED} are:"
    return {"skipped": [(item.path, item.reason) for item in skipped[:SHOWN_SKIPPED]], "skipped_sentence": sentence}


def _flat(options: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for name, value in options.items():
        if name == "type":  # `to_plain` names the class of a config; its fields say enough
            continue
        if isinstance(value, Mapping) and value:
            rows.extend(_flat(value, f"{prefix}{name}."))
        else:
            rows.append((f"{prefix}{name}", _written(value)))
    return rows


def _written(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list | tuple):
        return ", ".join(_written(item) for item in value)
    return str(value)

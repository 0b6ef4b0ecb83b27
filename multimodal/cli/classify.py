"""`multimodal classify MODEL FILES...`: the likeliest labels of images or recordings, for people or for programs.

Results go to stdout: a table, or with `--json` JSON Lines (one object for each file, as soon as it is known), or with
`--csv` rows under a header. Files that cannot be read are named on stderr, left out and counted; the exit code is 1
only if none could be read. Which files a folder or a pattern means follows from the model: of images, or of sound.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from multimodal.cli import inputs
from multimodal.errors import ArgumentError

if TYPE_CHECKING:
    from multimodal.models.classifier import Classifier, Prediction

HELP = "label images or recordings with a model; give files, folders or patterns"

Row = tuple["Prediction", Path | None]  # of a file, and where its explanation was written


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what `run` takes."""
    add = parser.add_argument
    add("model", metavar="MODEL", help="a model folder, or a published model such as timm:vit_small_patch16_224")
    add("files", metavar="FILES", nargs="+", help="files, folders, or patterns such as 'photos/**/*.jpg'")
    add("--top", type=int, default=5, metavar="N", help="how many labels to give for each file (default: 5)")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="JSON Lines: one object for each file, streamed")
    form.add_argument("--csv", action="store_true", help="CSV: path,label,probability,label_2,probability_2 ...")
    add("--batch-size", type=int, default=32, metavar="N", help="files at a time (default: 32)")
    add("--explain", type=Path, metavar="FOLDER", help="write there, for each file, where the model looked, as a PNG")
    add("--device", default="auto", metavar="NAME", help="cpu, cuda, cuda:1, mps (default: auto)")
    add("--dtype", default="auto", metavar="NAME", help="float32, bfloat16 (default: auto, what the device is fast in)")


def run(arguments: argparse.Namespace) -> int:
    """Classify, and print; the exit code."""
    for option in ("top", "batch_size"):
        if getattr(arguments, option) < 1:
            name = f"--{option.replace('_', '-')}"
            raise ArgumentError(f"{name} is {getattr(arguments, option)}; it must be at least 1.")
    if arguments.explain and arguments.explain.exists() and not arguments.explain.is_dir():
        raise ArgumentError(f"--explain is {arguments.explain}, which is a file; give a folder.")
    meant = _meant(arguments.files)

    from multimodal.hub import load
    from multimodal.models.classifier import Classifier
    from multimodal.progress import track
    from multimodal.tokenizers.audio_transform import AudioTransform

    model = load(arguments.model, device=arguments.device, dtype=arguments.dtype)
    if not isinstance(model, Classifier):
        raise ArgumentError(f"{arguments.model} is a {type(model).__name__}; classify needs a Classifier.")
    word = "recording" if isinstance(model.transform, AudioTransform) else "image"
    paths = find(arguments.files, word) if word not in meant else meant[word]
    streaming = arguments.json or arguments.csv
    write = _write_json if arguments.json else _write_csv if arguments.csv else _write_table
    errors: list[tuple[Path, str]] = []
    predictions = model.stream(paths, top=arguments.top, batch_size=arguments.batch_size, errors=errors)
    rows = _telling(_explained(predictions, model, arguments.explain, errors), errors)
    if not (streaming and sys.stdout.isatty()):  # lines that stream into the terminal are progress enough
        rows = track(rows, len(paths), "classifying")
    counts = write(rows, min(arguments.top, len(model.labels)), arguments.explain is not None, word)
    done = sum(counts.values())
    if len(paths) > 1:
        print(_summary(counts, len(paths) - done, word), file=sys.stderr)
    return 0 if done else 1


def find(arguments: Sequence[str], word: str = "image") -> list[Path]:
    """The files that are meant by names, folders and patterns, each once, in this order.

    A pattern stands for the files it matches that are named like a `word`, "image" or "recording". A name is taken as
    it is.

    Raises:
        ArgumentError: one that means no such file.
    """
    from multimodal.media import AUDIO_SUFFIXES, IMAGE_SUFFIXES, find_audio, find_images

    below, suffixes = (find_images, IMAGE_SUFFIXES) if word == "image" else (find_audio, AUDIO_SUFFIXES)
    return inputs.find(arguments, below=below, suffixes=suffixes, what=word)


def _meant(arguments: Sequence[str]) -> dict[str, list[Path]]:
    """The files that are meant if the model is of images, and if it is of sound; before it takes its time to load.

    Raises:
        ArgumentError: neither.
    """
    try:
        return {"image": find(arguments)}
    except ArgumentError as error:
        try:
            return {"recording": find(arguments, "recording")}
        except ArgumentError:
            raise error from None


def _explained(
    predictions: Iterable[Prediction], model: Classifier, folder: Path | None, errors: list[tuple[Path, str]]
) -> Iterator[Row]:
    """Each prediction, and the picture that was written for it."""
    from multimodal.media import MediaError

    taken: Counter[str] = Counter()
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    for prediction in predictions:
        picture = None
        if folder is not None:
            stem = prediction.source.stem
            taken[stem] += 1
            number = f"-{taken[stem]}" if taken[stem] > 1 else ""
            try:
                picture = model.explain(prediction.source).save(folder / f"{stem}{number}.explained.png")
            except MediaError as error:  # it was readable at reduced size only, or is gone by now
                errors.append((prediction.source, str(error)))
        yield prediction, picture


def _telling(rows: Iterable[Row], errors: Sequence[tuple[Path, str]]) -> Iterator[Row]:
    """Hand on `rows`; name each new one of `errors` on stderr."""
    told = 0
    for row in rows:
        told += _tell(errors[told:])
        yield row
    _tell(errors[told:])


def _tell(errors: Sequence[tuple[Path, str]]) -> int:
    for _, reason in errors:
        print(reason, file=sys.stderr)
    return len(errors)


def _write_json(rows: Iterable[Row], top: int, explained: bool, word: str) -> Counter[str]:
    counts: Counter[str] = Counter()
    for prediction, picture in rows:
        pairs = zip(prediction.labels, prediction.probabilities, strict=True)
        record = {
            "path": str(prediction.source),
            "predictions": [{"label": label, "probability": round(value, 6)} for label, value in pairs],
        }
        if explained:
            record["explanation"] = str(picture) if picture else None
        print(json.dumps(record, ensure_ascii=False), flush=True)
        counts[prediction.label] += 1
    return counts


def _write_csv(rows: Iterable[Row], top: int, explained: bool, word: str) -> Counter[str]:
    counts: Counter[str] = Counter()
    writer = csv.writer(sys.stdout, lineterminator="\n")
    further = [f"{name}_{i}" for i in range(2, top + 1) for name in ("label", "probability")]
    writer.writerow(["path", "label", "probability", *further, *(["explanation"] if explained else [])])
    for prediction, picture in rows:
        pairs = zip(prediction.labels, prediction.probabilities, strict=True)
        cells = [cell for label, value in pairs for cell in (label, f"{value:.6f}")]
        writer.writerow([prediction.source, *cells, *([picture or ""] if explained else [])])
        sys.stdout.flush()
        counts[prediction.label] += 1
    return counts


def _write_table(rows: Iterable[Row], top: int, explained: bool, word: str) -> Counter[str]:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    if not console.is_terminal:
        console = Console(width=10_000)  # nothing is cut off in a file; lines are as long as their longest cell
    found = list(rows)
    table = Table(box=None, pad_edge=False, header_style="bold")
    if len(found) == 1:
        block = "█" if console.encoding.startswith("utf") else "#"
        for label, value in zip(found[0][0].labels, found[0][0].probabilities, strict=True):
            table.add_row(Text(label), f"{value:.1%}", block * round(30 * value))
        table.show_header = False
        table.columns[1].justify = "right"
        console.print(Text(_shown(found[0][0].source), style="bold"))
    else:
        table.add_column(word, overflow="fold")
        table.add_column("label", overflow="fold")
        table.add_column("", justify="right", no_wrap=True)
        table.add_column("then", style="dim", no_wrap=True, overflow="ellipsis")
        for prediction, _ in found:
            rest = zip(prediction.labels[1:], prediction.probabilities[1:], strict=True)
            then = ", ".join(f"{label} {value:.1%}" for label, value in rest)
            table.add_row(
                Text(_shown(prediction.source)), Text(prediction.label), f"{prediction.probability:.1%}", Text(then)
            )
    if found:
        console.print(table)
    if explained and found:
        pictures = [picture for _, picture in found if picture]
        shown = str(pictures[0]) if len(pictures) == 1 else f"{len(pictures)} pictures"
        print(f"Where the model looked: {shown}")
    return Counter(prediction.label for prediction, _ in found)


def _summary(counts: Counter[str], skipped: int, word: str) -> str:
    parts = [f"{label} {count}" for label, count in counts.most_common(8)]
    rest = len(counts) - len(parts)
    labels = ", ".join(parts) + (f" and {rest} more labels" if rest > 0 else "")
    done = counts.total()
    left_out = f"; {skipped:,} could not be read" if skipped else ""
    return f"{done:,} {word}{'s' if done != 1 else ''} classified{left_out}.{f' {labels}.' if labels else ''}"


def _shown(path: Path) -> str:
    from multimodal.media.files import shown

    return shown(path)

"""`multimodal finetune`: a folder of labelled images in, a run folder out."""

from __future__ import annotations

import argparse
import errno
import json
from pathlib import Path

from multimodal.cli.finetune_settings import SETTINGS

HELP = "train an image classifier on your folder"

MODEL = "timm:vit_small_patch16_224.augreg_in21k"

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `multimodal finetune`: where from, where to, and every setting by name."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = (
        "What is not set is chosen from the number and size of your images, and printed.\n"
        "The same command after an interruption goes on where it stopped.\n\n"
        "  multimodal finetune photos/\n"
        "  multimodal finetune photos/ --model timm:convnext_tiny.fb_in22k --epochs 5 --resize pad\n"
        "  multimodal finetune photos/ --method linear        a quick first look\n"
    )
    parser.add_argument(
        "folder", help="class folders, with or without train/ val/ test/; a CSV or JSONL table; .tar shards"
    )
    parser.add_argument("--model", default=MODEL, help=f"what to start from, as mm.load takes it (default: {MODEL})")
    parser.add_argument("--out", type=Path, help="run folder to write (default: runs/NAME of the folder)")
    parser.add_argument("--scratch", action="store_true", help="start from fresh weights instead of pretrained ones")
    parser.add_argument("--overwrite", action="store_true", help="replace the run that is in --out")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON on stdout")
    group = parser.add_argument_group("settings (default: chosen from the data)")
    for name, (kind, choices, text) in SETTINGS.items():
        flag = f"--{name.replace('_', '-')}"
        if kind is bool:
            group.add_argument(flag, dest=name, action=argparse.BooleanOptionalAction, help=text)
        elif kind is tuple:
            group.add_argument(flag, dest=name, type=float, nargs=2, metavar="X", help=text)
        else:
            metavar = None if choices else {int: "N", float: "X"}.get(kind)
            group.add_argument(flag, dest=name, type=kind, choices=choices, metavar=metavar, help=text)


def run(arguments: argparse.Namespace) -> int:
    """Train, and say where everything is."""
    settings = {name: getattr(arguments, name) for name in SETTINGS if getattr(arguments, name) is not None}
    out = arguments.out or Path("runs") / (Path(arguments.folder).resolve().stem or "run")

    from multimodal.finetuning import finetune

    try:
        finished = finetune(
            arguments.folder,
            model=arguments.model,
            out=out,
            pretrained=not arguments.scratch,
            overwrite=arguments.overwrite,
            **{name: tuple(value) if isinstance(value, list) else value for name, value in settings.items()},
        )
    except OSError as error:
        if error.errno in _FULL and error.filename is None:  # a file that was open already when the disk ran full
            raise OSError(error.errno, error.strerror, str(out)) from error
        raise
    if arguments.json:
        print(json.dumps({"out": str(out), **finished.metrics}))
        return 0
    print(summary(finished.metrics))
    print(f"Report: {finished.report}")
    print(f"Use it: multimodal classify {out / 'model'} photo.jpg")
    return 0


def summary(figures: dict[str, object]) -> str:
    """One line with the score, its uncertainty and the baseline."""
    where = f"on {figures['images']} {figures['split']} images"
    if "map" in figures:
        return f"Mean average precision {figures['map']:.1%} {where}."
    low, high = figures["accuracy_interval_95"]  # pyright: ignore
    before = f" (before training: {figures['baseline']:.1%})" if figures["baseline"] is not None else ""
    return f"Accuracy {figures['accuracy']:.1%} {where}, 95% interval {low:.1%} to {high:.1%}{before}."

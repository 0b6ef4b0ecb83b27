"""`multimodal evaluate MODEL DATA`: how well a model answers questions about images, and how well without looking.

Of a conversation every question is asked, after what the data have before it.

The table goes to stdout, or with `--json` everything as one object; `--out` writes that object, every answer included,
into a file. What casts doubt on a score stands below it.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from multimodal.cli import generating
from multimodal.errors import ArgumentError

HELP = "score a model's answers about images or recordings, also without looking"

METRICS = ("exact", "vqa", "yes-no", "caption")
SPLITS = ("test", "val", "train")  # the first of them that the data have is evaluated


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what `run` takes."""
    add = parser.add_argument
    add("model", metavar="MODEL", help="a model folder, or a published model such as hf:llava-hf/llava-1.5-7b-hf")
    add("data", metavar="DATA", type=Path, help="conversations (.json, .jsonl, a folder), or images with captions")
    add("--metric", choices=METRICS, default="exact", help="exact (default), vqa (several people), yes-no, caption")
    add("--split", choices=SPLITS, help="which part of the data (default: test, else val, else train)")
    add("--images", type=Path, metavar="FOLDER", help="where the images lie that DATA names (default: beside it)")
    add("--instruction", metavar="TEXT", help="put behind the question that is asked: 'Answer with one word.'")
    add("--system", metavar="TEXT", help="the system message, in place of the conversations' own")
    add("--limit", type=int, metavar="N", help="ask N of the questions, drawn by chance, the same each time")
    add("--out", type=Path, metavar="FILE", help="write everything there as JSON: scores, settings, every answer")
    add("--json", action="store_true", help="print that instead of a table")
    generating.add_options(parser)
    add("--batch-size", type=int, default=16, metavar="N", help="questions at a time (default: 16)")
    generating.add_device(parser)


def run(arguments: argparse.Namespace) -> int:
    """Ask, score and print; the exit code."""
    for option in ("limit", "batch_size"):
        value = getattr(arguments, option)
        if value is not None and value < 1:
            raise ArgumentError(f"--{option.replace('_', '-')} is {value}; it must be at least 1.")
    if arguments.out is not None and arguments.out.is_dir():
        raise ArgumentError(f"--out is {arguments.out}, which is a folder; give a file such as result.json.")
    options: Any = generating.options_of(arguments)

    from rich.console import Console

    from multimodal.data.chat.evaluate import evaluate_chat
    from multimodal.data.chat.read import read_chats
    from multimodal.hub import load
    from multimodal.models.vision_language import VisionLanguageModel

    found = read_chats(arguments.data, images=arguments.images)
    split = arguments.split or next(name for name in SPLITS if name in found.splits)
    if split not in found.splits:
        there = ", ".join(found.splits)
        raise ArgumentError(f"--split is {split!r}, and {arguments.data} has no such part; it has {there}.")
    model = load(arguments.model, device=arguments.device, dtype=arguments.dtype)
    if not isinstance(model, VisionLanguageModel):
        kind = type(model).__name__
        raise ArgumentError(f"{arguments.model} is of the class {kind}; evaluate needs a VisionLanguageModel.")
    names = ("metric", "instruction", "system", "limit", "batch_size")
    asking: Any = {name: getattr(arguments, name) for name in names}
    evaluation = evaluate_chat(model, found.splits[split], **asking, skipped=found.skipped, **options)
    about = {"model": arguments.model, "data": str(arguments.data), "split": split}
    if arguments.out is not None:
        evaluation.save(arguments.out, about)
    if arguments.json:
        print(json.dumps({**about, **evaluation.plain()}, indent=2, ensure_ascii=False))
    else:
        print(f"{arguments.model} on {arguments.data}, {split}")
        Console().print(evaluation, soft_wrap=True)
    return 0

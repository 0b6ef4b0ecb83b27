"""`multimodal check PATH`: what is wrong with labelled images, recordings or conversations, before any training.

The report goes to stdout, for people or with `--json` for programs; the exit code is 1 where it holds an error.
"""

from __future__ import annotations

import argparse

HELP = "look for what is wrong with images, recordings or conversations: damage, copies, doubtful labels"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what `run` takes."""
    parser.add_argument(
        "path",
        metavar="PATH",
        help="images: a folder with one folder for each class (in train/ and val/ or not), a CSV, TSV or JSONL table "
        "of paths and labels, a tar shard or a folder of shards; recordings: a table of paths and texts, LibriSpeech, "
        "LJSpeech, Common Voice, a folder with a .txt beside each; conversations: .json or .jsonl of messages, or a "
        "folder that holds such a file",
    )
    parser.add_argument("--json", action="store_true", help="the whole report as one JSON object")
    parser.add_argument(
        "--separator", default="|", metavar="SIGN", help="between several labels of an image (default: |); '' for none"
    )
    parser.add_argument(
        "--model",
        metavar="MODEL",
        help="of conversations: a model that sees or hears; also look for what its chat template refuses and what is "
        "too long for it, images included; of recordings: a folder, also look for characters that its tokenizer lacks",
    )
    parser.add_argument(
        "--images", metavar="FOLDER", help="of conversations: where the files lie that they name (default: beside them)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Check, and print; the exit code."""
    from rich.console import Console

    from multimodal.data.check import check

    report = check(
        arguments.path, separator=arguments.separator or None, model=arguments.model, images=arguments.images
    )
    if arguments.json:
        print(report.to_json())
    else:
        Console().print(report, soft_wrap=True)
    return 0 if report.ok else 1

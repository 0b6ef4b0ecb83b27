"""What the commands that write text share: the options of generation, and text as it comes, harmless to a terminal."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from typing import Any

_OPTIONS = ("max_new_tokens", "temperature", "top_k", "top_p", "min_p", "seed", "beams", "stop")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare how text may be generated."""
    add = parser.add_argument
    add("--max-new-tokens", type=int, metavar="N", help="how long (default: as the checkpoint says, else 256)")
    add("--temperature", type=float, metavar="X", help="draw tokens by chance; higher is bolder; 0: the likeliest ones")
    add("--top-k", type=int, metavar="N", help="draw from the N likeliest tokens only")
    add("--top-p", type=float, metavar="X", help="draw from the fewest tokens that together have this probability")
    add("--min-p", type=float, metavar="X", help="draw from tokens at least X times as likely as the likeliest")
    add("--seed", type=int, metavar="N", help="draw the same each time")
    add("--beams", type=int, metavar="N", help="search for the likeliest text with N hypotheses at a time")
    add("--stop", action="append", metavar="TEXT", help="end before this text ($'\\n': a line break); may be repeated")


def add_device(parser: argparse.ArgumentParser) -> None:
    """Declare where the model runs."""
    add = parser.add_argument
    add("--device", default="auto", metavar="NAME", help="cpu, cuda, cuda:1, mps (default: auto)")
    add("--dtype", default="auto", metavar="NAME", help="float32, bfloat16 (default: auto, what the device is fast in)")


def options_of(arguments: argparse.Namespace) -> dict[str, Any]:
    """The options that were given, as `generate` and `chat` take them."""
    return {name: value for name in _OPTIONS if (value := getattr(arguments, name)) is not None}


def write_pieces(pieces: Iterable[str]) -> None:
    """Print text as it comes, and end the line also when it is cut short."""
    try:
        for piece in pieces:
            sys.stdout.write(harmless(piece))
            sys.stdout.flush()
    finally:
        print(flush=True)


def harmless(text: str) -> str:
    """`text`; in a terminal without the characters that would command it."""
    if not sys.stdout.isatty():
        return text
    return "".join(c if c in "\n\t" or not (c < " " or "\x7f" <= c < "\xa0") else "\ufffd" for c in text)

"""Where the commands that search keep their index: the one that is named, or one for everything, in the home folder."""

from __future__ import annotations

import argparse
import os
import shlex
from pathlib import Path

# The best zero-shot accuracy among ViT-B/32 weights (69.2% on ImageNet, arXiv:2304.14108), and quick on a CPU.
MODEL = "open_clip:ViT-B-32/datacomp_xl_s13b_b90k"
VARIABLE = "MULTIMODAL_INDEX"


def default_index() -> Path:
    """The folder of the index where none is named."""
    named = os.environ.get(VARIABLE)
    return Path(named) if named else Path.home() / ".local" / "share" / "multimodal" / "photos.index"


def add_index(parser: argparse.ArgumentParser) -> None:
    """Declare `--index`, `--device` and `--dtype`."""
    add = parser.add_argument
    add("--index", type=Path, metavar="FOLDER", help=f"of the index itself (default: ${VARIABLE} or {_shown()})")
    add("--device", default="auto", metavar="NAME", help="cpu, cuda, cuda:1, mps (default: auto)")
    add("--dtype", default="auto", metavar="NAME", help="float32, bfloat16 (default: auto, what the device is fast in)")


def naming(index: Path | None) -> str:
    """What a command that is suggested must add to mean the same index."""
    return f" --index {shlex.quote(str(index))}" if index else ""


def _shown() -> str:
    return "~/.local/share/multimodal/photos.index"

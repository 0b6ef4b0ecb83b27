"""`multimodal serve INDEX`: the search page of an index, in the browser, from this machine alone.

The address goes to stdout. Ctrl-C ends the command with exit code 0.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from multimodal.cli.index_place import default_index
from multimodal.errors import ArgumentError, DataError

HELP = "open a page in the browser that searches an index of pictures"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what `run` takes."""
    add = parser.add_argument
    add(
        "index", metavar="INDEX", type=Path, nargs="?", help="folder of the index (default: that of `multimodal index`)"
    )
    add("--port", type=int, metavar="N", help="port of the address (default: 8765, or the next one that is free)")
    add(
        "--host",
        default="127.0.0.1",
        metavar="ADDRESS",
        help="who may connect (default: 127.0.0.1, this machine)",
    )
    add("--no-browser", action="store_true", help="only print the address")
    add("--model", metavar="NAME", help="what made the index, where the index does not know where to load it from")
    add("--device", default="auto", metavar="NAME", help="cpu, cuda, cuda:1, mps (default: auto)")


def run(arguments: argparse.Namespace) -> int:
    """Serve until Ctrl-C; the exit code."""
    path: Path = arguments.index or default_index()
    if not path.exists():
        raise ArgumentError(f"There is no index at {path}; make one: multimodal index photos/ --index {path}")
    if path.is_dir() and not any(path.iterdir()):
        raise DataError(f"{path} is empty; make an index there: multimodal index photos/ --index {path}")
    if path.is_dir() and not any(entry.suffix in (".json", ".lance") for entry in path.iterdir()):
        raise ArgumentError(f"{path} is not an index; if it holds photos, make one of them: multimodal index {path}")

    from multimodal.search.index import ImageIndex
    from multimodal.web.server import serve

    with ImageIndex(path, arguments.model, device=arguments.device) as index:
        serve(index, host=arguments.host, port=arguments.port, browser=not arguments.no_browser)
    return 0

"""`multimodal index FOLDERS...`: make pictures findable by `multimodal search` and `multimodal serve`.

Run again, it reads only what is new or changed; killed, it goes on where it was. Files that cannot be read are named on
stderr, left out and counted. Results go to stdout.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from multimodal.cli.index_place import MODEL, add_index, default_index, naming
from multimodal.errors import ArgumentError

if TYPE_CHECKING:
    from multimodal.search import ImageIndex

HELP = "make folders of photos searchable by words and by pictures; only what is new is read"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what `run` takes."""
    add = parser.add_argument
    add("folders", metavar="FOLDER", nargs="*", help="of photos; without any, those that were indexed before")
    add("--model", metavar="MODEL", help=f"a model folder or a published dual encoder (a new index: {MODEL})")
    add_index(parser)
    add("--batch-size", type=int, default=32, metavar="N", help="pictures at a time (default: 32)")
    add("--retry", action="store_true", help="try again what could not be read, though it has not changed")
    add("--engine", choices=("local", "ray"), default="local", help="ray: on all machines of a Ray cluster")
    add("--address", metavar="HOST:PORT", help="with --engine ray: of a running cluster (default: this machine alone)")
    add("--workers", type=int, metavar="N", help="with --engine ray: processes that read (default: as many as fit)")
    add("--gpus", type=float, default=0, metavar="N", help="with --engine ray: GPUs of each worker (default: 0)")
    task = parser.add_mutually_exclusive_group()
    task.add_argument("--stats", action="store_true", help="tell what is in the index, and read nothing")
    task.add_argument("--duplicates", choices=("exact", "near"), metavar="KIND", help="list pictures that are there "
                      "more than once: exact (the same file) or near (saved again, resized)")  # fmt: skip
    task.add_argument("--export", type=Path, metavar="FILE", help="write paths, vectors and dates as Parquet")
    task.add_argument("--migrate", action="store_true", help="embed all pictures anew with --model; searches go on")
    task.add_argument("--forget", metavar="FOLDER", help="take a folder out of the index; its files are left alone")
    add("--json", action="store_true", help="results as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Index, and tell; the exit code."""
    _check(arguments)
    from multimodal.search import ImageIndex
    from multimodal.search.rows import line_of

    place = arguments.index or default_index()
    options = {"device": arguments.device, "dtype": arguments.dtype}
    known = (place / "index.json").exists()
    if not known and not arguments.folders:
        raise ArgumentError(
            f"There is no index in {place} yet; name a folder of photos: multimodal index photos/"
            f"{naming(arguments.index)}"
        )
    with ImageIndex(place, None if arguments.migrate else _model(arguments.model, known), **options) as index:
        asked = _task(arguments, index)
        if asked is not None:
            _print(asked, arguments.json)
            return 0
        report = index.sync(
            *arguments.folders, batch_size=arguments.batch_size, retry=arguments.retry, engine=_engine(arguments)
        )
        for skipped in report.skipped:
            print(line_of(skipped.reason), file=sys.stderr)
        _print(report if arguments.json else report.summary, arguments.json)
        if not arguments.json:
            found = f'multimodal search "a dog on a beach"{naming(arguments.index)}'
            print(f"{len(index):,} pictures are in {place}; search them: {found}")
        return 0 if len(index) else 1


def _check(arguments: argparse.Namespace) -> None:
    if arguments.migrate and not arguments.model:
        raise ArgumentError("--migrate needs the new model: multimodal index --migrate --model MODEL")
    for name in ("address", "workers", "gpus"):
        if getattr(arguments, name) and arguments.engine != "ray":
            raise ArgumentError(f"--{name} is for a Ray cluster; give --engine ray with it.")
    reading = arguments.stats or arguments.duplicates or arguments.export or arguments.migrate or arguments.forget
    if reading and arguments.folders:
        raise ArgumentError(
            f"{arguments.folders[0]} is one argument too many: this looks at the index, not at folders."
        )


def _engine(arguments: argparse.Namespace) -> Any:
    if arguments.engine == "local":
        return "local"
    from multimodal.search import RayConfig

    return RayConfig(address=arguments.address, workers=arguments.workers, gpus=arguments.gpus)


def _model(model: str | None, known: bool) -> str | None:
    """Of a new index the one that is asked for or the usual one; an old one knows its own."""
    return model or (None if known else MODEL)


def _task(arguments: argparse.Namespace, index: ImageIndex) -> Any:
    """What was asked for besides syncing, done; None: nothing."""
    if arguments.stats:
        return index.stats()
    if arguments.duplicates:
        from multimodal.search.rows import line_of, text_of

        shown = text_of if arguments.json else line_of
        return [[shown(str(path)) for path in group] for group in index.duplicates(arguments.duplicates)]
    if arguments.export:
        return f"The vectors are in {index.export(arguments.export)}"
    if arguments.migrate:
        return index.migrate(arguments.model, batch_size=arguments.batch_size)
    if arguments.forget:
        return f"{index.forget(arguments.forget):,} pictures were taken out of the index."
    return None


def _print(value: Any, as_json: bool) -> None:
    """A report, a list of groups or a sentence."""
    import dataclasses

    if as_json:
        plain = dataclasses.asdict(value) if dataclasses.is_dataclass(value) and not isinstance(value, type) else value
        print(json.dumps(plain, ensure_ascii=False, default=str))
    elif isinstance(value, list):
        print("\n\n".join("\n".join(group) for group in value) or "No picture is there more than once.")
    else:
        print(value)

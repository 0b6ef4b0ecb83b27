"""`multimodal search "a dog on a beach"`: pictures of an index by words, by a picture, or by both.

Results go to stdout: a table, with `--json` JSON Lines; `--open` shows the pictures themselves. What is not like the
query is not shown: an empty answer says how near the nearest was, and the exit code is then 1.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from multimodal.cli.index_place import add_index, default_index, naming
from multimodal.errors import ArgumentError

if TYPE_CHECKING:
    from multimodal.search import Query, Results

HELP = "find photos of an index by words, by a picture, or by both"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what `run` takes."""
    add = parser.add_argument
    add("query", metavar="QUERY", nargs="*", help="what should be in the picture, in words")
    add("--image", type=Path, action="append", default=[], metavar="FILE", help="a picture that it should be "
        "like; with words, both count")  # fmt: skip
    add("--minus", action="append", default=[], metavar="WORDS", help="what should not be in the picture")
    add("--where", metavar="SQL", help="a condition: \"year >= 2024 AND camera = 'X100' AND path LIKE '%%rome%%'\"")
    add("-k", "--top", type=int, default=20, metavar="N", help="how many at most (default: 20)")
    add("--all", action="store_true", help="also the nearest pictures that are not like it")
    add_index(parser)
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="JSON Lines: one object for each picture")
    form.add_argument("--paths", action="store_true", help="paths alone, one a line, for other programs")
    form.add_argument(
        "-0", "--null", action="store_true", help="paths alone, a null character after each, for xargs -0"
    )
    add("--open", action="store_true", help="show the pictures as a page in the browser")
    add("--sheet", type=Path, metavar="FILE", help="write them as a contact sheet: .html, .png or .jpg")


def run(arguments: argparse.Namespace) -> int:
    """Search, and print; the exit code."""
    if not (arguments.query or arguments.image):
        raise ArgumentError('What is searched for? Describe it, multimodal search "a dog on a beach", or give --image.')
    place = arguments.index or default_index()
    if not (place / "index.json").exists():
        raise ArgumentError(
            f"There is no index in {place} yet; make one: multimodal index photos/{naming(arguments.index)}"
        )
    from multimodal.search import ImageIndex

    with ImageIndex(place, device=arguments.device, dtype=arguments.dtype) as index:
        results = index.search(_query(arguments), arguments.top, where=arguments.where, all=arguments.all)
        _print(results, arguments)
        if arguments.sheet:
            print(f"The contact sheet is {results.save(arguments.sheet)}", file=sys.stderr)
        if arguments.open:
            _open(results)
    return 0 if len(results) else 1


def _query(arguments: argparse.Namespace) -> Query:
    from multimodal.search import Query

    parts = [Query.text(" ".join(arguments.query))] if arguments.query else []
    for path in arguments.image:
        if not path.is_file():
            raise ArgumentError(f"--image is {path}, which is not a file.")
        parts.append(Query.image(path))
    query = parts[0]
    for part in parts[1:]:
        query = query + part
    for words in arguments.minus:
        query = query - words
    return query


def _print(results: Results, arguments: argparse.Namespace) -> None:
    if arguments.json:
        for hit in results:
            print(json.dumps(hit.plain(), ensure_ascii=False, default=str))
    elif arguments.paths or arguments.null:
        sys.stdout.flush()
        for hit in results:  # in bytes: a name need not be valid in any encoding
            sys.stdout.buffer.write(os.fsencode(hit.path) + (b"\0" if arguments.null else b"\n"))
    elif len(results):
        from multimodal.search.rows import line_of

        print(" score  like it  picture")
        for hit in results:
            print(f"{hit.score:6.3f}  {hit.relevance:6.0%}  {line_of(str(hit.path))}")
    if not len(results):
        print(f"{results.summary} --all shows the nearest.", file=sys.stderr)


def _open(results: Results) -> None:
    """The contact sheet in the browser; it stays in the folder for temporary files until the system clears that."""
    import tempfile
    import webbrowser

    folder = Path(tempfile.mkdtemp(prefix="multimodal-search-"))
    webbrowser.open(results.save(folder / "results.html").as_uri())

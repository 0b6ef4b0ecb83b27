"""The files that words of a command line mean: names, folders and patterns."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from multimodal.errors import ArgumentError, nearest


def find(
    arguments: Sequence[str], *, below: Callable[[Path], list[Path]], suffixes: frozenset[str], what: str
) -> list[Path]:
    """The files that are meant, each once, in this order.

    A pattern stands for the files it matches that are named like what is looked for. A name is taken as it is.

    Args:
        arguments: names, folders and patterns.
        below: finds the files in a folder.
        suffixes: what files that a pattern matches may end in.
        what: the word for one of them: "image".

    Raises:
        ArgumentError: one that means no file.
    """
    found: dict[Path, None] = {}
    for argument in arguments:
        files = _files(os.path.expanduser(argument), below, suffixes) if argument else []  # noqa: PTH111  maybe a pattern
        if not files:
            raise ArgumentError(_nothing(argument, what))
        found.update(dict.fromkeys(files))
    return list(found)


def _nothing(argument: str, what: str) -> str:
    path = Path(argument)
    if argument and path.is_dir():
        return f"{argument} holds no {what}s."
    beside = [other.name for other in path.parent.iterdir()] if path.parent.is_dir() else []
    advice = nearest(path.name, beside) or " Give a file, a folder, or a pattern in quotes."
    return f"{argument or 'An empty name'} does not exist, and as a pattern matches no {what}.{advice}"


def _files(argument: str, below: Callable[[Path], list[Path]], suffixes: frozenset[str]) -> list[Path]:
    from multimodal.media import is_junk

    path = Path(argument)
    if path.is_dir():
        return below(path)
    if path.exists() or path.is_symlink():
        return [path]
    given = set(path.parts)
    matches = Path(path.anchor or ".").glob(str(path)[len(path.anchor) :]) if argument.strip("/.") else ()
    kept = [p for p in matches if not any(is_junk(part) for part in p.parts if part not in given)]
    files = [p for p in kept if p.suffix.lower() in suffixes and not p.is_dir()]
    if "**" not in path.parts:  # as with the shell's patterns, a folder that matches stands for what is in it
        files += [file for p in kept if p.is_dir() for file in below(p)]
    return sorted(files, key=Path.as_posix)

"""The two errors that a person can mend, and the nearest right name for a wrong one.

Every message is a full sentence that names the field, the value and the rule, and says what to do. The command line
prints it without a traceback: `ArgumentError` ends with exit code 2, `DataError` with 1.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class ArgumentError(ValueError):
    """What was asked for cannot be: an unknown name, a value out of range, options that exclude each other."""


class DataError(RuntimeError):
    """What was given cannot be used: an unreadable file, an empty folder, a damaged model folder."""


def nearest(name: str, choices: Iterable[str], *, most: int = 3) -> str:
    """A clause to end an error with: ` Did you mean 'x' or 'y'?`, or an empty string when nothing is close."""
    found = difflib.get_close_matches(name, list(choices), n=most, cutoff=0.6)
    return f" Did you mean {' or '.join(repr(match) for match in found)}?" if found else ""

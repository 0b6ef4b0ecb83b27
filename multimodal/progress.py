"""A progress bar on stderr for work that takes longer than a moment."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")

PATIENCE = 2.0  # seconds of work before a bar appears: short work prints nothing


def track(items: Iterable[Item], total: int | None, what: str) -> Iterator[Item]:
    """Hand on `items`, of which there are `total` (None: not known); show how far it is once `PATIENCE` has passed."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    # Stdout is not redirected: rich would send what is printed there to the bar's console, which is stderr.
    bar = Progress(*columns, console=Console(stderr=True), transient=True, redirect_stdout=False)
    task = bar.add_task(what, total=total)
    start, shown = time.monotonic(), False
    try:
        for done, item in enumerate(items, 1):
            if not shown and time.monotonic() - start > PATIENCE:
                bar.start()
                shown = True
            if shown:
                bar.update(task, completed=done)
            yield item
    finally:
        if shown:
            bar.stop()

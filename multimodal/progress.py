"""A progress bar on stderr for work that takes longer than a moment."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")

PATIENCE = 2.0  # seconds of work before a bar appears: short work prints nothing


def track(
    items: Iterable[Item], total: int | None, what: str, *, size: Callable[[Item], int] | None = None
) -> Iterator[Item]:
    """Hand on `items`, of which there are `total` (None: not known); show how far it is once `PATIENCE` has passed.

    Where `items` are batches, `size` says how many each counts for; then the rate is shown as well.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    rate = (TextColumn("{task.fields[rate]}"),) if size is not None else ()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), *rate, TimeRemainingColumn())
    # Stdout is not redirected: rich would send what is printed there to the bar's console, which is stderr.
    bar = Progress(*columns, console=Console(stderr=True), transient=True, redirect_stdout=False)
    task = bar.add_task(what, total=total, rate="")
    start, done = time.monotonic(), 0
    timer = threading.Timer(PATIENCE, bar.start)  # also where the first item takes longer than that
    timer.daemon = True
    timer.start()
    try:
        for item in items:
            done += 1 if size is None else size(item)
            bar.update(task, completed=done, rate=f"{done / (time.monotonic() - start):.1f}/s")
            yield item
    finally:
        timer.cancel()
        timer.join()  # a bar that is just beginning is ended too
        if bar.live.is_started:
            bar.stop()

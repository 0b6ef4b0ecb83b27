"""Timing side by side: each library in a process of its own, one working at a time, in turns.

A workload is a function that a worker process calls once and that returns a step to be timed. The rounds go A B A B,
so that a machine that slows down slows both; the figure is the median over the rounds of the ratio of neighbours, with
its smallest and largest. A worker first warms up until two steps take the same time to within 5%; what the first step
took beyond that (compilation, allocation) is reported apart.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import platform
import resource
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import version
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

Step = Callable[[], "torch.Tensor"]  # returns what is compared between libraries


@dataclass(frozen=True)
class Comparison:
    """How long our step took beside another library's."""

    workload: str
    ours: str
    peer: str
    ours_s: float  # median of a step
    peer_s: float
    ratio: float  # median of peer / ours: above 1 we are faster
    lowest: float
    highest: float
    difference: float  # largest difference of the outputs, relative to the peer's largest value; or 1 - cosine
    ours_first_s: float  # the first step: compilation and allocation included
    peer_first_s: float
    ours_mib: float  # peak memory of the process, or of the GPU
    peer_mib: float
    ceiling: float  # our part of the machine's matrix-product rate, 0 where it was not measured


class Worker:
    """A process that makes a step and runs it when asked."""

    def __init__(self, make: Callable[..., Step], arguments: dict[str, Any]) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, make, arguments), daemon=True)
        self.process.start()
        self.first, self.output = self._ask("first")  # seconds, and what is compared; before any other step
        self._ask("warm")

    def time(self) -> float:
        """Seconds of one step."""
        return self._ask("time")

    def close(self) -> float:
        """End the process; its peak memory in MiB."""
        peak = self._ask("memory")
        self.connection.send("end")
        self.process.join()
        return peak

    def _ask(self, what: str) -> Any:
        self.connection.send(what)
        found = self.connection.recv()
        if isinstance(found, Exception):
            raise found
        return found


def _serve(connection: Connection, make: Callable[..., Step], arguments: dict[str, Any]) -> None:
    import torch

    torch.manual_seed(0)
    step: Step | None = None
    while (what := connection.recv()) != "end":
        try:
            if step is None:
                step = make(**arguments)
            connection.send(_answer(what, step))
        except Exception as error:
            connection.send(RuntimeError(f"{type(error).__name__}: {error}"))


def _answer(what: str, step: Step) -> Any:
    if what == "first":
        start = time.perf_counter()
        output = step()
        output = output.float().cpu().numpy()
        return time.perf_counter() - start, output
    if what == "time":
        return _seconds(step)
    if what == "warm":
        before = _seconds(step)
        for _ in range(10):
            now = _seconds(step)
            if abs(now - before) < 0.05 * before:
                break
            before = now
        return None
    return peak_mib()


def _seconds(step: Step) -> float:
    import torch

    start = time.perf_counter()
    step()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start


def peak_mib() -> float:
    """Most memory that this process has held so far, or its GPU."""
    import torch

    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**20
    try:  # on Linux, `getrusage` would begin with what the parent process had reached
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1024


def compare(
    workload: str,
    ours: tuple[str, Callable[..., Step], dict[str, Any]],
    peer: tuple[str, Callable[..., Step], dict[str, Any]],
    *,
    difference: Callable[[Any, Any], float],
    tolerance: float,
    rounds: int = 7,
    flops: float = 0.0,
    peak_flops: float = 0.0,
) -> Comparison:
    """Time `ours` and `peer` (each a name, a maker of steps and its arguments) after their outputs were compared.

    Raises:
        AssertionError: the outputs differ by more than `tolerance`.
    """
    a, b = Worker(ours[1], ours[2]), Worker(peer[1], peer[2])
    differs = difference(a.output, b.output)
    assert differs <= tolerance, f"{workload}: outputs differ by {differs:.2e}, more than {tolerance:.0e}"
    times = [(a.time(), b.time()) for _ in range(rounds)]
    ratios = sorted(theirs / mine for mine, theirs in times)
    ours_s = statistics.median(mine for mine, _ in times)
    return Comparison(
        workload=workload,
        ours=ours[0],
        peer=peer[0],
        ours_s=ours_s,
        peer_s=statistics.median(theirs for _, theirs in times),
        ratio=statistics.median(ratios),
        lowest=ratios[0],
        highest=ratios[-1],
        difference=differs,
        ours_first_s=a.first,
        peer_first_s=b.first,
        ours_mib=a.close(),
        peer_mib=b.close(),
        ceiling=flops / ours_s / peak_flops if peak_flops else 0.0,
    )


def outputs_differ(
    ours: tuple[str, Callable[..., Step], dict[str, Any]],
    peer: tuple[str, Callable[..., Step], dict[str, Any]],
    difference: Callable[[Any, Any], float],
) -> float:
    """How much the outputs of two steps differ that are not timed, each made in a process of its own."""
    a, b = (Worker(make, arguments) for _, make, arguments in (ours, peer))
    differs = difference(a.output, b.output)
    a.close()
    b.close()
    return differs


def matrix_product_rate(dtype: str, size: int = 2048) -> float:
    """FLOP/s of a square matrix product of random numbers on this machine: the ceiling of a transformer."""
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    size = 8192 if device == "cuda" else size
    a, b = (torch.randn(size, size, device=device, dtype=getattr(torch, dtype)) for _ in range(2))
    best = min(_seconds(lambda: a @ b) for _ in range(8))
    return 2 * size**3 / best


def machine(*peers: str) -> dict[str, str]:
    """Processor, threads and versions, also of `peers`, as a result file records them."""
    import torch

    names = ("torch", "torchvision", "timm", "lightning", *peers)
    found = {"processor": _processor(), "threads": str(torch.get_num_threads()), "python": platform.python_version()}
    if torch.cuda.is_available():
        found["gpu"] = torch.cuda.get_device_name()
    return found | {name: version(name) for name in names}


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def show(title: str, rows: list[Comparison]) -> None:
    """A table of comparisons on stdout."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for name in ("workload", "ours", "peer", "ours ms", "peer ms", "ratio", "spread", "difference", "MiB", "ceiling"):
        table.add_column(name, justify="left" if name in ("workload", "ours", "peer") else "right")
    for row in rows:
        table.add_row(
            row.workload,
            row.ours,
            row.peer,
            f"{1000 * row.ours_s:.0f}",
            f"{1000 * row.peer_s:.0f}",
            f"{row.ratio:.2f}x",
            f"{row.lowest:.2f}-{row.highest:.2f}",
            f"{row.difference:.0e}",
            f"{row.ours_mib:.0f} / {row.peer_mib:.0f}",
            f"{row.ceiling:.0%}" if row.ceiling else "",
        )
    Console(width=160).print(table)


def record(
    path: Path, rows: dict[str, list[Comparison]], ceilings: dict[str, float], *peers: str, **more: dict[str, float]
) -> None:
    """Write the comparisons, and `more` figures, with date, machine and versions, also of `peers`, as JSON."""
    plain = {
        "date": time.strftime("%Y-%m-%d"),
        "machine": machine(*peers),
        "ceilings_gflops": {name: round(rate / 1e9) for name, rate in ceilings.items()},
        "tables": {name: [asdict(row) for row in table] for name, table in rows.items()},
        **more,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.write_text(json.dumps(plain, indent=2) + "\n", encoding="utf-8")
    temporary.replace(path)

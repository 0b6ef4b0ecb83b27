"""Running scripts as people do, each in a process of its own, which begins with the heavy imports done.

A third of a small training is imports. One process for each test worker does them once and is forked for every script.
multiprocessing has no second server of that kind, so whoever wants forked processes takes them from here.
"""

from __future__ import annotations

import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

# The checking hook slows every call down; scripts are run as people run them.
ENVIRONMENT = {"JAXTYPING_DISABLE": "1", "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
ENVIRONMENT["PYTHONWARNINGS"] = "ignore:lancedb fork support"  # no table is open in the process that is forked
IMPORTS = ["multimodal.cli.recipe", "multimodal.finetuning.dual_start", "multimodal.tasks.classification"]
IMPORTS += ["multimodal.search", "scipy.fft", "sklearn.datasets", "timm"]
IMPORTS += ["torch._dynamo"]  # which the first optimizer imports
PATIENCE = 280  # seconds


class Forked:
    """`python words...` in a process of its own, and what it has printed; the first word is the script."""

    def __init__(self, *words: Any, cwd: Any = ".") -> None:
        self.command = [str(word) for word in words]
        self._folder = tempfile.TemporaryDirectory()
        self._out, self._err = Path(self._folder.name, "out"), Path(self._folder.name, "err")
        arguments = (self.command, str(cwd), str(self._out), str(self._err))
        self._process: Any = context().Process(target=_script, args=arguments)
        self._process.start()

    def poll(self) -> int | None:
        """Its exit code, once it has ended."""
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        os.kill(self._process.pid, number)

    def ended(self, patience: float = PATIENCE) -> subprocess.CompletedProcess[str]:
        """Wait for its end: its exit code and what it printed."""
        self._process.join(patience)
        if self._process.is_alive():
            self.send_signal(signal.SIGKILL)
            raise TimeoutError(f"{self.command} took longer than {patience} s: {self._err.read_text()[-2000:]}")
        printed = [path.read_text() if path.exists() else "" for path in (self._out, self._err)]
        self._folder.cleanup()
        return subprocess.CompletedProcess(self.command, self._process.exitcode, *printed)


def python(*words: Any, cwd: Any = ".") -> subprocess.CompletedProcess[str]:
    """What `python words...` in the folder `cwd` prints, and its exit code; the first word is the script."""
    return Forked(*words, cwd=cwd).ended()


@cache
def context() -> Any:
    """Where multiprocessing's processes are forked from one that has everything imported and nothing open."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(IMPORTS)
    before = dict(os.environ)
    os.environ.update(ENVIRONMENT)
    try:
        nothing = context.Process(target=int)  # starts the server, which keeps this environment
        nothing.start()
        nothing.join()
    finally:
        os.environ.clear()
        os.environ.update(before)
    return context


def _script(command: list[str], cwd: str, out: str, err: str) -> None:
    for path, stream in ((out, 1), (err, 2)):
        file = os.open(path, os.O_WRONLY | os.O_CREAT)
        os.dup2(file, stream)
    sys.stdout, sys.stderr = (os.fdopen(stream, "w", buffering=1, encoding="utf-8") for stream in (1, 2))
    os.chdir(cwd)
    script = Path(command[0]).resolve()
    sys.argv, sys.path[:0] = command, [str(script.parent)]
    try:
        runpy.run_path(str(script), run_name="__main__")
    finally:
        sys.stdout.flush()
        sys.stderr.flush()

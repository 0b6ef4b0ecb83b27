"""Running a recipe as people do, in a process of its own, which begins with the heavy imports done.

A third of a smoke run is imports. One process for each test worker does them once and is forked for every recipe.
"""

from __future__ import annotations

import multiprocessing
import os
import runpy
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

# The checking hook slows every call down; recipes are run as people run them.
ENVIRONMENT = {"JAXTYPING_DISABLE": "1", "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
IMPORTS = ["multimodal.cli.recipe", "multimodal.finetuning.dual_start", "multimodal.tasks.classification"]
PATIENCE = 280  # seconds


def python(*words, cwd="."):
    """What `python words...` in the folder `cwd` prints, and its exit code; the first word is the script."""
    with tempfile.TemporaryDirectory() as folder:
        out, err = Path(folder, "out"), Path(folder, "err")
        command = [str(word) for word in words]
        child = _context().Process(target=_script, args=(command, str(cwd), str(out), str(err)))
        child.start()
        child.join(PATIENCE)
        if child.is_alive():
            child.kill()
            raise TimeoutError(f"{command} took longer than {PATIENCE} s: {err.read_text()[-2000:]}")
        return subprocess.CompletedProcess(command, child.exitcode, out.read_text(), err.read_text())


@cache
def _context():
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


def _script(command, cwd, out, err):
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

"""`import multimodal` is quick and complete: heavy libraries come on first use, and every public name resolves."""

from __future__ import annotations

import subprocess
import sys

import pytest

import multimodal as mm

HEAVY = ("torch", "torchvision", "numpy", "PIL", "timm", "lightning", "matplotlib", "sklearn", "scipy", "rich")


def run_python(code: str) -> str:
    """What a fresh interpreter prints: no hook, nothing imported yet."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_import_takes_less_than_300_ms_and_nothing_heavy():
    code = """
import sys, time
start = time.process_time()  # of the processor, so that a busy machine does not count
import multimodal
print(time.process_time() - start, *sorted({name.partition(".")[0] for name in sys.modules}))
"""
    runs = [run_python(code).split() for _ in range(3)]
    assert min(float(seconds) for seconds, *_ in runs) < 0.3
    assert not set(HEAVY) & set(runs[0])


def test_import_of_the_command_line_takes_nothing_heavy():
    code = """
import sys
import multimodal.cli
multimodal.cli._commands()
print(*sorted({name.partition(".")[0] for name in sys.modules}))
"""
    assert not set(HEAVY) & set(run_python(code).split())


@pytest.mark.parametrize("name", mm.__all__)
def test_public_names_resolve_and_are_listed(name):
    value = getattr(mm, name)
    assert callable(value)
    assert value.__name__ == name
    assert name in dir(mm)


def test_every_public_name_has_a_home_and_a_type():
    assert sorted(mm._HOMES) == sorted(mm.__all__)
    assert len(mm.__all__) <= 25


def test_a_misspelt_name_is_answered_with_the_nearest():
    with pytest.raises(AttributeError, match=r"has no attribute 'fintune'\. Did you mean 'finetune'\?"):
        mm.fintune  # noqa: B018
    with pytest.raises(AttributeError, match=r"has no attribute 'xyzzy'\.$"):
        mm.xyzzy  # noqa: B018

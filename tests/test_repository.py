"""What the repository promises about itself: versions agree, the wheel is small, nothing of one machine is written."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from itertools import chain
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from setuptools import find_packages

import multimodal

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))

# Pieced together, so that this file does not hold what it looks for.
HOMES = "|".join(("home", "root", "work", "Users"))
MACHINE = re.compile(rf"(?<![\w.~])/(?:{HOMES})/\w+|index" + r"-url|find" + r"-links|\.\./sh" + "ared")
TEXT = {".py", ".md", ".toml", ".txt", ".yaml", ".yml", ".cfg", ".jinja", ".json", ".csv", ""}


def tracked_files() -> list[Path]:
    """The files that git tracks, or would if asked to add everything."""
    if shutil.which("git") is None:
        pytest.skip("git is not here to list the files")
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        pytest.skip("not a git checkout")
    return [path for path in (ROOT / name for name in done.stdout.splitlines()) if path.is_file()]


def constraints() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    rows = [re.fullmatch(r"([\w.-]+)==([\w.+!]+)", line) for line in lines if line and not line.startswith("#")]
    assert all(rows), "constraints.txt holds names and versions alone"
    return {canonical(row.group(1)): row.group(2) for row in rows if row}


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_no_file_names_a_machine_or_an_index():
    found = []
    for path in tracked_files():
        if path.suffix in TEXT and path.stat().st_size < 1_000_000:
            for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
                if MACHINE.search(line):
                    found.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()[:100]}")
    assert found == []


def test_the_pattern_finds_what_it_should():
    for text in ("see /ro" + "ot/x", "--index" + "-url=x", 'open("../sh' + 'ared/y")', "/wo" + "rk/main"):
        assert MACHINE.search(text), text
    for text in ("the ~/.cache/x folder", "https://example.org/home/x", "roots/work", "find links"):
        assert not MACHINE.search(text), text


def test_nothing_large_is_tracked():
    assert [path.name for path in tracked_files() if path.stat().st_size > 1_000_000] == []


def test_the_wheel_holds_only_the_package(tmp_path):
    where = PROJECT["tool"]["setuptools"]["packages"]["find"]
    # setuptools looks for packages as it will when it builds; the other folders must not become some.
    for folder in ("recipes", "benchmarks", "data", "tests", "multimodal", "multimodal/cli"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "__init__.py").touch()
    assert set(find_packages(str(tmp_path), **where)) == {"multimodal", "multimodal.cli"}
    packages = set(find_packages(str(ROOT), **where))
    data = PROJECT["tool"]["setuptools"]["package-data"]
    for path in tracked_files():
        name = path.relative_to(ROOT)
        if name.parts[0] != "multimodal":
            continue
        if path.suffix == ".py":
            assert ".".join(name.parts[:-1]) in packages, f"{name.parent} needs an __init__.py to be installed"
            continue
        home = next(folder for folder in name.parents if ".".join(folder.parts) in packages)
        patterns = [*data["*"], *data.get(".".join(home.parts), [])]
        inside = set(chain.from_iterable((ROOT / home).glob(pattern) for pattern in patterns))
        assert path in inside, f"{name} would be left out of the wheel"
    assert (ROOT / "multimodal" / "py.typed").is_file()


def test_the_version_is_stated_once_more_and_equal():
    assert multimodal.__version__ == PROJECT["project"]["version"]
    assert f"## {multimodal.__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_constraints_cover_every_direct_dependency_within_its_range():
    pinned = constraints()
    extras = PROJECT["project"]["optional-dependencies"].values()
    rows = [*PROJECT["project"]["dependencies"], *(row for extra in extras for row in extra)]
    for requirement in map(Requirement, rows):
        version = pinned.get(canonical(requirement.name))
        assert version is not None, f"{requirement.name} is not in constraints.txt"
        assert requirement.specifier.contains(version), f"{requirement} excludes the tested {version}"
    assert not [name for name in pinned if name.startswith(("nvidia-", "cuda-", "triton"))]


def test_what_the_package_imports_is_declared():
    extras = PROJECT["project"]["optional-dependencies"]
    rows = [*PROJECT["project"]["dependencies"], *extras["ray"], *extras["containers"]]
    declared = {canonical(Requirement(row).name) for row in rows}
    table = (ROOT / "README.md").read_text(encoding="utf-8")
    assert [name for name in declared if not re.search(rf"^\| {name} \|", canonical_rows(table), re.MULTILINE)] == []
    comes_with = {"anyio": "starlette", "markupsafe": "jinja2"}
    distributions = packages_distributions()
    for path in sorted((ROOT / "multimodal").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for top in {name.partition(".")[0] for name in names} - sys.stdlib_module_names - {"multimodal"}:
                found = {canonical(name) for name in distributions[top]} | {comes_with.get(top, "")}
                assert found & declared, f"{path.relative_to(ROOT)} imports {top}, of none of the dependencies"


def canonical_rows(text: str) -> str:
    return re.sub(r"^\| ([\w.-]+) \|", lambda row: f"| {canonical(row[1])} |", text, flags=re.MULTILINE)


def test_every_make_target_is_explained():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = re.search(r"^\.PHONY: (.+)$", makefile, re.MULTILINE)
    assert targets
    for target in targets.group(1).split():
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)
        assert target == "help" or f"make {target} " in makefile, f"`make help` does not mention {target}"


def test_the_licence_is_the_whole_apache_2():
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert "Version 2.0, January 2004" in text
    assert "END OF TERMS AND CONDITIONS" in text
    assert PROJECT["project"]["license"] == "Apache-2.0"

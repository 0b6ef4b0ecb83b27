"""The shape of the house: imports only point up the list of rooms, files form no cycle, files stay small and explained.

Read from the source alone (`ast`), so imports inside functions and under TYPE_CHECKING count as well.
"""

from __future__ import annotations

import ast
import graphlib
from collections.abc import Iterator
from pathlib import Path

import pytest

import multimodal

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "multimodal"

# From the top of the house to its cellar; rooms of one row do not know each other.
ROOMS = [
    {"errors", "progress"},
    {"config"},
    {"media"},
    {"losses", "metrics"},
    {"weights"},
    {"backbone"},
    {"tokenizers"},
    {"generation"},
    {"models"},
    {"presets"},
    {"checkpoint"},
    {"hub"},
    {"data"},
    {"tasks"},
    {"finetuning"},
    {"search"},
    {"web"},
    {"cli"},
]
FLOOR = {room: floor for floor, rooms in enumerate(ROOMS) for room in rooms}
ALONE = {"errors", "progress", "media", "losses", "metrics"}  # they import nothing of ours
TRAINERS = {"lightning", "pytorch_lightning", "lightning_fabric"}

FILES = sorted(PACKAGE.rglob("*.py"))
SCRIPTS = sorted(path for folder in ("recipes", "benchmarks", "data") for path in (ROOT / folder).rglob("*.py"))


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path) for path in FILES}


def imported_names(tree: ast.AST) -> Iterator[tuple[str, ast.stmt]]:
    """Every module that `tree` imports; of `from a import b`, a.b where that is a module of ours, else a."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"relative import at line {node.lineno}: name the package"
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield (whole if whole in MODULES else str(node.module)), node


def room_of(module: str) -> str:
    return module.split(".")[1]


def faults_of(path: Path, source: str) -> list[str]:
    """What is wrong with the imports of the file `path` of a room, whose text is `source`."""
    room = room_of(module_name(path))
    faults = []
    for name, node in imported_names(ast.parse(source)):
        where = f"{path.relative_to(ROOT)}:{node.lineno}"
        top = name.partition(".")[0]
        if top in TRAINERS and FLOOR[room] < FLOOR["data"]:
            faults.append(f"{where} imports {top}; nothing above data/ needs the trainer")
        if top != "multimodal":
            continue
        if name == "multimodal":
            names = {alias.name for alias in node.names}
            if names != {"__version__"}:
                faults.append(f"{where} imports {names} from the package; import from the file that has it")
            continue
        other = room_of(name)
        if other != room and room in ALONE:
            faults.append(f"{where}: {room} imports nothing of ours, and here {name}")
        elif other != room and FLOOR[other] >= FLOOR[room]:
            faults.append(f"{where}: {room} imports {name}, which lies below it or beside it")
    return faults


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_up(path):
    if path.parent == PACKAGE and path.stem in ("__init__", "__main__"):
        return
    assert room_of(module_name(path)) in FLOOR, "a new room: give it its place in ROOMS"
    assert faults_of(path, path.read_text(encoding="utf-8")) == []


def test_a_wrong_import_is_found():
    below = "def f():\n    from multimodal.data.images.check import check\n"
    assert "lies below" in faults_of(PACKAGE / "models" / "x.py", below)[0]
    assert "trainer" in faults_of(PACKAGE / "models" / "x.py", "import lightning.pytorch as pl")[0]
    assert "nothing of ours" in faults_of(PACKAGE / "media.py", "from multimodal.errors import DataError")[0]
    assert "import from the file" in faults_of(PACKAGE / "hub.py", "from multimodal import save")[0]
    assert faults_of(PACKAGE / "tasks" / "x.py", "import lightning\nfrom multimodal import __version__") == []


def test_files_form_no_cycle():
    graph = {}
    for path in FILES:
        if path.parent == PACKAGE and path.stem == "__init__":
            continue  # its names are lazy: it knows every room, and no room asks it for more than the version
        names = {name for name, _ in imported_names(ast.parse(path.read_text(encoding="utf-8")))}
        graph[module_name(path)] = {name for name in names if name in MODULES and name != "multimodal"}
    list(graphlib.TopologicalSorter(graph).static_order())  # raises CycleError, which names the cycle


@pytest.mark.parametrize("path", FILES + SCRIPTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_are_small_and_say_what_they_are(path):
    source = path.read_text(encoding="utf-8")
    assert len(source.splitlines()) <= 260
    assert ast.get_docstring(ast.parse(source)), "the first lines say what is here"


def test_no_public_name_is_a_file_or_folder():
    """Else importing `multimodal.x` would silently put the module in the place of the public name `mm.x`."""
    beside = {path.stem for path in PACKAGE.iterdir()}
    assert not beside & set(multimodal.__all__)


def test_the_map_shows_every_room_once():
    there = {path.name for path in PACKAGE.iterdir() if not path.name.startswith(("__", "."))} - {"py.typed"}
    there = {name if name.endswith(".py") else f"{name}/" for name in there}
    shown = [name for line in str(multimodal.__doc__).splitlines() for name in line[:37].split()]
    assert sorted(name for name in shown if name.endswith(("/", ".py"))) == sorted(there)

"""The scripts data/*/prepare.py as modules, and small archives to give them in place of the real ones."""

from __future__ import annotations

import hashlib
import importlib.util
import io
import tarfile
import zipfile
from pathlib import Path
from types import ModuleType

DATA = Path(__file__).parents[1] / "data"


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"prepare_{name}", DATA / name / "prepare.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def archive(path: Path, members: dict[str, bytes], algorithm: str = "sha256") -> str:
    """Write `members` as a .tar.gz; its checksum."""
    with tarfile.open(path, "w:gz") as file:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            file.addfile(info, io.BytesIO(data))
    return checksum(path.read_bytes(), algorithm)


def zipped(path: Path, members: dict[str, bytes]) -> str:
    """Write `members` as a .zip; its checksum."""
    with zipfile.ZipFile(path, "w") as file:
        for name, data in members.items():
            file.writestr(name, data)
    return checksum(path.read_bytes())


def checksum(data: bytes, algorithm: str = "sha256") -> str:
    return f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}"

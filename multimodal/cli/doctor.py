"""`multimodal doctor`: does this installation work, and what does this machine offer?

Looks at the installed versions against those that the package asks for, whether torch, torchvision and torchaudio
belong together and import, which sound can be decoded, at devices, arithmetic and disk space, and, only when asked,
whether the model hub answers. Every finding that is broken comes with its cure. Here alone an exception is a result: it
is shown as a finding.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import platform
import re
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module, metadata, util
from pathlib import Path
from typing import Any, Literal

HELP = "say whether the installation works, and what this machine offers"

_DISTRIBUTION = "multimodal"
_BUILT_TOGETHER = ("torch", "torchvision", "torchaudio")
_REINSTALL = "pip uninstall -y torch torchvision torchaudio && pip install 'torch>=2.11,<2.15' torchvision torchaudio"
_SCARCE_DISK = 5 * 10**9  # bytes: the download of a large model, and a run's checkpoints
_NO_DISK = 2 * 10**8  # bytes: not even a small model folder and the temporary copy that it is written through


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing looked at. "broken": the package cannot do its work; "note": it can, with the limit in `detail`."""

    subject: str
    state: Literal["ok", "note", "broken"]
    detail: str
    cure: str = ""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `multimodal doctor`."""
    parser.add_argument("--hub", action="store_true", help="also ask the model hub for an answer, over the network")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    """Print what was found; 1 when something is broken."""
    installed = installed_versions()
    findings = examine(hub=arguments.hub)
    broken = any(finding.state == "broken" for finding in findings)
    if arguments.json:
        rows = [dataclasses.asdict(finding) for finding in findings]
        print(json.dumps({"ok": not broken, "system": _system(), "versions": installed, "findings": rows}, indent=2))
    else:
        print(_table(installed, findings))
    return int(broken)


def examine(*, hub: bool = False) -> list[Finding]:
    """All findings about this process's Python and machine; takes the seconds that importing torch takes."""
    findings = [check_requirements(installed_versions(), _requirements()), check_builds(_builds())]
    imports = {name: check_import(name) for name in (*_BUILT_TOGETHER, "huggingface_hub", "tokenizers")}
    findings += [*imports.values(), check_import("soundfile"), check_containers()]
    if imports["torch"].state == "ok":
        findings.append(_look_at_devices())
    if all(finding.state == "ok" for finding in imports.values()):
        findings.append(_look_at_arithmetic())
    findings.append(check_disk("disk of this folder", Path.cwd()))
    if imports["huggingface_hub"].state == "ok":
        findings += _look_at_hub(ask=hub)
    return findings


def installed_versions() -> dict[str, str | None]:
    """The package and everything that it requires -> the installed version, None where it is missing."""
    return {name: _version(name) for name in (_DISTRIBUTION, *_requirements())}


def check_requirements(installed: Mapping[str, str | None], required: Mapping[str, Any]) -> Finding:
    """Whether each required name is installed in an accepted version (`required`: name -> specifier set)."""
    subject = "requirements"
    if installed[_DISTRIBUTION] is None:
        return Finding(subject=subject, state="note", detail="unknown: multimodal runs without having been installed")
    faults = {}
    for name, accepted in required.items():
        version = installed[name]
        if version is None:
            faults[name] = f"{name} is not installed"
        elif not accepted.contains(version, prereleases=True):
            faults[name] = f"{name} is {version}; it must be {accepted}"
    if not faults:
        return Finding(subject=subject, state="ok", detail=f"all {len(required)} installed, in accepted versions")
    wanted = " ".join(f"'{name}{required[name]}'" for name in faults)
    cure = _REINSTALL if set(faults) & set(_BUILT_TOGETHER) else f"pip install {wanted}"
    return Finding(subject=subject, state="broken", detail=", ".join(faults.values()), cure=cure)


def check_builds(builds: Mapping[str, str]) -> Finding:
    """Whether torch and its companions are builds of one kind (`builds`: name -> "cpu", "cu130", "rocm6.4" or "").

    A CUDA build of torchvision beside a CPU build of torch dies on import. CUDA's minor versions go together
    (cu130 and cu132), its major ones do not. An unmarked build (macOS, a source build) can stand beside any.
    """
    kinds = {name: re.match(r"cpu|cu\d\d|[a-z]*", build) for name, build in builds.items()}
    mixed = len({kind.group() for kind in kinds.values() if kind and kind.group()}) > 1
    detail = ", ".join(f"{name} {build or 'unmarked'}" for name, build in builds.items())
    if not mixed:
        return Finding(subject="builds", state="ok", detail=detail)
    return Finding(subject="builds", state="broken", detail=f"{detail}: these do not work together", cure=_REINSTALL)


def check_import(name: str) -> Finding:
    """Whether `import name` works in this Python."""
    try:
        import_module(name)
    except Exception as error:  # whatever it is, it is the finding
        reason = (str(error).strip().splitlines() or [""])[0]
        detail = f"{type(error).__name__}: {reason}"
        cure = _REINSTALL if name in _BUILT_TOGETHER else f"pip install --force-reinstall {name}"
        return Finding(subject=f"import {name}", state="broken", detail=detail, cure=cure)
    return Finding(subject=f"import {name}", state="ok", detail="works")


def check_containers() -> Finding:
    """Whether the sound of m4a, mp4, webm, wma and videos can be decoded: what the extra `containers` is for."""
    subject, version = "sound of m4a, mp4, webm", _version("av")
    if version is None:
        cure = "pip install 'multimodal[containers]'"
        return Finding(subject=subject, state="note", detail="cannot be read: PyAV is not installed", cure=cure)
    found = check_import("av")
    detail = f"read by PyAV {version}" if found.state == "ok" else found.detail
    return Finding(subject=subject, state=found.state, detail=detail, cure=found.cure)


def check_disk(subject: str, folder: Path) -> Finding:
    """Whether the disk that holds `folder`, or will when it is made, has room for downloads and runs."""
    folder = folder.absolute()
    present = next(parent for parent in (folder, *folder.parents) if parent.exists())
    free = shutil.disk_usage(present).free
    detail = f"{free / 1e9:.1f} GB free at {folder}"
    if free < _NO_DISK:
        return Finding(subject=subject, state="broken", detail=detail, cure="free some space there")
    return Finding(subject=subject, state="note" if free < _SCARCE_DISK else "ok", detail=detail)


def _look_at_devices() -> Finding:
    import torch

    found = [f"CPU with {torch.get_num_threads()} threads"]
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        found.append(f"cuda:{index} {properties.name} with {properties.total_memory / 2**30:.0f} GiB")
    if torch.backends.mps.is_available():
        found.append("mps")
    detail = ", ".join(found)
    if shutil.which("nvidia-smi") and not torch.cuda.is_available():
        cure = "install a torch built for the driver's CUDA version, or renew the driver"
        return Finding(subject="devices", state="note", detail=f"{detail}; torch cannot use the NVIDIA GPU", cure=cure)
    return Finding(subject="devices", state="ok", detail=detail)


def _look_at_arithmetic() -> Finding:
    import torch

    from multimodal.hub.placing import best_dtype

    devices = [torch.device("cpu"), *(torch.device("cuda", i) for i in range(torch.cuda.device_count()))]
    formats = {str(device): str(best_dtype(device)).removeprefix("torch.") for device in devices}
    detail = ", ".join(f"{name} on {device}" for device, name in formats.items())
    return Finding(subject="fastest arithmetic", state="ok", detail=detail)


def _look_at_hub(*, ask: bool) -> list[Finding]:
    from huggingface_hub import constants

    disk = check_disk("disk of downloads", Path(constants.HF_HUB_CACHE))
    return [disk, check_address("model hub", constants.ENDPOINT)] if ask else [disk]


def check_address(subject: str, address: str) -> Finding:
    """Whether anything answers at `address`, be it with an HTTP error."""
    from urllib.error import HTTPError
    from urllib.request import Request, urlopen

    try:
        urlopen(Request(address, method="HEAD"), timeout=10).close()
    except HTTPError as answer:
        answer.close()
    except (OSError, ValueError) as error:  # ValueError: the variable HF_ENDPOINT holds no address
        cure = "check the connection and the proxy, or work from model folders"
        return Finding(subject=subject, state="broken", detail=f"{address}: {error}", cure=cure)
    return Finding(subject=subject, state="ok", detail=f"{address} answers")


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _requirements() -> dict[str, Any]:
    """What the installed package requires without extras: name -> `packaging` specifier set."""
    from packaging.requirements import Requirement

    if _version(_DISTRIBUTION) is None:
        return {}
    rows = [Requirement(row) for row in metadata.requires(_DISTRIBUTION) or []]
    return {row.name: row.specifier for row in rows if row.marker is None or row.marker.evaluate({"extra": ""})}


def _builds() -> dict[str, str]:
    """The build marks of torch and its companions ("+cu130" in the version), read without importing them."""
    builds = {}
    for name in _BUILT_TOGETHER:
        found = util.find_spec(name)
        places = found.submodule_search_locations if found else None
        file = Path(places[0], "version.py") if places else None
        text = file.read_text() if file and file.exists() else ""
        mark = re.search(r"^__version__ = '[^'+]+\+([\w.]+)'", text, re.MULTILINE)
        builds[name] = mark.group(1) if mark else ""
    return builds


def _system() -> str:
    return f"Python {platform.python_version()} on {platform.platform()} ({sys.prefix})"


def _table(installed: Mapping[str, str | None], findings: list[Finding]) -> str:
    accepted = {name: str(specifier) for name, specifier in _requirements().items()}
    width = max(len(name) for name in installed)
    lines = [_system(), ""]
    lines += [
        f"  {name:<{width}}  {version or 'missing':<10}  {accepted.get(name, '')}".rstrip()
        for name, version in installed.items()
    ]
    lines.append("")
    for finding in findings:
        lines.append(f"{finding.state:<6}  {finding.subject}: {finding.detail}")
        if finding.cure:
            lines.append(f"        cure: {finding.cure}")
    return "\n".join(lines)

"""config.json of a model folder, or of a part of a model: what is in it, and reading it so that nothing wrong passes.

A model that is joined of others says "kind": "full"; a part of one says "projector" or "lora", and by which bases it
becomes whole.
"""

from __future__ import annotations

import json
import math
import platform
from collections.abc import Collection, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from multimodal import __version__
from multimodal.errors import ArgumentError, DataError, nearest

FORMAT = 1  # a change that earlier versions of the package would misread adds one
CONFIG = "config.json"
CURE = "Restore it from a copy of the folder, or save the model again."
_FIELDS: dict[str, type] = {
    "format": int,
    "class": str,  # of the model
    "config": dict,  # `to_plain` of the model's config
    "card": dict,  # data fingerprint, metrics, settings: whatever training knew
    "weights": dict,  # sha256 and bytes of model.safetensors
    "versions": dict,  # of this package and those under it, for people
}
_PARTS: dict[str, type] = {  # which of them are there depends on the class
    "labels": list,
    "temperature": float,
    "tokenizer": dict,  # file names and their sha256; null: a text model without one
}
JOINED = "VisionLanguageModel"  # the class whose folders may hold a part, so that they have a kind
FULL = "full"
PART_KINDS = ("projector", "lora")
_OF_A_PART: dict[str, type] = {
    **{name: kind for name, kind in _FIELDS.items() if name != "weights"},
    "kind": str,
    "bases": dict,  # "encoder" and "language": the source of each, and sha256 of the weights that are used of it
    "files": dict,  # names of the other files and their sha256
}


def write_header(path: Path, **fields: Any) -> None:
    """Write config.json; `fields` are those above except `format` and `versions`."""
    header = {"format": FORMAT, **fields, "versions": _versions()}
    text = json.dumps(header, indent=1, ensure_ascii=False, allow_nan=False)
    path.write_bytes(text.encode("utf-8", "surrogatepass") + b"\n")  # labels may come from undecodable folder names


def is_header(path: Path) -> bool:
    """Whether `path` is a config.json of ours, sound or not, rather than another program's."""
    try:
        header = json.loads(path.read_bytes().decode("utf-8", "surrogatepass"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(header, dict) and {"format", "class", "weights"} <= header.keys()


def read_header(path: Path, *, classes: Mapping[str, tuple[str, ...]]) -> dict[str, Any]:
    """All fields of config.json, each of the right type and within its range; `config` still as plain data.

    `classes` says for each class of models which of "labels", "temperature" and "tokenizer" belong to it.

    Raises:
        DataError: anything is missing, unknown, of the wrong type, out of range, or of a newer format.
    """
    header = _opened(path)
    if header.get("kind") in PART_KINDS:
        raise DataError(
            f"{path} is of a part of a model ({header['kind']}), which `multimodal.load` puts onto its base."
        )
    _check_class(path, header["class"], classes)
    fields = {**_FIELDS, **{name: _PARTS[name] for name in classes[header["class"]]}}
    if header["class"] == JOINED and "kind" in header:
        fields["kind"] = str
    _check_fields(path, header, fields)
    _check_values(path, header)
    return header


def is_part(path: Path) -> bool:
    """Whether `path` is a config.json of ours that says it belongs to a part of a model."""
    try:
        header = json.loads(path.read_bytes().decode("utf-8", "surrogatepass"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(header, dict) and {"format", "class", "kind"} <= header.keys() and header["kind"] != FULL


def read_part(path: Path) -> dict[str, Any]:
    """All fields of config.json of a part, each of the right type; `config` still as plain data.

    Raises:
        DataError: as for `read_header`.
    """
    header = _opened(path)
    _check_class(path, header["class"], (JOINED,))
    kind = header.get("kind")
    if kind not in PART_KINDS:
        raise DataError(f"{path}: kind is {_brief(kind)}; it must be one of {', '.join((FULL, *PART_KINDS))}. {CURE}")
    _check_fields(path, header, _OF_A_PART)
    for name in ("encoder", "language"):
        base = header["bases"].get(name)
        if not (isinstance(base, dict) and all(_is(base.get(field), str) for field in ("source", "sha256"))):
            raise DataError(f"{path}: bases.{name} is {_brief(base)}; it must have a source and a sha256. {CURE}")
    return header


def plain_card(value: Any, where: str = "card") -> Any:
    """`value` as JSON holds it: tuples become lists, and numbers that are not finite become null.

    Raises:
        ArgumentError: it holds anything but numbers, strings, None, lists, tuples and dicts with string keys.
    """
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str):
                raise ArgumentError(f"{where} has the key {key!r}; keys must be strings.")
        return {key: plain_card(item, f"{where}.{key}") for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain_card(item, f"{where}[{i}]") for i, item in enumerate(value)]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int | str):
        return value
    raise ArgumentError(f"{where} is {_brief(value)}; a card holds numbers, strings, None, lists and dicts only.")


def _opened(path: Path) -> dict[str, Any]:
    """The JSON object in `path`, of a format that this version reads."""
    try:
        header = json.loads(path.read_bytes().decode("utf-8", "surrogatepass"))
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}. {CURE}") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is not JSON: {error}. {CURE}") from error
    if not isinstance(header, dict) or not {"format", "class"} <= header.keys():
        raise DataError(f"{path} is not the config of a model folder: it has no fields 'format' and 'class'.")
    if isinstance(header["format"], int) and header["format"] > FORMAT:
        raise DataError(
            f"{path}: format is {header['format']}, which a newer version of multimodal wrote; this one "
            f"({__version__}) reads up to {FORMAT}. Upgrade multimodal."
        )
    return header


def _check_fields(path: Path, header: Mapping[str, Any], fields: Mapping[str, type]) -> None:
    for name in header:
        if name not in fields:
            raise DataError(f"{path}: {name} is not a field of a model folder.{nearest(name, fields)} {CURE}")
    for name, kind in fields.items():
        if name not in header:
            raise DataError(f"{path}: {name} is missing. {CURE}")
        if not _is(header[name], kind) and not (name == "tokenizer" and header[name] is None):
            raise DataError(f"{path}: {name} is {_brief(header[name])}; it must be of type {kind.__name__}. {CURE}")


def _check_class(path: Path, name: Any, classes: Collection[str]) -> None:
    if not isinstance(name, str) or name not in classes:
        near = nearest(str(name), classes)
        raise DataError(f"{path}: class is {_brief(name)}; it must be one of {', '.join(classes)}.{near} {CURE}")


def _check_values(path: Path, header: dict[str, Any]) -> None:
    if header["format"] < 1:
        raise DataError(f"{path}: format is {header['format']}; it must be from 1 to {FORMAT}. {CURE}")
    if header.get("kind", FULL) != FULL:
        raise DataError(f"{path}: kind is {_brief(header['kind'])}; that of a whole model is {FULL!r}. {CURE}")
    temperature = header.get("temperature", 1.0)
    if not (math.isfinite(temperature) and temperature > 0):
        raise DataError(f"{path}: temperature is {temperature}; it must be above 0. {CURE}")
    for i, label in enumerate(header.get("labels", ())):
        if not isinstance(label, str):
            raise DataError(f"{path}: labels[{i}] is {_brief(label)}; it must be a string. {CURE}")
    for name, kind in (("sha256", str), ("bytes", int)):
        if not _is(header["weights"].get(name), kind):
            found = _brief(header["weights"].get(name))
            raise DataError(f"{path}: weights.{name} is {found}; it must be of type {kind.__name__}. {CURE}")


def _is(value: Any, kind: type) -> bool:
    if isinstance(value, bool):
        return False
    return isinstance(value, int | float) if kind is float else isinstance(value, kind)


def _brief(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _versions() -> dict[str, str]:
    libraries = {name: version(name) for name in ("torch", "timm", "tokenizers", "safetensors")}
    return {"multimodal": __version__, "python": platform.python_version(), **libraries}

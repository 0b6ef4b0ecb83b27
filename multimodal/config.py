"""Frozen configs to plain JSON and back, strictly.

A config is a frozen dataclass of plain data: numbers, strings, `Literal`s, tuples and other configs. `to_plain` gives
what `json.dump` writes; `from_plain` checks every name and value against the annotations, so that an edited file
is refused with a sentence instead of silently meaning something else. Where a field may hold one of several configs
(`position: RotaryConfig | AlibiConfig | None`), the class name is written as `"type"`.
"""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from functools import cache
from typing import Any, Literal, TypeVar, Union

from multimodal.errors import DataError, nearest

Config = TypeVar("Config")


def to_plain(value: Any) -> Any:
    """Dicts, lists and scalars that describe `value`, a config or a tuple of them."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {field.name: to_plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
        return {"type": type(value).__name__, **fields}
    if isinstance(value, tuple | list):
        return [to_plain(item) for item in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"A config holds plain data only, not {type(value).__name__}: {value!r}.")


def from_plain(kind: type[Config], plain: Any, *, where: str = "config") -> Config:
    """The config of class `kind` that `to_plain` wrote. `where` names the place in error messages.

    Raises:
        DataError: an unknown field (with the nearest name), a missing one, or a value of the wrong type.
    """
    return read_value(kind, plain, where)


@cache
def _hints(kind: type) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def read_value(kind: Any, plain: Any, where: str) -> Any:
    """A value of one field: `kind` is its annotation, which need not be a config.

    Raises:
        DataError: as `from_plain`.
    """
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (Union, types.UnionType):
        return _read_union(arguments, plain, where)
    if dataclasses.is_dataclass(kind):
        return _read_dataclass(kind, plain, where)
    if origin is Literal:
        if plain in arguments:
            return plain
        raise DataError(f"{where} is {plain!r}; it must be one of {', '.join(map(repr, arguments))}.")
    if origin is tuple:
        if not isinstance(plain, list):
            raise DataError(f"{where} is {plain!r}; it must be a list.")
        kinds = [arguments[0]] * len(plain) if arguments[-1] is Ellipsis else list(arguments)
        if len(kinds) != len(plain):
            raise DataError(f"{where} has {len(plain)} entries; it must have {len(kinds)}.")
        return tuple(read_value(k, item, f"{where}[{i}]") for i, (k, item) in enumerate(zip(kinds, plain, strict=True)))
    if kind is float and isinstance(plain, int) and not isinstance(plain, bool):
        return float(plain)
    if kind is float and isinstance(plain, float) and not math.isfinite(plain):
        raise DataError(f"{where} is {plain!r}; it must be a finite number.")
    if isinstance(kind, type) and type(plain) is kind:
        return plain
    name = getattr(kind, "__name__", str(kind))
    raise DataError(f"{where} is {plain!r}; it must be of type {name}.")


def _read_union(kinds: tuple[Any, ...], plain: Any, where: str) -> Any:
    if plain is None and type(None) in kinds:
        return None
    classes: list[Any] = [kind for kind in kinds if dataclasses.is_dataclass(kind)]
    configs = {kind.__name__: kind for kind in classes}
    if isinstance(plain, dict) and configs:
        name = plain.get("type")
        if len(configs) == 1:
            name = next(iter(configs))
        if not isinstance(name, str) or name not in configs:
            raise DataError(
                f"{where} has type {name!r}; it must be one of {', '.join(configs)}.{nearest(str(name), configs)}"
            )
        return _read_dataclass(configs[name], plain, where)
    for kind in kinds:
        try:
            return read_value(kind, plain, where)
        except DataError:
            continue
    raise DataError(f"{where} is {plain!r}; it must be one of {', '.join(map(str, kinds))}.")


def _read_dataclass(kind: Any, plain: Any, where: str) -> Any:
    if not isinstance(plain, dict):
        raise DataError(f"{where} is {plain!r}; it must be an object with the fields of {kind.__name__}.")
    if plain.get("type", kind.__name__) != kind.__name__:
        raise DataError(f"{where} has type {plain['type']!r}; it must be {kind.__name__!r}.")
    fields = {field.name: field for field in dataclasses.fields(kind)}
    for name in plain:
        if name not in fields and name != "type":
            raise DataError(f"{where}.{name} is not a field of {kind.__name__}.{nearest(name, fields)}")
    values = {}
    for name, field in fields.items():
        if name in plain:
            values[name] = read_value(_hints(kind)[name], plain[name], f"{where}.{name}")
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise DataError(f"{where}.{name} is missing; {kind.__name__} needs it.")
    return kind(**values)

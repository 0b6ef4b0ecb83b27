"""The tensors of a folder of safetensors, one file or many, read one by one: a model never is in memory twice.

Each tensor is mapped, cast, copied and let go before the next, the largest first: of what is mapped only a small part
is left when memory is nearly full.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from multimodal.errors import DataError
from multimodal.hub.files import first_line, no_weights, read_json
from multimodal.progress import track

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
_AGAIN = "Copy the whole folder again, or download it again."


@dataclass(frozen=True)
class Stored:
    """Where a tensor is, what it is called there, and how many numbers it has."""

    file: Path
    key: str
    count: int


def shards_of(index: Path) -> list[str]:
    """The names of the files that an index names.

    Raises:
        DataError: the index is missing or damaged, or names files outside of its folder.
    """
    places = read_json(index).get("weight_map")
    if not isinstance(places, dict) or not places or not all(isinstance(name, str) for name in places.values()):
        raise DataError(f"{index} has no weight_map, which says in which file each tensor is. {_AGAIN}")
    for name in places.values():
        if PurePath(name).name != name or "\\" in name:
            raise DataError(f"{index} names the file {name!r}, which is not one of its folder. {_AGAIN}")
    return sorted(set(places.values()))


def find_tensors(folder: Path) -> dict[str, Stored]:
    """The tensors of `folder`, in one file or in those that its index names; nothing of them is read yet.

    Raises:
        DataError: a file is missing or damaged, or holds other tensors than the index says.
    """
    index = folder / INDEX
    sharded = not (folder / WEIGHTS).exists() and index.exists()
    if not sharded and not (folder / WEIGHTS).exists():
        raise no_weights(folder, WEIGHTS)
    found: dict[str, Stored] = {}
    for name in shards_of(index) if sharded else [WEIGHTS]:
        try:
            with safe_open(folder / name, framework="pt") as file:
                for key in file.keys():  # noqa: SIM118 not a dict
                    if key in found:
                        raise DataError(f"{folder / name} and {found[key].file.name} both hold {key!r}. {_AGAIN}")
                    found[key] = Stored(folder / name, key, math.prod(file.get_slice(key).get_shape()))
        except FileNotFoundError as error:
            raise DataError(f"{folder / name} is missing. {_AGAIN}") from error
        except (OSError, SafetensorError) as error:
            raise DataError(f"{folder / name} cannot be read: {first_line(error)} {_AGAIN}") from error
    lost = [key for key in read_json(index)["weight_map"] if key not in found] if sharded else []
    if lost:
        raise DataError(f"{folder} holds no {lost[0]!r}, which its {INDEX} promises. {_AGAIN}")
    return found


_PLAIN = (torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.bool)
_PLAIN = (*_PLAIN, torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)


def read_tensors(
    places: Mapping[str, Stored], *, device: torch.device, dtype: torch.dtype | None = None
) -> dict[str, Tensor]:
    """The tensors at `places`, on `device`, floats as `dtype` (None: as stored); names may differ from the files'.

    Raises:
        DataError: a tensor that is not a number somewhere, or too large for `dtype`.
    """
    order = sorted(places, key=lambda name: -places[name].count)
    found = {}
    for name in track(order, len(order), "Reading weights"):
        with safe_open(places[name].file, framework="pt") as file:  # anew for each: closing it frees what was mapped
            stored = file.get_tensor(places[name].key)
        if stored.dtype not in _PLAIN:
            raise DataError(
                f"{places[name].file}: the tensor {places[name].key!r} is stored as {str(stored.dtype)[6:]}. Quantized "
                "weights are not read; look for a copy in bfloat16 or float32."
            )
        kind = dtype if dtype is not None and stored.is_floating_point() else stored.dtype
        found[name] = stored.to(device, kind, copy=True)
        if not _finite(found[name]):
            why = "" if _finite(stored) else "holds NaN or infinity: the file is damaged, or its training had failed"
            large = f"holds numbers that {kind} cannot; load it with dtype='float32' or 'bfloat16'"
            raise DataError(f"{places[name].file}: the tensor {places[name].key!r} {why or large}.")
    return found


def write_tensors(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Write a file of safetensors; of a tensor that is there under several names, the first alone.

    Raises:
        OSError: it cannot be written.
    """
    firsts = {(tensor.data_ptr(), tensor.shape): name for name, tensor in reversed(list(tensors.items()))}
    alone = {name: tensors[name].detach().cpu().contiguous() for name in sorted(firsts.values())}
    for name, tensor in alone.items():
        if tensor.untyped_storage().nbytes() > tensor.nbytes:  # a part of another, which the format cannot hold
            alone[name] = tensor.clone()
    try:
        save_file(alone, path, metadata={"format": "pt"})
    except SafetensorError as error:  # how it reports a full disk
        raise OSError(None, first_line(error).rstrip(".")) from error


def _finite(tensor: Tensor) -> bool:
    """Whether all numbers are; without a copy, and NaN survives the smallest and the largest."""
    if not tensor.is_floating_point() or tensor.numel() == 0:
        return True
    least, most = torch.aminmax(tensor)
    return bool(torch.isfinite(least) & torch.isfinite(most))

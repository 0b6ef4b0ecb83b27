"""Which device and which number format to compute in, from what a person writes: "auto", "cuda:1", "bf16"."""

from __future__ import annotations

import torch

from multimodal.errors import ArgumentError, nearest

_DTYPES = {
    "float32": torch.float32,
    "fp32": torch.float32,
    "bfloat16": torch.bfloat16,
    "bf16": torch.bfloat16,
    "float16": torch.float16,
    "fp16": torch.float16,
}
_DEVICES = ("auto", "cpu", "cuda", "mps")


def find_device(device: str | torch.device) -> torch.device:
    """The device called `device`; "auto" is a GPU where there is one: CUDA, then Apple's, then the CPU.

    Raises:
        ArgumentError: an unknown name, or a device that this machine does not have.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "mps" if _has_mps() else "cpu")
    kinds = _DEVICES[1:]
    kind, _, index = str(device).partition(":")
    if kind not in kinds or not (index.isdecimal() or not index):
        known = ", ".join(map(repr, _DEVICES))
        raise ArgumentError(
            f"device is {str(device)!r}; it must be one of {known}, or as 'cuda:1'.{nearest(kind, _DEVICES)}"
        )
    found = torch.device(device)
    count = {"cpu": 1, "cuda": torch.cuda.device_count(), "mps": int(_has_mps())}[found.type]
    if (found.index or 0) >= count:
        have = f"has {count} of that kind, counted from 0" if count else "has none of that kind"
        raise ArgumentError(f"device is {str(device)!r}, but this machine {have}; use 'auto' or 'cpu'.")
    return found


def find_dtype(dtype: str | torch.dtype, device: torch.device) -> torch.dtype:
    """The number format called `dtype`; "auto" is `best_dtype(device)`.

    Raises:
        ArgumentError: an unknown name, or a format that is not for weights, such as integers.
    """
    if dtype == "auto":
        return best_dtype(device)
    found = dtype if isinstance(dtype, torch.dtype) else _DTYPES.get(dtype.removeprefix("torch."))
    if found is None or not found.is_floating_point:
        names = ["auto", *_DTYPES]
        raise ArgumentError(f"dtype is {dtype!r}; it must be one of {', '.join(names)}.{nearest(str(dtype), names)}")
    return found


def best_dtype(device: torch.device) -> torch.dtype:
    """bfloat16 where `device` multiplies it faster than float32 (Ampere GPUs on, CPUs with AMX or AVX512-BF16)."""
    if device.type == "cuda":
        fast = torch.cuda.get_device_capability(device) >= (8, 0)
    elif device.type == "cpu":
        # torch has no public question for this; both have been there since 2.5.
        fast = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    else:
        fast = False
    return torch.bfloat16 if fast else torch.float32


def _has_mps() -> bool:
    return torch.backends.mps.is_available()

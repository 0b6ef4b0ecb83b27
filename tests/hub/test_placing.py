"""Devices and number formats, from what a person writes."""

from __future__ import annotations

import pytest
import torch

from multimodal.errors import ArgumentError
from multimodal.hub import best_dtype, find_device, find_dtype


def test_devices() -> None:
    assert find_device("cpu") == torch.device("cpu")
    assert find_device("auto").type in ("cpu", "cuda", "mps")
    with pytest.raises(ArgumentError, match=r"device is 'cdua'; .* Did you mean 'cuda'"):
        find_device("cdua")
    with pytest.raises(ArgumentError, match="device is 'auto:1'"):
        find_device("auto:1")
    with pytest.raises(ArgumentError, match=r"device is 'cuda:99', but this machine has"):
        find_device("cuda:99")


def test_dtypes(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu = torch.device("cpu")
    for name in ("bf16", "bfloat16", "torch.bfloat16", torch.bfloat16):
        assert find_dtype(name, cpu) == torch.bfloat16
    with pytest.raises(ArgumentError, match=r"dtype is 'bloat16'; .* Did you mean 'bfloat16'"):
        find_dtype("bloat16", cpu)
    with pytest.raises(ArgumentError, match=r"dtype is torch\.int8"):
        find_dtype(torch.int8, cpu)
    for avx, amx in ((True, False), (False, True), (False, False)):
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda avx=avx: avx)
        monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda amx=amx: amx)
        assert best_dtype(cpu) == find_dtype("auto", cpu) == (torch.bfloat16 if avx or amx else torch.float32)
    assert best_dtype(torch.device("mps")) == torch.float32

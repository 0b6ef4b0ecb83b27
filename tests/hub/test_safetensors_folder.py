"""A model never is in memory twice while it is read, whatever its number format; a tied tensor is written once."""

from __future__ import annotations

import ctypes
import gc
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from stand_ins import CPU
from tiny_text import LLAMA, llama_tensors, write_llama

from multimodal.hub import load
from multimodal.hub.safetensors_folder import find_tensors, read_tensors, write_tensors

STATUS, RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")
SIZES = {"hidden_size": 512, "vocab_size": 8000, "intermediate_size": 2048, "num_hidden_layers": 8}


def memory(field: str) -> int:
    """Bytes of this process: "VmRSS" now, "VmHWM" at the peak since `RESET`."""
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) * 1024


@pytest.fixture(scope="module", params=[torch.float32, torch.bfloat16], ids=["from float32", "from bfloat16"])
def large(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder of some 35 million numbers."""
    folder = tmp_path_factory.mktemp("large")
    (folder / "config.json").write_text(json.dumps({**LLAMA, **SIZES}))
    tensors = llama_tensors(d=512, v=8000, f=2048, layers=8)
    save_file({name: tensor.to(request.param) for name, tensor in tensors.items()}, folder / "model.safetensors")
    return folder


def loaded(folder: Path, tmp_path: Path, dtype: str) -> tuple[int, int]:
    """Bytes of the model in `folder`, and how much memory loading it took at the peak."""
    load(write_llama(tmp_path), device="cpu", dtype=dtype)  # what is imported and compiled at the first use
    gc.collect()
    getattr(ctypes.CDLL(None), "malloc_trim", lambda _: 0)(0)  # or freed memory would be used without being counted
    RESET.write_text("5")
    before = memory("VmRSS")
    model = load(folder, device="cpu", dtype=dtype)
    return sum(parameter.nbytes for parameter in model.parameters()), memory("VmHWM") - before


@pytest.mark.skipif(not RESET.exists(), reason="measured with Linux's /proc")
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_peak_memory_while_loading(large: Path, tmp_path: Path, dtype: str) -> None:
    size, peak = loaded(large, tmp_path, dtype)
    assert size > 60e6
    assert peak <= 1.15 * size


@pytest.mark.slow
@pytest.mark.skipif(not RESET.exists(), reason="measured with Linux's /proc")
def test_a_billion_numbers(tmp_path: Path) -> None:
    sizes = {"hidden_size": 2048, "vocab_size": 32_000, "intermediate_size": 8192, "num_hidden_layers": 16}
    folder = tmp_path / "large"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({**LLAMA, **sizes}))
    tensors = llama_tensors(d=2048, v=32_000, f=8192, layers=16)
    tensors = {name: tensors.pop(name).to(torch.bfloat16) for name in list(tensors)}
    save_file(tensors, folder / "model.safetensors")
    del tensors
    size, peak = loaded(folder, tmp_path / "small", "bfloat16")
    assert size > 2e9
    assert peak <= 1.15 * size, f"{peak / size:.3f}"


def test_the_largest_come_first(tmp_path: Path) -> None:
    places = find_tensors(write_llama(tmp_path))
    found = [tensor.numel() for tensor in read_tensors(places, device=torch.device("cpu")).values()]
    assert found == sorted(found, reverse=True)


def test_tensors_of_any_kind(tmp_path: Path) -> None:
    tensors = {"a": torch.arange(3), "b": torch.tensor(2.5), "c": torch.zeros(0, 4), "d": torch.tensor([True, False])}
    write_tensors(tensors, tmp_path / "model.safetensors")
    found = read_tensors(find_tensors(tmp_path), device=torch.device("cpu"), dtype=torch.bfloat16)
    assert {name: tensor.dtype for name, tensor in found.items()} == {
        "a": torch.int64,
        "d": torch.bool,
        "b": torch.bfloat16,
        "c": torch.bfloat16,
    }
    assert found["c"].shape == (0, 4) and found["a"].tolist() == [0, 1, 2] and found["b"].item() == 2.5


def test_a_tied_tensor_is_written_once_under_its_first_name(tmp_path: Path) -> None:
    tied = torch.ones(3, 2)
    write_tensors({"z": tied, "a": tied, "other": torch.ones(3, 2), "part": tied[:1]}, tmp_path / "model.safetensors")
    assert load_file(tmp_path / "model.safetensors").keys() == {"z", "other", "part"}


def test_fresh_weights_are_of_the_asked_kind(tmp_path: Path) -> None:
    model = load(write_llama(tmp_path), pretrained=False, device="cpu", dtype="bfloat16")
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}
    assert load(tmp_path, **CPU).output_weight.dtype == torch.float32

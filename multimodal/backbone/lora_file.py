"""Adapters to files and back, in the format of peft: `adapter_config.json` and `adapter_model.safetensors`.

Either library reads what the other wrote. Loading is strict, because a half-loaded adapter answers like an untrained
model and raises nothing: every layer must be there with both factors, nothing may be left over, and options that this
package does not compute are refused. Pickles (`adapter_model.bin`) are not read. What an adapter does is in `lora.py`.

Ref: file format https://huggingface.co/docs/peft/developer_guides/checkpoint
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Collection
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from multimodal.backbone.lora import LoraConfig, adapters, attach, is_named, linear_layers
from multimodal.config import from_plain
from multimodal.errors import ArgumentError, DataError

CONFIG_FILE, WEIGHTS_FILE = "adapter_config.json", "adapter_model.safetensors"
PICKLE_FILE = "adapter_model.bin"

REQUIRED = ("peft_type", "r", "lora_alpha", "target_modules")
OPTIONAL = ("lora_dropout", "use_rslora", "bias", "init_lora_weights")
KEEPS_BASE = (True, False, "gaussian", "eva", "orthogonal")  # ways to start A and B that leave the base weights alone
HARMLESS = (  # change nothing about what a plain adapter computes
    "auto_mapping",
    "base_model_name_or_path",
    "eva_config",
    "inference_mode",
    "megatron_core",
    "peft_version",
    "qalora_group_size",
    "revision",
    "task_type",
)


def save_adapter(model: nn.Module, folder: str | Path) -> None:
    """Write the adapters of `model`, without the model, into `folder`, made if needed.

    A run that is killed leaves the earlier adapter, the new one, or (between two renames) one without its config, which
    does not load; never a mixture of two.

    Raises:
        ArgumentError: the model has no adapters.
        DataError: the folder cannot be written.
    """
    layers = adapters(model)
    if not layers:
        raise ArgumentError("The model has no adapters to save; use `attach` or `load_adapter` first.")
    config = next(iter(layers.values())).config
    fields = {
        "peft_type": "LORA",
        "task_type": None,
        "base_model_name_or_path": None,
        "inference_mode": True,
        "r": config.rank,
        "lora_alpha": int(config.alpha) if config.alpha == int(config.alpha) else config.alpha,
        "lora_dropout": config.dropout,
        "use_rslora": config.rank_stabilized,
        "bias": "none",
        # In full: peft would also adapt a convolution that is called "proj" like the linear layers meant here.
        "target_modules": list(layers),
    }
    tensors = {}
    for name, layer in layers.items():
        key_a, key_b = _keys(name)
        tensors[key_a] = layer.a.weight.detach().cpu().contiguous()
        tensors[key_b] = layer.b.weight.detach().cpu().contiguous()
    _write(Path(folder), save(tensors, {"format": "pt"}), json.dumps(fields, indent=2).encode())


def load_adapter(model: nn.Module, folder: str | Path) -> list[str]:
    """Adapt the plain `model` in place with the adapter in `folder`; like `attach`, it freezes all other parameters.

    Returns:
        The names of the adapted layers.

    Raises:
        ArgumentError: the model has adapters already, or a layer that cannot be adapted.
        DataError: a file is missing or damaged, asks for more than plain LoRA, or does not fit the model.
            The model is unchanged after every error.
    """
    folder = Path(folder)
    if adapters(model):
        raise ArgumentError("The model has adapters already; `detach` them before loading others.")
    linears = linear_layers(model)
    config = _read_config(folder / CONFIG_FILE, linears)
    tensors = _read_weights(folder)
    shapes: dict[str, tuple[int, int]] = {}
    for name, linear in linears.items():
        if is_named(name, config.targets):
            key_a, key_b = _keys(name)
            shapes[key_a], shapes[key_b] = (config.rank, linear.in_features), (linear.out_features, config.rank)
    _check_fit(folder / WEIGHTS_FILE, tensors, shapes)
    names = attach(model, config)
    with torch.no_grad():
        for name, layer in adapters(model).items():
            key_a, key_b = _keys(name)
            layer.a.weight.copy_(tensors[key_a])
            layer.b.weight.copy_(tensors[key_b])
    return names


def _keys(name: str) -> tuple[str, str]:
    """What peft calls the factors A and B of a layer, inside its two wrappers of the model."""
    return f"base_model.model.{name}.lora_A.weight", f"base_model.model.{name}.lora_B.weight"


def _read_config(path: Path, names: Collection[str]) -> LoraConfig:
    """The config at `path`, its targets spelled out as those of `names` that it means."""
    try:
        fields = json.loads(_read_bytes(path))
    except ValueError as error:
        raise DataError(f"{path} is no valid JSON ({error}); the adapter is damaged, copy or save it again.") from error
    if not isinstance(fields, dict):
        raise DataError(f"{path} does not hold a JSON object; the adapter is damaged, copy or save it again.")
    _check_supported(path, fields)
    asked = fields["target_modules"]
    plain = {
        "rank": fields["r"],
        "alpha": fields["lora_alpha"],
        "dropout": fields.get("lora_dropout", 0.0),
        "rank_stabilized": fields.get("use_rslora", False),
        "targets": [asked] if isinstance(asked, str) else asked,
    }
    try:
        config = from_plain(LoraConfig, plain, where=str(path))
        # peft reads a string as a regular expression for the whole name, a list as last parts of names.
        found = [
            n for n in names if (re.fullmatch(asked, n) if isinstance(asked, str) else is_named(n, config.targets))
        ]
    except (ArgumentError, re.error) as error:
        raise DataError(f"{path} cannot be used: {error}") from error
    if not found:
        known = ", ".join(sorted({name.rpartition(".")[2] for name in names})[:20])
        raise DataError(f"target_modules in {path} is {asked!r}; the model has no such linear layers, only {known}.")
    return replace(config, targets=tuple(found))


def _check_supported(path: Path, fields: dict[str, Any]) -> None:
    """Refuse every option under which this package would compute something else than peft."""
    for name in REQUIRED:
        if name not in fields:
            raise DataError(f"{path} lacks the field {name!r}; it is no LoRA adapter or it is damaged.")
    if fields["peft_type"] != "LORA":
        raise DataError(f"{path} holds an adapter of type {fields['peft_type']!r}; only 'LORA' can be loaded.")
    if fields.get("bias", "none") != "none":
        raise DataError(f"{path} sets bias={fields['bias']!r}; only adapters that leave biases alone can be loaded.")
    start = fields.get("init_lora_weights", True)
    if start not in KEEPS_BASE:
        raise DataError(
            f"{path} sets init_lora_weights={start!r}, which changes the base weights too. "
            "Convert it to plain LoRA with peft: save_pretrained(..., path_initial_model_for_weight_conversion=...)."
        )
    for name, value in fields.items():
        if name not in (*REQUIRED, *OPTIONAL, *HARMLESS) and value:
            raise DataError(
                f"{path} sets {name}={value!r}, but only plain LoRA of linear layers can be loaded. "
                "Merge the adapter into its model with peft and load the merged model instead."
            )


def _read_weights(folder: Path) -> dict[str, Tensor]:
    path = folder / WEIGHTS_FILE
    if not path.exists() and (folder / PICKLE_FILE).exists():
        raise DataError(
            f"{folder} holds its weights as a pickle, {PICKLE_FILE}, which can run code when it is opened. "
            f"Load it with peft where you trust it, and save it again: that writes {WEIGHTS_FILE}."
        )
    try:
        return load(_read_bytes(path))
    except SafetensorError as error:
        raise DataError(f"{path} is damaged ({error}); copy or save the adapter again.") from error


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(
            f"{path} cannot be read: {error.strerror}. An adapter is a folder with {CONFIG_FILE} and {WEIGHTS_FILE}."
        ) from error


def _check_fit(path: Path, tensors: dict[str, Tensor], shapes: dict[str, tuple[int, int]]) -> None:
    """Refuse a file that does not hold exactly the factors of these shapes."""
    missing, unexpected = sorted(shapes.keys() - tensors.keys()), sorted(tensors.keys() - shapes.keys())
    if missing or unexpected:
        found = [f"{kind}: {_some(keys)}" for kind, keys in (("missing", missing), ("unexpected", unexpected)) if keys]
        raise DataError(f"{path} does not fit the linear layers of the model; {'; '.join(found)}.")
    for key, shape in shapes.items():
        if tuple(tensors[key].shape) != shape:
            raise DataError(
                f"{key} in {path} has shape {tuple(tensors[key].shape)}; the model and the adapter's rank need {shape}."
            )


def _some(keys: list[str]) -> str:
    """The first few keys, and how many more there are."""
    more = f" and {len(keys) - 3} more" if len(keys) > 3 else ""
    return ", ".join(keys[:3]) + more


def _write(folder: Path, weights: bytes, config: bytes) -> None:
    """Both files under temporary names first, so that a full disk is noticed before anything is replaced."""
    new_weights, new_config = (folder / f".{name}.{os.getpid()}" for name in (WEIGHTS_FILE, CONFIG_FILE))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        new_weights.write_bytes(weights)
        new_config.write_bytes(config)
        (folder / CONFIG_FILE).unlink(missing_ok=True)
        new_weights.replace(folder / WEIGHTS_FILE)
        new_config.replace(folder / CONFIG_FILE)
    except OSError as error:
        raise DataError(f"The adapter cannot be written to {folder}: {error.strerror}.") from error
    finally:
        with suppress(OSError):  # usually renamed by now; and what could not be written need not be removed
            new_weights.unlink(missing_ok=True)
            new_config.unlink(missing_ok=True)

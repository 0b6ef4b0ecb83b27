"""Saving a model as a folder, and loading it: strictly, without running anything that the folder holds."""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from multimodal.backbone.lora import merged_state_dict
from multimodal.checkpoint.card import model_card
from multimodal.checkpoint.fit import assign, difference, skeleton
from multimodal.checkpoint.header import CURE, is_header, plain_card, read_header, write_header
from multimodal.checkpoint.replacing import current, replacing
from multimodal.config import from_plain, to_plain
from multimodal.errors import ArgumentError, DataError
from multimodal.models.classifier import Classifier, ClassifierConfig

CONFIG, WEIGHTS, CARD = "config.json", "model.safetensors", "README.md"
_CLASSES: dict[str, type[ClassifierConfig]] = {"Classifier": ClassifierConfig}  # the name in config.json -> its config


def save(model: nn.Module, folder: str | Path) -> Path:
    """Write `model` as a model folder, replacing the model folder that may be there; the folder's full path.

    The folder is there in full or not at all, even if the program is killed. Tensors keep their dtype; LoRA adapters
    are folded into the weights.

    Raises:
        ArgumentError: another kind of model, tensors that are not those of its config, a card that is not plain data,
            or a `folder` that holds anything but a model.
        DataError: it cannot be written: no space, no permission. What was there before is unchanged.
    """
    model = getattr(model, "_orig_mod", model)  # inside torch.compile(model)
    kind, target = type(model).__name__, Path(os.path.realpath(folder))
    if not isinstance(model, Classifier) or kind not in _CLASSES:
        raise ArgumentError(f"A {kind} cannot be saved as a model folder; give one of: {', '.join(_CLASSES)}.")
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in merged_state_dict(model).items()}
    if unfit := difference(state, skeleton(model.config, model.labels).state_dict()):
        raise ArgumentError(f"The model is not what its config describes, so it could not be loaded again: {unfit}.")
    fields = {
        "class": kind,
        "config": to_plain(model.config),
        "labels": list(model.labels),
        "temperature": float(model.temperature),
        "card": plain_card(model.card),
    }
    with replacing(target, files=(CONFIG, WEIGHTS, CARD)) as fresh:
        _write_weights(state, fresh / WEIGHTS)
        weights = {"sha256": _sha256(fresh / WEIGHTS), "bytes": (fresh / WEIGHTS).stat().st_size}
        write_header(fresh / CONFIG, **fields, weights=weights)
        (fresh / CARD).write_text(
            model_card(model, fields["card"], weights["bytes"]), encoding="utf-8", errors="replace"
        )
    return target


def load_folder(
    folder: str | Path, *, device: str | torch.device = "cpu", dtype: torch.dtype | None = None
) -> Classifier:
    """The model of a folder that `save` wrote, in eval mode; with `dtype` None as it was saved.

    Raises:
        DataError: not a model folder, a missing or damaged file, a config or labels that do not fit the weights, or
            a folder that a newer version wrote.
    """
    root = _find(Path(folder))
    path = root / CONFIG
    header = read_header(path, classes=tuple(_CLASSES))
    try:
        config = from_plain(_CLASSES[header["class"]], header["config"], where="config")
    except (ArgumentError, DataError) as error:
        raise DataError(f"{path}: {error} {CURE}") from error
    labels = header["labels"]
    if len(labels) != config.classes:
        raise DataError(f"{path}: labels has {len(labels)} entries and config.classes is {config.classes}. {CURE}")
    try:
        model = skeleton(config, labels)
    except Exception as error:  # an edited config can fail in as many ways as there are layers
        raise DataError(f"{path} describes a model that cannot be built: {_sentence(error)} {CURE}") from error
    state = _read_weights(root, header["weights"])
    if unfit := difference(state, model.state_dict()):
        raise DataError(f"{path} does not fit {WEIGHTS}: {unfit}. {CURE}")
    assign(model, state, torch.device(device), dtype)
    model.temperature, model.card = float(header["temperature"]), header["card"]
    return model.eval()


def is_model_folder(folder: str | Path) -> bool:
    """Whether `folder` is one for `load_folder`, sound or damaged, and not another program's."""
    return is_header(current(folder) / CONFIG)


def _find(folder: Path) -> Path:
    """The folder to read, after the errors that people make about where a model is."""
    root = current(folder)
    if root != folder:
        warnings.warn(
            f"{folder} was being replaced when the program was stopped; its previous model, {root}, is loaded.",
            stacklevel=3,
        )
    if not root.exists():
        raise DataError(f"The model folder {folder} does not exist; check the path.")
    if not root.is_dir():
        raise DataError(f"{folder} is a file; give the model folder that holds {CONFIG} and {WEIGHTS}.")
    if not (root / CONFIG).exists():
        inner = next((path for path in sorted(root.glob("*")) if is_header(path / CONFIG)), None)
        advice = f"Did you mean {inner}?" if inner else f"It is missing {CONFIG}: copy the whole folder again."
        raise DataError(f"{folder} is not a model folder. {advice}")
    return root


def _write_weights(state: Mapping[str, Tensor], path: Path) -> None:
    try:
        save_file(dict(state), path, metadata={"format": "pt"})
    except SafetensorError as error:  # how it reports a full disk
        raise OSError(None, _sentence(error).rstrip(".")) from error


def _read_weights(root: Path, expected: Mapping[str, Any]) -> dict[str, Tensor]:
    """The tensors of a file whose size and checksum are as `expected`; they are mapped, not yet read."""
    path = root / WEIGHTS
    try:
        size = path.stat().st_size
        if size != expected["bytes"]:
            raise DataError(f"{path} is damaged: it has {size:,} bytes and should have {expected['bytes']:,}. {CURE}")
        if _sha256(path) != expected["sha256"]:
            raise DataError(f"{path} is damaged: its checksum is not weights.sha256 of {CONFIG}. {CURE}")
        return load_file(path)
    except FileNotFoundError as error:
        raise DataError(f"{path} is missing. {CURE}") from error
    except (OSError, SafetensorError) as error:
        raise DataError(f"{path} cannot be read: {_sentence(error)} {CURE}") from error


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sentence(error: Exception) -> str:
    """The first line of what an error says, with a full stop."""
    text = str(error).strip().split("\n")[0].rstrip(".")
    return f"{text or type(error).__name__}."

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
from multimodal.checkpoint.fit import assign, difference, not_finite, skeleton
from multimodal.checkpoint.header import CURE, is_header, plain_card, read_header, write_header
from multimodal.checkpoint.kinds import KINDS, AnyConfig, AnyModel, vocabulary_of
from multimodal.checkpoint.replacing import current, replacing
from multimodal.config import from_plain, to_plain
from multimodal.errors import ArgumentError, DataError
from multimodal.models.classifier import Classifier
from multimodal.models.text_heads import TextClassifier
from multimodal.tokenizers import text_json, text_settings
from multimodal.tokenizers.text import TextTokenizer

CONFIG, WEIGHTS, CARD = "config.json", "model.safetensors", "README.md"
TOKENIZER = (text_json.FILE, text_settings.CONFIG)


def save(model: nn.Module, folder: str | Path) -> Path:
    """Write `model` as a model folder, replacing the model folder that may be there; the folder's full path.

    The folder is there in full or not at all, even if the program is killed. Tensors keep their dtype; LoRA adapters
    are folded into the weights.

    Raises:
        ArgumentError: another kind of model, tensors that are not those of its config or not finite, a card that is not
            plain data, or a `folder` that holds anything but a model.
        DataError: a tokenizer that does not belong to the model, or a folder that cannot be written to: no space, no
            permission. What was there before is unchanged.
    """
    plain: Any = getattr(model, "_orig_mod", model)  # inside torch.compile(model)
    name, target = type(plain).__name__, Path(os.path.realpath(folder))
    kind = KINDS.get(name)
    if kind is None or not isinstance(getattr(plain, "config", None), kind.config):
        raise ArgumentError(f"A {name} cannot be saved as a model folder; give one of: {', '.join(KINDS)}.")
    state = {key: tensor.detach().cpu().contiguous() for key, tensor in merged_state_dict(plain).items()}
    labels, tokenizer = getattr(plain, "labels", None), getattr(plain, "tokenizer", None)
    if unfit := difference(state, skeleton(plain.config, labels).state_dict()):
        raise ArgumentError(f"The model is not what its config describes, so it could not be loaded again: {unfit}.")
    if broken := not_finite(state):
        raise ArgumentError(
            f"The tensor {broken!r} holds NaN or infinity, so the model is useless and is not saved; if it was being "
            "trained, try a lower learning rate."
        )
    if tokenizer is not None:
        tokenizer.fits(vocabulary_of(plain.config))
    fields: dict[str, Any] = {"class": name, "config": to_plain(plain.config), "card": plain_card(plain.card)}
    if "labels" in kind.parts:
        fields["labels"] = list(plain.labels)
    if "temperature" in kind.parts:
        fields["temperature"] = float(plain.temperature)
    with replacing(target, files=(CONFIG, WEIGHTS, CARD, *TOKENIZER)) as fresh:
        _write_weights(state, fresh / WEIGHTS)
        if "tokenizer" in kind.parts:
            fields["tokenizer"] = _write_tokenizer(tokenizer, fresh)
        weights = {"sha256": _sha256(fresh / WEIGHTS), "bytes": (fresh / WEIGHTS).stat().st_size}
        write_header(fresh / CONFIG, **fields, weights=weights)
        (fresh / CARD).write_text(
            model_card(plain, fields["card"], weights["bytes"]), encoding="utf-8", errors="replace"
        )
    return target


def load_folder(
    folder: str | Path, *, device: str | torch.device = "cpu", dtype: torch.dtype | None = None
) -> AnyModel:
    """The model of a folder that `save` wrote, in eval mode; with `dtype` None as it was saved.

    Raises:
        DataError: not a model folder, a missing or damaged file, a config, labels or tokenizer that do not fit the
            weights, weights that are not finite, or a folder that a newer version wrote.
    """
    root = _find(Path(folder))
    path = root / CONFIG
    header = read_header(path, classes={name: kind.parts for name, kind in KINDS.items()})
    try:
        config: Any = from_plain(KINDS[header["class"]].config, header["config"], where="config")
    except (ArgumentError, DataError) as error:
        raise DataError(f"{path}: {error} {CURE}") from error
    labels = header.get("labels")
    if labels is not None and len(labels) != config.classes:
        raise DataError(f"{path}: labels has {len(labels)} entries and config.classes is {config.classes}. {CURE}")
    tokenizer = _read_tokenizer(root, header["tokenizer"], config) if header.get("tokenizer") is not None else None
    try:
        model = skeleton(config, labels, tokenizer)
    except Exception as error:  # an edited config can fail in as many ways as there are layers
        raise DataError(f"{path} describes a model that cannot be built: {_sentence(error)} {CURE}") from error
    state = _read_weights(root, header["weights"])
    if unfit := difference(state, model.state_dict()):
        raise DataError(f"{path} does not fit {WEIGHTS}: {unfit}. {CURE}")
    if broken := not_finite(state):
        raise DataError(f"{root / WEIGHTS}: the tensor {broken!r} holds NaN or infinity. {CURE}")
    assign(model, state, torch.device(device), dtype)
    model.card = header["card"]
    if isinstance(model, Classifier | TextClassifier):
        model.temperature = float(header["temperature"])
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


def _write_tokenizer(tokenizer: TextTokenizer | None, folder: Path) -> dict[str, str] | None:
    """Write the files of the tokenizer; their names and checksums."""
    if tokenizer is None:
        return None
    tokenizer.save(folder)
    return {name: _sha256(folder / name) for name in TOKENIZER}


def _read_tokenizer(root: Path, expected: Mapping[str, Any], config: AnyConfig) -> TextTokenizer:
    """The tokenizer of files whose checksums are as `expected`, if it belongs to a model of `config`."""
    for name in TOKENIZER:
        path = root / name
        try:
            if _sha256(path) != expected.get(name):
                raise DataError(f"{path} is damaged or was changed: its checksum is not that of {CONFIG}. {CURE}")
        except FileNotFoundError as error:
            raise DataError(f"{path} is missing. {CURE}") from error
        except OSError as error:
            raise DataError(f"{path} cannot be read: {_sentence(error)} {CURE}") from error
    tokenizer = TextTokenizer.load(root)
    try:
        tokenizer.fits(vocabulary_of(config))
    except DataError as error:
        raise DataError(f"{root}: {error}") from error
    return tokenizer


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sentence(error: Exception) -> str:
    """The first line of what an error says, with a full stop."""
    text = str(error).strip().split("\n")[0].rstrip(".")
    return f"{text or type(error).__name__}."

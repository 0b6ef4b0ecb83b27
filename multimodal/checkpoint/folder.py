"""Saving a model as a folder, and loading it: strictly, without running anything that the folder holds."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import nn

from multimodal.backbone.lora import merged_state_dict
from multimodal.checkpoint.card import model_card
from multimodal.checkpoint.files import (
    TOKENIZER,
    read_tokenizer,
    read_weights,
    sentence,
    sha256_of,
    write_tokenizer,
    write_weights,
)
from multimodal.checkpoint.fit import assign, difference, not_finite, skeleton
from multimodal.checkpoint.header import CONFIG, CURE, FULL, JOINED, is_header, plain_card, read_header, write_header
from multimodal.checkpoint.kinds import KINDS, AnyModel, vocabulary_of
from multimodal.checkpoint.replacing import current, replacing
from multimodal.config import from_plain, to_plain
from multimodal.errors import ArgumentError, DataError
from multimodal.models.classifier import Classifier
from multimodal.models.text_heads import TextClassifier

WEIGHTS, CARD = "model.safetensors", "README.md"


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
    if name == JOINED:
        fields = {"kind": FULL, **fields}
    if "labels" in kind.parts:
        fields["labels"] = list(plain.labels)
    if "temperature" in kind.parts:
        fields["temperature"] = float(plain.temperature)
    with replacing(target, files=(CONFIG, WEIGHTS, CARD, *TOKENIZER)) as fresh:
        write_weights(state, fresh / WEIGHTS)
        if "tokenizer" in kind.parts:
            fields["tokenizer"] = write_tokenizer(tokenizer, fresh)
        weights = {"sha256": sha256_of(fresh / WEIGHTS), "bytes": (fresh / WEIGHTS).stat().st_size}
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
    tokenizer = (
        read_tokenizer(root, header["tokenizer"], vocabulary_of(config))
        if header.get("tokenizer") is not None
        else None
    )
    try:
        model = skeleton(config, labels, tokenizer)
    except Exception as error:  # an edited config can fail in as many ways as there are layers
        raise DataError(f"{path} describes a model that cannot be built: {sentence(error)} {CURE}") from error
    state = read_weights(root / WEIGHTS, header["weights"])
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

"""Every setting of a fine-tuning run, in small frozen groups, and their flat names for people.

`mm.finetune(folder, lr=1e-4, mixup=0.2)` and `--lr 1e-4 --mixup 0.2` set fields of these groups by name; what is not
set is chosen from the data in `defaults.py`. The resolved whole is written to the run folder.
"""

from __future__ import annotations

import dataclasses
import math
import typing
from dataclasses import dataclass
from typing import Any, Literal

from multimodal.config import read_value
from multimodal.data.images.augment import AugmentConfig
from multimodal.errors import ArgumentError, DataError, nearest
from multimodal.tasks.optimizer import OptimizerConfig


@dataclass(frozen=True, kw_only=True)
class AdaptConfig:
    """What of the model is trained, and how images reach it."""

    method: Literal["full", "linear", "lora"] = "full"
    rank: int = 8  # of LoRA's matrices
    unfreeze: int = (
        0  # epochs between unfreezing one more stage, from the last (ULMFiT arXiv:1801.06146); 0: all at once
    )
    drop_path: float = 0.0
    dropout: float = 0.0  # in front of the head
    image_size: int = 224  # px
    resize: Literal["crop", "pad", "squash"] = "crop"


@dataclass(frozen=True, kw_only=True)
class LossConfig:
    """What is minimised."""

    smoothing: float = 0.0
    mixup: float = 0.0
    cutmix: float = 0.0
    balance: float = 0.0  # weight of a class: its share of the images to the power of minus this; 1: all classes alike


@dataclass(frozen=True, kw_only=True)
class LoopConfig:
    """How long and how training runs."""

    epochs: int = 10
    batch_size: int = 32  # images an optimizer step and device
    accumulate: int = 1  # parts that a batch is cut into where memory is short; the optimizer step stays the same
    clip: float = 1.0  # largest norm of the gradient; 0: no limit
    ema: float = 0.0  # decay of the exponential moving average of weights that is kept; 0: none
    patience: int = 0  # epochs without improvement before training stops; 0: never
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    compile: bool = False
    workers: int = -1  # processes that read images; -1: chosen by the machine
    save_every: float = 60.0  # seconds between checkpoints inside an epoch


@dataclass(frozen=True, kw_only=True)
class FinetuneConfig:
    """All settings of a run."""

    adapt: AdaptConfig = AdaptConfig()
    augment: AugmentConfig = AugmentConfig()
    loss: LossConfig = LossConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    loop: LoopConfig = LoopConfig()
    val_fraction: float = 0.2  # part of the training images held out where the data have no validation split
    seed: int = 0
    baseline: bool = True  # measure nearest class means of the untrained features first


def options() -> dict[str, tuple[str | None, dataclasses.Field[Any]]]:
    """Flat name to (group in `FinetuneConfig` or None, field), for every setting."""
    found: dict[str, tuple[str | None, dataclasses.Field[Any]]] = {}
    for field in dataclasses.fields(FinetuneConfig):
        if dataclasses.is_dataclass(field.default):
            found |= {inner.name: (field.name, inner) for inner in dataclasses.fields(field.default)}
        else:
            found[field.name] = (None, field)
    return found


def kinds() -> dict[str, Any]:
    """Flat name to annotated type."""
    classes = {None: FinetuneConfig} | {
        field.name: type(field.default)
        for field in dataclasses.fields(FinetuneConfig)
        if dataclasses.is_dataclass(field.default)
    }
    return {name: typing.get_type_hints(classes[group])[name] for name, (group, _) in options().items()}


def override(config: FinetuneConfig, values: dict[str, Any]) -> FinetuneConfig:
    """`config` with the settings `values`, by flat name.

    Raises:
        ArgumentError: an unknown name (with the nearest), a value of the wrong type or out of range.
    """
    known = options()
    for name in values:
        if name not in known:
            raise ArgumentError(f"{name} is not a setting of fine-tuning.{nearest(name, known)}")
    groups: dict[str, dict[str, Any]] = {}
    top: dict[str, Any] = {}
    hints = kinds()
    for name, value in values.items():
        plain = list(value) if isinstance(value, tuple) else value
        try:
            checked = read_value(hints[name], plain, name)
        except DataError as error:
            raise ArgumentError(str(error)) from None
        group = known[name][0]
        (top if group is None else groups.setdefault(group, {}))[name] = checked
    changed = {name: dataclasses.replace(getattr(config, name), **fields) for name, fields in groups.items()}
    return check(dataclasses.replace(config, **changed, **top))


def check(config: FinetuneConfig) -> FinetuneConfig:
    """`config` itself.

    Raises:
        ArgumentError: a number out of its range, with the range.
    """
    parts = {"balance", "flip", "erase", "jitter", "final_lr"}
    proper_parts = {"drop_path", "dropout", "smoothing", "ema"}  # at 1 nothing would be learned
    at_least_one = {"epochs", "batch_size", "accumulate", "rank", "image_size"}
    for name, (group, _) in options().items():
        value = getattr(getattr(config, group) if group else config, name)
        if isinstance(value, float) and not math.isfinite(value):
            raise ArgumentError(f"{name} is {value}; it must be a finite number.")
        if name in proper_parts and not 0 <= value < 1:
            raise ArgumentError(f"{name} is {value}; it must lie between 0 and 1, and below 1.")
        if name in parts and not 0 <= value <= 1:
            raise ArgumentError(f"{name} is {value}; it must lie between 0 and 1.")
        if name in at_least_one and value < 1:
            raise ArgumentError(f"{name} is {value}; it must be at least 1.")
        if name in ("mixup", "cutmix", "clip", "patience", "unfreeze", "weight_decay", "save_every") and value < 0:
            raise ArgumentError(f"{name} is {value}; it must not be negative.")
    for name, value, least, most in (
        ("image_size", config.adapt.image_size, 1, 4096),
        ("workers", config.loop.workers, -1, 256),
        ("seed", config.seed, 0, 2**32 - 1),
        ("randaugment", config.augment.randaugment, 0, 30),
    ):
        if not least <= value <= most:
            raise ArgumentError(f"{name} is {value}; it must lie between {least} and {most}.")
    if not 0 < config.val_fraction < 1:
        raise ArgumentError(f"val_fraction is {config.val_fraction}; it must lie between 0 and 1.")
    if not 0 < config.augment.scale <= 1:
        raise ArgumentError(f"scale is {config.augment.scale}; it must be above 0 and at most 1.")
    if config.loop.accumulate > config.loop.batch_size:
        raise ArgumentError(
            f"accumulate is {config.loop.accumulate}; it cuts a batch and cannot exceed "
            f"batch_size={config.loop.batch_size}."
        )
    return config

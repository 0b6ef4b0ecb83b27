"""The Trainer of a fine-tuning run: callbacks, precision, memory, and the best weights at the end."""

from __future__ import annotations

import logging
import threading
import warnings
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import (
    Callback,
    EarlyStopping,
    EMAWeightAveraging,
    ModelCheckpoint,
)
from lightning.pytorch.loggers import TensorBoardLogger

from multimodal.backbone.lora import merged_state_dict
from multimodal.checkpoint.fit import difference
from multimodal.data.images.data_modules import LabeledImageData
from multimodal.data.images.samples import LabeledImages
from multimodal.errors import ArgumentError, DataError
from multimodal.finetuning.callbacks import GradualUnfreezing, History, Saver
from multimodal.finetuning.progress_bar import ProgressBar
from multimodal.finetuning.settings import FinetuneConfig
from multimodal.hub import best_dtype
from multimodal.models.classifier import Classifier
from multimodal.tasks.classification import ClassificationTask, ObjectiveConfig
from multimodal.tasks.mixing import MixConfig

MONITOR = "val_score"  # see ClassificationTask.on_validation_epoch_end


def make_task(model: Classifier, images: LabeledImages, config: FinetuneConfig) -> ClassificationTask:
    """The task that `config` describes."""
    loss = config.loss
    objective = ObjectiveConfig(
        smoothing=loss.smoothing,
        mix=MixConfig(mixup=loss.mixup, cutmix=loss.cutmix),
        class_weights=class_weights(images, loss.balance),
    )
    return ClassificationTask(
        model,
        objective=objective,
        optimizer=config.optimizer,
        train_encoder=config.adapt.method != "linear",
        seed=config.seed,
    )


def class_weights(images: LabeledImages, power: float) -> tuple[float, ...]:
    """Weight of each class: (its number of images, relative to the mean) to the power of `-power`; (): all alike."""
    if power == 0:
        return ()
    counts = torch.zeros(len(images.labels))
    for sample in images.splits["train"]:
        counts[list(sample.labels)] += 1
    return tuple((counts.clamp(min=1) / counts.clamp(min=1).mean()).pow(-power).tolist())


def loaders(images: LabeledImages, config: FinetuneConfig) -> LabeledImageData:
    """The data module that `config` describes."""
    workers = config.loop.workers if config.loop.workers >= 0 else None
    batch = max(1, config.loop.batch_size // config.loop.accumulate)
    return LabeledImageData(images, batch_size=batch, augment=config.augment, workers=workers, seed=config.seed)


def parts_that_fit(task: ClassificationTask, config: FinetuneConfig, device: torch.device) -> int:
    """Into how many parts a batch must be cut so that a training step fits into memory (at least `accumulate`).

    Tries a step on random pixels, with its optimizer's memory, and cuts the batch in halves until one fits.

    Raises:
        ArgumentError: the model does not take images of this size.
        DataError: not even one image fits.
    """
    loop, size = config.loop, task.model.transform.config.size
    parts = loop.accumulate
    while True:
        batch = max(1, loop.batch_size // parts)
        try:
            _trial_step(task, batch, size, device)
            return parts
        except torch.OutOfMemoryError:
            if batch == 1:
                raise DataError(
                    f"Not even one image of {size[0]} x {size[1]} px fits into the memory of {device}; "
                    "use a smaller model, a smaller image_size or method='linear'."
                ) from None
            parts = min(parts * 2, loop.batch_size)
        finally:
            task.zero_grad(set_to_none=True)
            if device.type == "cuda":
                torch.cuda.empty_cache()


def _trial_step(task: ClassificationTask, batch: int, size: tuple[int, int], device: torch.device) -> None:
    task.to(device).train()
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        pixels = torch.randint(0, 256, (batch, 3, *size), dtype=torch.uint8, device=device)
        reserve = [torch.empty_like(p) for p in task.parameters() for _ in range(2) if p.requires_grad]  # AdamW's
        try:
            logits = task.model(pixels)
        except (RuntimeError, AssertionError) as error:
            if isinstance(error, torch.OutOfMemoryError):
                raise
            raise ArgumentError(f"The model does not take images of {size[0]} x {size[1]} px: {error}") from error
        logits.float().sum().backward()
        del reserve


def fit(task: ClassificationTask, data: LabeledImageData, config: FinetuneConfig, out: Path) -> History:
    """Train until done, from the last checkpoint of `out` if there is one; the model then has the best weights.

    Returns the history.
    """
    checkpoints = out / "checkpoints"
    checkpoints.mkdir(parents=True, exist_ok=True)
    last = checkpoints / "last.ckpt"
    history = History(out / "metrics.csv")
    best = ModelCheckpoint(
        dirpath=checkpoints,
        filename="best",
        monitor=MONITOR,
        mode="max",
        save_weights_only=True,
        enable_version_counter=False,
    )
    callbacks: list[Callback] = [history, best, Saver(last, config.loop.save_every)]
    callbacks += _optional(config)
    if config.loop.compile:
        compile_blocks(task.model)
    with _quiet():
        trainer = Trainer(
            accelerator="auto",
            devices=1,
            precision=lightning_precision(config, task.model),
            max_epochs=config.loop.epochs,
            gradient_clip_val=config.loop.clip or None,
            accumulate_grad_batches=config.loop.accumulate,
            callbacks=callbacks,
            logger=TensorBoardLogger(out, name="tensorboard", version=""),
            enable_model_summary=False,
            num_sanity_val_steps=0,
            log_every_n_steps=10,
            use_distributed_sampler=False,
        )
        if last.exists():
            _read_checkpoint(last, task)
        trainer.fit(task, datamodule=data, ckpt_path=last if last.exists() else None, weights_only=True)
    if trainer.interrupted:
        raise KeyboardInterrupt
    task.load_state_dict(_read_checkpoint(Path(best.best_model_path), task))
    return history


def _read_checkpoint(path: Path, task: ClassificationTask) -> dict[str, Any]:
    """The weights in a checkpoint of `task`.

    Raises:
        DataError: it is missing or damaged, or belongs to other labels or another model.
    """
    try:
        state = torch.load(path, weights_only=True, map_location="cpu")["state_dict"]
    except (OSError, EOFError, RuntimeError, KeyError, TypeError, UnpicklingError) as error:
        raise DataError(f"{path} is damaged or missing; set overwrite to start the run anew.") from error
    if unfit := difference(state, task.state_dict()):
        raise DataError(f"{path} does not belong to this model and these labels: {unfit}; set overwrite to start anew.")
    return state


def _optional(config: FinetuneConfig) -> list[Callback]:
    callbacks: list[Callback] = [ProgressBar()]
    if config.loop.ema:
        callbacks.append(EMAWeightAveraging(decay=config.loop.ema))
    if config.loop.patience:
        callbacks.append(
            EarlyStopping(MONITOR, mode="max", patience=config.loop.patience, check_on_train_epoch_end=False)
        )
    if config.adapt.unfreeze:
        callbacks.append(GradualUnfreezing(config.adapt.unfreeze))
    return callbacks


def trained(task: ClassificationTask, config: FinetuneConfig) -> Classifier:
    """The trained classifier as a plain model: adapters merged into the weights, nothing dropped while training."""
    model = task.model.cpu()
    if config.adapt.method == "lora":
        plain = model.config.build(model.labels)
        plain.load_state_dict(merged_state_dict(model))
        model = plain
    model.requires_grad_(True)
    return model.eval()


def lightning_precision(config: FinetuneConfig, model: Classifier) -> Any:
    """Lightning's name of the precision; "auto" is bf16 where this machine is fast at it and the model large enough."""
    choice = config.loop.precision
    if choice == "auto":
        wide = model.encoder.width >= 192  # below, converting costs more than the product saves
        choice = "bf16" if wide and best_dtype(torch.device(device_name())) == torch.bfloat16 else "fp32"
    return {"bf16": "bf16-mixed", "fp32": "32-true"}[choice]


def device_name() -> str:
    """What Lightning's `accelerator="auto"` picks."""
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def compile_blocks(model: Classifier) -> None:
    """Compile each block (they share one compilation), or the whole of a wrapped encoder; names stay as they are."""
    backbone = getattr(model.encoder, "backbone", None)
    for module in backbone.blocks if backbone is not None else [model.encoder]:
        module.compile()


class _quiet:
    """Without Lightning's lines on devices and workers; its errors and everybody else's warnings stay.

    Nor with the traceback of TensorBoard's thread when the disk is full: the next write raises its error here.
    """

    def __enter__(self) -> None:
        self.loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
        self.levels = [logger.level for logger in self.loggers]
        for logger in self.loggers:
            logger.setLevel(logging.ERROR)
        self.hook = threading.excepthook
        threading.excepthook = lambda failed: None if isinstance(failed.exc_value, OSError) else self.hook(failed)
        self.warnings = warnings.catch_warnings()
        self.warnings.__enter__()
        warnings.filterwarnings("ignore", module="lightning")
        warnings.filterwarnings("ignore", message=".*lr_scheduler.step.*")

    def __exit__(self, *exception: Any) -> None:
        self.warnings.__exit__(*exception)
        threading.excepthook = self.hook
        for logger, level in zip(self.loggers, self.levels, strict=True):
            logger.setLevel(level)

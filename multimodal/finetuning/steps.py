"""`finetune`: from a folder of labelled images to a trained model, its predictions and its report.

Every step's result is on disk before the next begins. A run that was stopped, even by SIGKILL, goes on from its last
checkpoint when the same call is made again, and ends as if it had not been stopped.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from multimodal.checkpoint import save
from multimodal.config import to_plain
from multimodal.data.images.samples import LabeledImages, Skipped
from multimodal.errors import ArgumentError
from multimodal.finetuning import train
from multimodal.finetuning.adapt import adapt
from multimodal.finetuning.defaults import defaults
from multimodal.finetuning.evaluate import evaluate
from multimodal.finetuning.plan import Plan, image_counts, open_plan, write_plan
from multimodal.finetuning.prepare import inspect, nearest_mean_accuracy, split
from multimodal.finetuning.run import Run, write_json
from multimodal.finetuning.settings import FinetuneConfig, options, override
from multimodal.hub import load
from multimodal.models.classifier import Classifier, ClassifierConfig
from multimodal.tokenizers.transforms import of_images

say: Callable[..., None] = partial(Console(stderr=True, highlight=False).print, soft_wrap=True)


def finetune(
    folder: str | Path,
    *,
    model: str | Classifier | ClassifierConfig,
    out: str | Path,
    pretrained: bool = True,
    overwrite: bool = False,
    **settings: Any,
) -> Run:
    """Train `model` on the labelled images of `folder` and leave a run folder at `out`.

    What is not set is chosen from the number and size of the images and from whether the weights are pretrained, and
    printed. The same call after an interruption resumes.

    Args:
        folder: class folders, with or without train/val/test; a CSV or JSONL table; tar shards.
        model: a source for `mm.load`, a classifier to go on with, or a config for fresh weights.
        out: the run folder; see `multimodal.finetuning.run`.
        pretrained: False starts from fresh weights where `model` is a source.
        overwrite: remove a finished run at `out` first.
        settings: any field of the groups in `multimodal.finetuning.settings`, by name: `epochs=5, lr=1e-4, mixup=0.2`.

    Returns:
        The run: `.model`, `.metrics`, `.report`, `.predict(images)`, `.mistakes(n)`.

    Raises:
        ArgumentError: an unknown model or setting, a value out of range, or `out` holds something else.
        DataError: the folder cannot be used: nothing there, one class, nothing readable.
    """
    check_names(settings)
    out, folder = Path(out), str(Path(folder).expanduser().absolute())  # it may be resumed from elsewhere
    source = model if isinstance(model, str) else json.dumps(to_plain(getattr(model, "config", model)))
    resumed = open_plan(out, folder, source, settings, overwrite=overwrite)
    if resumed is not None:
        say(f"Resuming the unfinished run in {out}.")
    start = _start(model, pretrained=pretrained, seed=settings.get("seed", 0))
    fresh = isinstance(model, ClassifierConfig) or (isinstance(model, str) and not pretrained)
    plan = resumed or _plan(folder, source, settings, start, fresh=fresh)
    config = plan.settings
    device = torch.device(train.device_name())
    torch.manual_seed(config.seed)
    task = train.make_task(adapt(start, plan.images, config.adapt, fresh=fresh), plan.images, config)
    held_out = "test" if "test" in plan.images.splits else "val"
    if resumed is None:
        if out.exists():  # only now: until here, a wrong argument leaves the old run as it was
            shutil.rmtree(out)
        out.mkdir(parents=True)
        config = _cut_to_memory(task, config, device)
        plan = replace(plan, settings=config, baseline=_baseline(start.to(device), plan.images, config, held_out))
        write_plan(out, plan)
    _describe(plan)
    data = train.loaders(plan.images, config)
    history = train.fit(task, data, config, out)
    trained = train.trained(task, config)
    result = evaluate(trained, plan.images, config, held_out)
    skipped = [*plan.images.skipped, *(Skipped("", reason) for reason in sorted(task.failed))]
    figures = result.write(out, plan, history.rows, skipped)
    trained.card = _card(plan, figures)
    save(trained, out / "model")
    write_json(out / "metrics.json", figures)  # last: it says that the run is finished
    shutil.rmtree(out / "checkpoints", ignore_errors=True)
    return Run(out)


def _card(plan: Plan, figures: dict[str, Any]) -> dict[str, Any]:
    """What the model folder says of the training."""
    name, counts = Path(plan.folder).name, image_counts(plan.images)
    return {
        "data": {"folder": name, "fingerprint": plan.fingerprint, "images": counts},
        "metrics": figures,
        "settings": to_plain(plan.settings),
        "source": plan.source,
    }


def check_names(settings: dict[str, Any]) -> None:
    """Refuse unknown or impossible settings before anything slow begins."""
    override(FinetuneConfig(), settings)


def _start(model: str | Classifier | ClassifierConfig, *, pretrained: bool, seed: int) -> Classifier:
    torch.manual_seed(seed)
    if isinstance(model, Classifier):
        return model.float()
    if isinstance(model, ClassifierConfig):
        return model.build()
    loaded = load(model, pretrained=pretrained, device="cpu", dtype="float32")
    if not isinstance(loaded, Classifier):
        raise ArgumentError(f"model is {model!r}, which is not an image model; fine-tuning a folder needs one.")
    return loaded


def _plan(folder: str, source: str, asked: dict[str, Any], start: Classifier, *, fresh: bool) -> Plan:
    inspected = inspect(folder)
    chosen = defaults(
        images=len(inspected.images.splits["train"]),
        pretrained=not fresh,
        method=asked.get("method", "full"),
        transform=of_images(start.transform.config, "Fine-tuning a folder"),
        median_side=inspected.median_side,
    )
    settings = override(chosen, asked)
    images = split(inspected, settings.val_fraction, settings.seed)
    settings = _no_larger_than_the_data(settings, len(images.splits["train"]))
    return Plan(
        folder=folder,
        source=source,
        asked=json.loads(json.dumps(asked)),
        settings=settings,
        images=images,
        fingerprint=inspected.fingerprint,
    )


def _no_larger_than_the_data(config: FinetuneConfig, images: int) -> FinetuneConfig:
    """`config` with a batch of at most `images`: a larger one would only be tried against the memory."""
    loop = config.loop
    if loop.batch_size <= images:
        return config
    return replace(config, loop=replace(loop, batch_size=images, accumulate=min(loop.accumulate, images)))


def _baseline(start: Classifier, images: LabeledImages, config: FinetuneConfig, part: str) -> float | None:
    """Accuracy of nearest class means on the features before any training; none for several labels an image."""
    if not config.baseline or images.multi_label:
        return None
    transform = replace(of_images(start.transform.config, "Fine-tuning"), resize=config.adapt.resize)
    start.transform = transform.build()
    return nearest_mean_accuracy(start, train.loaders(images, config), part)


def _cut_to_memory(task: Any, config: FinetuneConfig, device: torch.device) -> FinetuneConfig:
    parts = train.parts_that_fit(task, config, device)
    if parts == config.loop.accumulate:
        return config
    batch = config.loop.batch_size
    say(
        f"[yellow]Memory is too short for {batch} images at once: each step now goes through in {parts} parts of "
        f"{batch // parts}. The result of a step stays the same.[/yellow]"
    )
    return replace(config, loop=replace(config.loop, accumulate=parts))


def _describe(plan: Plan) -> None:
    counts = ", ".join(f"{count} {name}" for name, count in image_counts(plan.images).items())
    say(f"[bold]{plan.folder}[/bold]: {len(plan.images.labels)} classes; images: {counts}.")
    for skipped in plan.images.skipped[:5]:
        say(f"  [yellow]left out[/yellow] {skipped.path}: {skipped.reason}")
    if len(plan.images.skipped) > 5:
        say(f"  ... and {len(plan.images.skipped) - 5} more; all are named in the report.")
    values = {
        name: getattr(getattr(plan.settings, group) if group else plan.settings, name)
        for name, (group, _) in options().items()
    }
    given = ", ".join(f"{name}={values[name]}" for name in plan.asked)
    chosen = ", ".join(f"{name}={value}" for name, value in values.items() if name not in plan.asked)
    if given:
        say(f"Given: {given}")
    say(f"[dim]Chosen: {chosen}[/dim]")
    if plan.baseline is not None:
        say(f"Before training, nearest class means of the features give {plan.baseline:.1%}.")

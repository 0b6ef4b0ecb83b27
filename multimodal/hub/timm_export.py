"""A `Classifier` back to timm: the tables of `weights/`, read backwards.

The preprocessing and the labels travel along. What timm has no place for stays behind: the temperature of calibrated
probabilities, and whether classes exclude each other.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from multimodal.backbone.lora import merged_state_dict
from multimodal.checkpoint.replacing import replacing
from multimodal.config import to_plain
from multimodal.errors import ArgumentError
from multimodal.hub.safetensors_folder import write_tensors
from multimodal.models.classifier import Classifier
from multimodal.models.image_encoder import ImageEncoderConfig, TimmEncoderConfig
from multimodal.tokenizers.transforms import of_images

_ASIDE = {"dropout", "drop_path", "transform", "output", "arguments"}  # what logits of given pixels do not depend on
_CROP_MODE = {"crop": "center", "squash": "squash", "pad": "border"}


def export_timm(classifier: Classifier, name: str | None = None, **arguments: Any) -> dict[str, Tensor]:
    """The weights of `classifier` under timm's names, which `timm.create_model(name, num_classes=n)` loads strictly.

    Args:
        classifier: a model that `load` made from timm, fine-tuned or not, or one with the same layers.
        name: the timm architecture; None: the one that it came from.
        arguments: what `timm.create_model` is given besides.

    Raises:
        ArgumentError: nobody says which timm model it is, or that one computes something else.
    """
    return _export(classifier, *_target(classifier, name, arguments))[0]


def save_timm(classifier: Classifier, folder: str | Path, name: str | None = None, **arguments: Any) -> Path:
    """Write a folder that timm loads, by `timm.create_model("local-dir:FOLDER", pretrained=True)`; its full path.

    Arguments and errors are those of `export_timm`, besides:

    Raises:
        DataError: the folder cannot be written.
    """
    name, arguments = _target(classifier, name, arguments)
    state, model = _export(classifier, name, arguments)
    config = _config(classifier, model, name, arguments)
    target = Path(folder).resolve()
    with replacing(target, files=("config.json", "model.safetensors")) as fresh:
        write_tensors(state, fresh / "model.safetensors")
        (fresh / "config.json").write_text(json.dumps(config, indent=2), encoding="utf-8")
    return target


def _target(classifier: Classifier, name: str | None, arguments: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """The timm model to export to, as `timm.create_model` takes it."""
    encoder, source = classifier.config.encoder, str(classifier.card.get("source", ""))
    if name is not None:
        return name.removeprefix("timm:"), dict(arguments)
    if isinstance(encoder, TimmEncoderConfig):
        return encoder.name, {**dict(encoder.arguments), **arguments}
    if source.startswith("timm:"):
        return source.removeprefix("timm:"), {**classifier.card.get("arguments", {}), **arguments}
    raise ArgumentError(
        "This model does not say which timm model it came from; give its name, such as 'vit_small_patch16_224'."
    )


def _export(classifier: Classifier, name: str, arguments: dict[str, Any]) -> tuple[dict[str, Tensor], nn.Module]:
    import timm

    from multimodal.hub.timm_convert import read_timm

    if not timm.is_model(name.partition(".")[0]):
        raise ArgumentError(f"timm has no model {name!r}; `timm.list_models()` gives all names.")
    with torch.device("meta"):
        model = timm.create_model(name, **{**arguments, "num_classes": len(classifier.labels)})
    reading = read_timm(model, name, arguments)
    difference = _differ(to_plain(reading.config), to_plain(classifier.config))
    if difference:
        raise ArgumentError(f"This model is not timm's {name}: its {difference}.")
    return reading.table.export(merged_state_dict(classifier)), model


def _differ(theirs: Any, ours: Any, where: str = "") -> str:
    """Where two plain configs differ in what is computed; "" where they do not."""
    if isinstance(theirs, dict) and isinstance(ours, dict) and theirs.get("type") == ours.get("type"):
        names = [key for key in theirs if key not in _ASIDE]
        return next((found for key in names if (found := _differ(theirs[key], ours[key], f"{where}.{key}"))), "")
    if where.endswith(".layer_scale") and None not in (theirs, ours):  # its initial values
        return ""
    return "" if theirs == ours else f"{where.strip('.')} is {ours!r} and not {theirs!r}"


def _config(classifier: Classifier, model: Any, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """config.json as timm reads it."""
    from multimodal.hub.timm_convert import plain_arguments

    transform, encoder = of_images(classifier.transform.config, "timm"), classifier.config.encoder
    architecture, _, tag = name.partition(".")
    fixed = bool(model.pretrained_cfg.get("fixed_input_size"))
    if isinstance(encoder, ImageEncoderConfig) and encoder.tokenizer.size != transform.size:
        resized = {"img_size": encoder.tokenizer.size, "dynamic_img_size": True, "dynamic_img_pad": True}
        arguments, fixed = {**arguments, **resized}, False  # positions are interpolated in each forward pass, as here
    pretrained = {
        "first_conv": model.pretrained_cfg.get("first_conv"),
        "classifier": model.pretrained_cfg.get("classifier"),
        "fixed_input_size": fixed,
        "tag": tag,
        "num_classes": len(classifier.labels),
        "input_size": [3, *transform.size],
        "interpolation": transform.interpolation,
        "crop_pct": transform.crop_fraction if transform.resize == "crop" else 1.0,
        "crop_mode": _CROP_MODE[transform.resize],
        "mean": transform.mean,
        "std": transform.std,
    }
    return {
        "architecture": architecture,
        "num_classes": len(classifier.labels),
        "num_features": model.num_features,
        "label_names": list(classifier.labels),
        "model_args": plain_arguments(arguments),
        "pretrained_cfg": pretrained,
    }

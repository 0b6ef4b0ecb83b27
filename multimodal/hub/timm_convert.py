"""A timm model to a `Classifier` with equal logits: on the shared backbone where that can express it, else wrapped.

A wrapped model keeps timm's body, and its last linear layer becomes our head. A few models end in something else (two
heads as in LeViT, an MLP as in CAFormer): of those the features are taken and the head is left out, so that they can be
fine-tuned, and `predict` says that they have no classes.

Labels and preprocessing are those of timm's `pretrained_cfg`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from timm.data.config import resolve_model_data_config
from timm.data.imagenet_info import ImageNetInfo, infer_imagenet_subset
from timm.models.deit import VisionTransformerDistilled
from torch import nn

from multimodal.checkpoint.fit import assign, skeleton
from multimodal.errors import ArgumentError, DataError
from multimodal.models.classifier import Classifier, ClassifierConfig, DistilledHeadConfig, LinearHeadConfig
from multimodal.models.image_encoder import TimmEncoder, TimmEncoderConfig
from multimodal.models.timm_parts import NotExpressible, need
from multimodal.models.timm_vit import read_vit
from multimodal.tokenizers.image_transform import ImageTransformConfig
from multimodal.weights.keymap import Table
from multimodal.weights.timm_any import timm_any
from multimodal.weights.timm_vit import timm_vit

_RESIZE = {"center": "crop", "squash": "squash", "border": "pad"}  # timm's crop_mode


@dataclass(frozen=True)
class Reading:
    """What a timm model is here."""

    config: ClassifierConfig
    table: Table
    lacking: str | None  # what the shared backbone does not have, where the model is wrapped


def read_timm(model: nn.Module, name: str, arguments: Mapping[str, Any]) -> Reading:
    """The config that computes what `model` does, and the table of its weights; the weights are not looked at.

    Args:
        model: a timm model, which may be on the meta device.
        name: what `timm.create_model` made it from, with the weights' tag after a dot.
        arguments: what it was given besides.

    Raises:
        ArgumentError: a model that takes no pictures, or does not give one vector for each.
    """
    try:
        return _express(model)
    except NotExpressible as error:
        return _wrap(model, name, arguments, str(error))


def from_timm(
    model: nn.Module,
    name: str,
    arguments: Mapping[str, Any],
    *,
    trained: bool,
    device: torch.device,
    dtype: torch.dtype | None,
) -> Classifier:
    """The `Classifier` with the weights of `model`, in eval mode; see `read_timm`. `trained`: its classes have names.

    Raises:
        DataError: the weights do not fit what was read off the model.
    """
    reading = read_timm(model, name, arguments)
    labels = find_labels(model, reading.config.classes) if trained else None
    classifier = skeleton(reading.config, labels or [str(i) for i in range(reading.config.classes)])
    assert isinstance(classifier, Classifier)
    assign(classifier, reading.table.convert(model.state_dict(), classifier.state_dict()), device, dtype)
    classifier.card = {"source": f"timm:{name}"}
    if arguments:
        classifier.card["arguments"] = plain_arguments(arguments)
    return classifier.eval()


def _express(model: nn.Module) -> Reading:
    """On the shared backbone."""
    encoder, layout = read_vit(model)
    m: Any = model  # attributes that timm's annotations do not declare
    heads = [m.head, m.head_dist] if isinstance(model, VisionTransformerDistilled) else [m.head]
    linear = all(isinstance(head, nn.Linear) and head.bias is not None for head in heads)
    need(linear or (len(heads) == 1 and isinstance(heads[0], nn.Identity)), "a head that is not one linear layer")
    config = ClassifierConfig(
        encoder=encoder,
        classes=m.head.out_features if linear else 0,
        transform=find_transform(model, encoder.tokenizer.size),
        head=DistilledHeadConfig() if len(heads) == 2 else LinearHeadConfig(dropout=m.head_drop.p),
    )
    return Reading(config, timm_vit(layout), None)


def _wrap(model: nn.Module, name: str, arguments: Mapping[str, Any], lacking: str) -> Reading:
    """Timm's own body, and a head of ours where timm's is one linear layer."""
    encoder = TimmEncoderConfig(name=name, arguments=tuple(sorted(plain_arguments(arguments).items())))
    with torch.device("meta"):
        body = encoder.build().eval()
    transform = find_transform(model, None)
    _check_features(body, name, transform.size)
    theirs, ours = model.state_dict(), body.model.state_dict()
    extra = [key for key in theirs if key not in ours]
    classifier, convolution, classes = _last_layer(model, extra)
    table = timm_any(ours, classifier, convolution=convolution, left_out=[] if classifier else extra)
    return Reading(ClassifierConfig(encoder=encoder, classes=classes, transform=transform), table, lacking)


def _last_layer(model: nn.Module, extra: list[str]) -> tuple[str | None, int | None, int]:
    """The layer with the tensors `extra`: its name, the channels it reads if it is a convolution, its classes."""
    name = extra[0].rpartition(".")[0] if extra else ""
    if not extra or sorted(extra) != [f"{name}.bias", f"{name}.weight"]:
        return None, None, 0
    layer = model.get_submodule(name)
    if isinstance(layer, nn.Linear):
        return name, None, layer.out_features
    if isinstance(layer, nn.Conv2d) and layer.kernel_size == (1, 1) and layer.groups == 1:
        return name, layer.in_channels, layer.out_channels
    return None, None, 0


def _check_features(body: TimmEncoder, name: str, size: tuple[int, int]) -> None:
    with torch.inference_mode():
        shape = tuple(body.model(torch.empty(1, 3, *size, device="meta")).shape)
    if shape != (1, body.width):
        raise ArgumentError(
            f"timm:{name} gives {shape} for one image and not one vector, so it cannot be a classifier."
        )


def plain_arguments(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of `timm.create_model` as a config can hold them, without the number of classes.

    Raises:
        DataError: one is neither a number, nor a string, nor a list of integers.
    """
    found = {key: tuple(value) if isinstance(value, list) else value for key, value in arguments.items()}
    for key, value in found.items():
        numbers = isinstance(value, tuple) and all(type(item) is int for item in value)
        if not numbers and not (value is None or isinstance(value, bool | int | float | str)):
            raise DataError(f"The argument {key} of the timm model is {value!r}; only plain values can be kept.")
    return {key: value for key, value in found.items() if key != "num_classes"}


def find_transform(model: nn.Module, size: tuple[int, int] | None) -> ImageTransformConfig:
    """The preprocessing that timm evaluates `model` with; `size` (height, width) where the model itself says it.

    Raises:
        ArgumentError: the model takes other than three channels.
        DataError: the preprocessing that the checkpoint names is none that we have.
    """
    data = resolve_model_data_config(model)
    channels, height, width = data["input_size"]
    if channels != 3:
        raise ArgumentError(f"The model takes images of {channels} channels; only colour images (3) are supported.")
    try:
        resize: Any = _RESIZE[data["crop_mode"]]
        fraction = min(float(data["crop_pct"]), 1.0)  # above 1 (VOLO-D4) timm puts a black frame around
        (red, green, blue), (r, g, b) = data["mean"], data["std"]
        return ImageTransformConfig(
            size=size or (int(height), int(width)),
            resize=resize,
            crop_fraction=fraction if resize == "crop" else 1.0,
            interpolation=data["interpolation"],
            mean=(float(red), float(green), float(blue)),
            std=(float(r), float(g), float(b)),
        )
    except (KeyError, TypeError, ValueError) as error:  # ArgumentError is a ValueError
        raise DataError(f"The model's preprocessing {data} cannot be done here: {error}.") from error


def find_labels(model: nn.Module, classes: int) -> list[str] | None:
    """Names of the classes: the checkpoint's own; else ImageNet's where there are as many; None: not known."""
    cfg: dict[str, Any] = getattr(model, "pretrained_cfg", {})
    names: Any = cfg.get("label_names")
    described: Any = cfg.get("label_descriptions") or {}
    if isinstance(names, Mapping):
        names = [names.get(i, names.get(str(i), str(i))) for i in range(classes)]
    if not names:
        subset = infer_imagenet_subset({"num_classes": classes})
        if subset is None:
            return None
        info = ImageNetInfo(subset)
        names, described = info.label_names(), info.label_descriptions(as_dict=True)
    if len(names) != classes:
        return None
    labels = [str(described.get(name, name)) for name in names]
    often = Counter(labels)  # ImageNet has two cranes, a bird and a machine
    return [label if often[label] == 1 else f"{label} ({name})" for label, name in zip(labels, names, strict=True)]

"""`load`: a model from a folder or by a published name. What a source is, its name or its own config says."""

from __future__ import annotations

import re
from pathlib import Path

import torch

from multimodal.checkpoint import is_model_folder, load_folder
from multimodal.checkpoint.fit import assign
from multimodal.errors import ArgumentError, nearest
from multimodal.hub.placing import find_device, find_dtype
from multimodal.models.classifier import Classifier

_PREFIXES = ("timm",)


def load(
    source: str | Path,
    *,
    pretrained: bool = True,
    device: str | torch.device = "auto",
    dtype: str | torch.dtype = "auto",
) -> Classifier:
    """The model that `source` names, in eval mode.

    Args:
        source: a model folder of ours; a folder that `timm.models.save_for_hf` wrote; or "timm:NAME", with or without
            the tag of its weights ("timm:vit_small_patch16_224.augreg_in21k").
        pretrained: False gives the architecture with fresh weights; nothing is downloaded.
        device: "auto" (a GPU where there is one), "cpu", "cuda", "cuda:1" or "mps".
        dtype: "auto" (bfloat16 where the device computes it fast, else float32), "float32", "bfloat16" or "float16".

    Raises:
        ArgumentError: an unknown prefix, name, tag, device or dtype; the nearest right one is named.
        DataError: a folder that is missing, damaged or of another kind, or weights that cannot be downloaded.
    """
    where = find_device(device)
    kind = find_dtype(dtype, where)
    prefix, name = _prefix(source)
    if prefix is None:
        return _from_folder(Path(source), pretrained, where, kind)
    from multimodal.hub.timm_convert import from_timm
    from multimodal.hub.timm_source import timm_by_name

    model, full = timm_by_name(name, pretrained=pretrained)
    return from_timm(model, full, {}, trained=pretrained, device=where, dtype=kind)


def _prefix(source: str | Path) -> tuple[str | None, str]:
    """The prefix of a published name, and the rest; None and the whole where `source` is a folder."""
    found = re.fullmatch(r"([A-Za-z][\w-]+):(.*)", str(source)) if isinstance(source, str) else None
    if found is None or Path(source).exists():
        return None, str(source)
    if found[1] not in _PREFIXES:
        raise ArgumentError(
            f"source is {source!r}: models are given as 'timm:NAME' or as the path of a model folder, and "
            f"'{found[1]}:' is neither.{nearest(found[1], _PREFIXES)}"
        )
    return found[1], found[2]


def _from_folder(folder: Path, pretrained: bool, device: torch.device, dtype: torch.dtype) -> Classifier:
    if is_model_folder(folder):
        model = load_folder(folder, device=device, dtype=dtype)
        return model if pretrained else _fresh(model, device, dtype)
    if not folder.exists():
        raise ArgumentError(_no_folder(folder))
    if (folder / "open_clip_config.json").exists():
        raise ArgumentError(f"{folder} was written by open_clip; only folders of multimodal and of timm can be read.")
    if folder.is_dir() and (folder / "config.json").exists():
        from multimodal.hub.timm_source import read_json

        config = read_json(folder / "config.json")
        if "architecture" in config:
            return _from_timm_folder(folder, pretrained, device, dtype)
        if "model_type" in config or "architectures" in config:
            raise ArgumentError(
                f"{folder} was written by transformers; only folders of multimodal and of timm can be read."
            )
    return load_folder(folder, device=device, dtype=dtype)  # says what is wrong with it


def _from_timm_folder(folder: Path, pretrained: bool, device: torch.device, dtype: torch.dtype) -> Classifier:
    from multimodal.hub.timm_convert import from_timm
    from multimodal.hub.timm_source import timm_folder

    model, name, arguments = timm_folder(folder, pretrained=pretrained)
    return from_timm(model, name, arguments, trained=pretrained, device=device, dtype=dtype)


def _fresh(model: Classifier, device: torch.device, dtype: torch.dtype) -> Classifier:
    found = model.config.build(model.labels)
    assign(found, found.state_dict(), device, dtype)
    return found.eval()


def _no_folder(folder: Path) -> str:
    import timm

    name = str(folder)
    architecture = name.partition(".")[0]
    if timm.is_model(architecture):
        return f"There is no folder {name!r}. Did you mean 'timm:{name}'?"
    return f"There is no folder {name!r}; give the path of a model folder, or 'timm:NAME' for a published model."

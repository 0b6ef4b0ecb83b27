"""A timm model by name, with the weights that timm publishes, or from a folder that `timm.models.save_for_hf` wrote.

Weights come as safetensors from the Hugging Face hub, or from its cache without asking. Where only a pickle is
published, it is read by torch's loader for tensors alone. Local pickles are refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any
from urllib.error import URLError

import timm
import torch
from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url, try_to_load_from_cache
from huggingface_hub.errors import EntryNotFoundError
from safetensors import SafetensorError
from timm.models import get_arch_pretrained_cfgs, get_deprecated_models, get_pretrained_cfg
from torch import nn

from multimodal.errors import ArgumentError, DataError, nearest
from multimodal.hub.files import PATIENCE, asking_hub, first_line, no_weights, read_json, unreachable

_WEIGHTS = ("model.safetensors", "pytorch_model.bin")  # as timm's repositories have them, the first preferred
_INSTEAD = "give the path of a model folder instead, or pretrained=False for fresh weights"
_MISFITS = (  # what timm, torch and safetensors raise over damaged files and configs
    *(OSError, RuntimeError, ValueError, TypeError, KeyError, AssertionError, EOFError),
    *(SafetensorError, UnpicklingError),
)


def timm_by_name(name: str, *, pretrained: bool) -> tuple[nn.Module, str]:
    """The timm model called `name`, "ARCHITECTURE" or "ARCHITECTURE.TAG", and its full name.

    Raises:
        ArgumentError: an unknown architecture or tag, or one without published weights.
        DataError: the weights cannot be downloaded, or are damaged.
    """
    name = get_deprecated_models().get(name) or name
    architecture, _, tag = name.partition(".")
    if not timm.is_model(architecture):
        near = nearest(architecture, timm.list_models())
        raise ArgumentError(f"timm has no model {architecture!r}.{near or ' `timm.list_models()` gives all names.'}")
    tags = [full.partition(".")[2] for full in get_arch_pretrained_cfgs(architecture)]
    if tag and tag not in tags:
        known = f"it has {', '.join(tags)}" if any(tags) else "it has none"
        raise ArgumentError(f"timm has no weights {tag!r} of {architecture}; {known}.{nearest(tag, tags)}")
    cfg = get_pretrained_cfg(name)
    full = f"{architecture}.{cfg.tag}" if cfg is not None and cfg.tag else architecture
    if not pretrained:
        return timm.create_model(full, pretrained=False), full
    if cfg is None or not cfg.has_weights:
        near = nearest(architecture, timm.list_models(pretrained=True))
        raise ArgumentError(f"timm publishes no weights of {full}; use pretrained=False for fresh ones.{near}")
    local = _download(full, cfg.hf_hub_id) if cfg.hf_hub_id else None
    overlay = {"source": "local-dir", "file": str(local), "custom_load": False} if local else None
    try:
        return timm.create_model(full, pretrained=True, pretrained_cfg_overlay=overlay), full
    except URLError as error:  # a few old models are not on the hub; timm itself fetches those
        raise unreachable(f"timm:{full}", str(cfg.url), error, instead=_INSTEAD) from error
    except _MISFITS as error:
        where = local or torch.hub.get_dir()
        raise DataError(
            f"The weights of timm:{full} in {where} cannot be used: {first_line(error)} Remove them there to "
            "have them downloaded again."
        ) from error


def timm_folder(folder: Path, *, pretrained: bool) -> tuple[nn.Module, str, dict[str, Any]]:
    """The timm model of a folder, its name, and the arguments that `timm.create_model` makes it from.

    Raises:
        DataError: a missing or damaged file, weights in a pickle, or an architecture that timm does not have.
    """
    config = read_json(folder / "config.json")
    architecture, arguments = config.get("architecture"), config.get("model_args") or {}
    cfg = config.get("pretrained_cfg") or config
    if not isinstance(architecture, str) or not isinstance(arguments, dict) or not isinstance(cfg, dict):
        raise DataError(f"{folder / 'config.json'} does not say what timm needs: architecture, model_args.")
    if not timm.is_model(architecture):
        near = nearest(architecture, timm.list_models())
        raise DataError(
            f"{folder / 'config.json'}: timm {timm.__version__} has no architecture {architecture!r}.{near}"
        )
    if pretrained and not (folder / _WEIGHTS[0]).exists():
        raise no_weights(folder, _WEIGHTS[0])
    try:
        model = timm.create_model(f"local-dir:{folder}", pretrained=pretrained)
    except _MISFITS as error:
        raise DataError(f"{folder} cannot be read: {first_line(error)} Copy the whole folder again.") from error
    return model, architecture, {**_defaults(cfg), **arguments}


def _defaults(cfg: Mapping[str, Any]) -> dict[str, Any]:
    """What timm takes from a checkpoint's config where no argument says it."""
    found = {}
    if cfg.get("fixed_input_size") and cfg.get("input_size"):
        found["img_size"] = list(cfg["input_size"][-2:])
    if cfg.get("global_pool"):
        found["global_pool"] = cfg["global_pool"]
    return found


def _download(name: str, hub_id: str) -> Path:
    """The folder of the hub's cache that holds the weights of `name`, downloaded if need be."""
    repository, _, revision = hub_id.partition("@")
    where = {"repo_id": repository, "revision": revision or None}
    for file in _WEIGHTS:
        cached = try_to_load_from_cache(filename=file, **where)
        if isinstance(cached, str):
            return Path(cached).parent
    with asking_hub(f"timm:{name}", repository, instead=_INSTEAD):
        for file in _WEIGHTS:
            try:  # asks once; the download itself would ask again for most of a minute when nobody answers
                get_hf_file_metadata(hf_hub_url(filename=file, **where), timeout=PATIENCE)
            except EntryNotFoundError:
                continue
            return Path(hf_hub_download(filename=file, **where)).parent
    raise DataError(f"The repository {repository} holds none of {', '.join(_WEIGHTS)}.")

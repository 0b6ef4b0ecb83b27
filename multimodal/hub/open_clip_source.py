"""A dual encoder of open_clip by name, with the weights that are published for it, or from a folder of open_clip's.

Weights come as safetensors from the Hugging Face hub, or from its cache without asking. Where only a pickle is
published, it is read by torch's loader for tensors alone. Local pickles are refused.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import open_clip
import torch
from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url, try_to_load_from_cache
from huggingface_hub.errors import EntryNotFoundError
from open_clip.pretrained import get_pretrained_cfg
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from multimodal.errors import ArgumentError, DataError, nearest
from multimodal.hub.files import PATIENCE, asking_hub, first_line, no_weights, read_json
from multimodal.hub.open_clip_config import read_model
from multimodal.hub.open_clip_convert import from_open_clip
from multimodal.hub.open_clip_tokenizer import open_clip_tokenizer, padding_id
from multimodal.models.dual_encoder import DualEncoder
from multimodal.tokenizers.text import TextTokenizer

CONFIG = "open_clip_config.json"
LOCAL = ("open_clip_model.safetensors", "open_clip_pytorch_model.safetensors", "model.safetensors")  # in this order
_PREPROCESS = ("mean", "std", "interpolation", "resize_mode")
_INSTEAD = "give the path of a model folder instead, or pretrained=False for fresh weights"


def open_clip_by_name(name: str, *, pretrained: bool, device: torch.device, dtype: torch.dtype | None) -> DualEncoder:
    """The model called `name`, "ARCHITECTURE" or "ARCHITECTURE/TAG", in eval mode.

    Without a tag the weights are OpenAI's where there are such, else those that open_clip lists first. The activation
    is the one that the weights were trained with, which is QuickGELU for OpenAI's whatever the architecture's name
    says: open_clip itself warns of that and computes GELU. Fresh weights have the architecture's own.

    Raises:
        ArgumentError: an unknown architecture or tag, one without published weights, or one that cannot be done here.
        DataError: the weights or the tokenizer cannot be downloaded, or are damaged.
    """
    architecture, tag = _split(name)
    tags = open_clip.list_pretrained_tags_by_model(architecture)
    if tag and not get_pretrained_cfg(architecture, tag):
        known = f"it has {', '.join(tags)}" if tags else "it has none"
        raise ArgumentError(f"open_clip has no weights {tag!r} of {architecture}; {known}.{nearest(tag, tags)}")
    if pretrained and not tags:
        near = nearest(architecture, sorted({model for model, _ in open_clip.list_pretrained()}))
        raise ArgumentError(
            f"open_clip publishes no weights of {architecture}; use pretrained=False for fresh ones.{near}"
        )
    chosen = tag or ("openai" if "openai" in tags else next(iter(tags), ""))
    published: dict[str, Any] = get_pretrained_cfg(architecture, chosen)
    preprocess = {key: published[key] for key in _PREPROCESS if key in published}
    model_cfg: Any = open_clip.get_model_config(architecture)
    trained = bool(tag) or pretrained
    source = f"open_clip:{architecture}/{chosen}" if trained else f"open_clip:{architecture}"
    if trained:
        model_cfg["quick_gelu"] = bool(published.get("quick_gelu"))
    try:
        read_model(model_cfg, preprocess, pad=0)
    except DataError as error:  # before anything is downloaded
        raise ArgumentError(f"{source} cannot be loaded: {error}") from error
    tokenizer = _tokenizer(model_cfg, None, source, needed=pretrained)
    weights = _download(published["hf_hub"], source) if pretrained else None
    card = {"source": source, "model_cfg": model_cfg}
    return _model(model_cfg, preprocess, weights, tokenizer, card=card, device=device, dtype=dtype)


def open_clip_folder(folder: Path, *, pretrained: bool, device: torch.device, dtype: torch.dtype | None) -> DualEncoder:
    """The model of a folder that open_clip wrote (`save_for_hf`), in eval mode.

    Raises:
        DataError: a missing or damaged file, weights in a pickle, or a model that cannot be done here.
    """
    config = read_json(folder / CONFIG)
    model_cfg, preprocess = config.get("model_cfg"), config.get("preprocess_cfg") or {}
    if not isinstance(model_cfg, dict) or not isinstance(preprocess, dict):
        raise DataError(f"{folder / CONFIG} does not say what open_clip needs: model_cfg, preprocess_cfg.")
    weights = next((folder / name for name in LOCAL if (folder / name).exists()), None)
    if pretrained and weights is None:
        raise no_weights(folder, LOCAL[0])
    try:
        read_model(model_cfg, preprocess, pad=0)
        tokenizer = _tokenizer(model_cfg, folder, str(folder), needed=pretrained)
        card = {"source": "open_clip", "model_cfg": model_cfg}
        given = weights if pretrained else None
        return _model(model_cfg, preprocess, given, tokenizer, card=card, device=device, dtype=dtype)
    except DataError as error:
        if str(folder) in str(error):
            raise
        raise DataError(f"{folder}: {error}") from error


def _model(
    model_cfg: Mapping[str, Any],
    preprocess: Mapping[str, Any],
    weights: Path | None,
    tokenizer: TextTokenizer | None,
    **given: Any,
) -> DualEncoder:
    reading = read_model(model_cfg, preprocess, pad=padding_id(model_cfg["text_cfg"], tokenizer))
    return from_open_clip(reading, _state(weights) if weights is not None else None, tokenizer, **given)


def _split(name: str) -> tuple[str, str]:
    """Architecture and tag; as for open_clip, an architecture may also be written with a slash: ViT-B/32."""
    known = open_clip.list_models()
    head, _, tail = name.rpartition("/")
    for architecture, tag in ((name, ""), (head, tail)):
        if architecture.replace("/", "-") in known:
            return architecture.replace("/", "-"), tag
    near = nearest((head or name).replace("/", "-"), known)
    raise ArgumentError(
        f"open_clip has no architecture {head or name!r}.{near or ' `open_clip.list_models()` gives all names.'}"
    )


def _tokenizer(model_cfg: Mapping[str, Any], folder: Path | None, source: str, *, needed: bool) -> TextTokenizer | None:
    """The tokenizer; for fresh weights, which can be used without, none and a warning where it is out of reach."""
    try:
        return open_clip_tokenizer(model_cfg["text_cfg"], folder=folder, source=source)
    except DataError as error:
        if needed:
            raise
        warnings.warn(f"{error} The model is made without a tokenizer: its texts are ids.", stacklevel=4)
        return None


def _state(path: Path) -> dict[str, Tensor]:
    """The tensors of a file, under the names that they have in a model of open_clip."""
    try:
        if path.suffix == ".safetensors":
            found: Any = load_file(path)
        else:
            found = torch.load(path, map_location="cpu", weights_only=True)
            found = found.get("state_dict", found)
    except (OSError, RuntimeError, ValueError, AttributeError, EOFError, SafetensorError, UnpicklingError) as error:
        cure = "Copy it again, or remove it to have it downloaded again."
        raise DataError(f"{path} cannot be read: {first_line(error)} {cure}") from error
    tensors = {name: value for name, value in found.items() if isinstance(value, Tensor)}
    prefix = "module." if next(iter(tensors), "").startswith("module.") else ""  # of training on several devices
    return {name.removeprefix(prefix): value for name, value in tensors.items()}


def _download(hf_hub: str, source: str) -> Path:
    """The file of weights in the hub's cache, downloaded if need be; `hf_hub`: as open_clip names it."""
    repository, _, file = hf_hub.rpartition("/")
    file = file or "open_clip_pytorch_model.bin"
    safe = LOCAL[0] if file == "open_clip_pytorch_model.bin" else file.rpartition(".")[0] + ".safetensors"
    files = (safe, file)
    for name in files:
        cached = try_to_load_from_cache(repository, name)
        if isinstance(cached, str):
            return Path(cached)
    with asking_hub(source, repository, instead=_INSTEAD):
        for name in files:
            try:  # asks once; the download itself would ask again for most of a minute when nobody answers
                get_hf_file_metadata(hf_hub_url(repository, name), timeout=PATIENCE)
            except EntryNotFoundError:
                continue
            return Path(hf_hub_download(repository, name))
    raise DataError(f"The repository {repository} holds none of {', '.join(files)}.")

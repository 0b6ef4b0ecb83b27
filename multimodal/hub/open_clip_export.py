"""A `DualEncoder` back to open_clip: a folder that `open_clip.create_model("local-dir:FOLDER")` loads.

The tokenizer and the preprocessing travel along. What open_clip has no place for stays behind: the card, and limits of
the scale while training. Of CoCa, whose part that writes captions is not kept here, the two towers come back.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import open_clip
from torch import Tensor

from multimodal.backbone.backbone import BackboneConfig
from multimodal.backbone.lora import merged_state_dict
from multimodal.backbone.mlp import Activation
from multimodal.backbone.norm import LayerNormConfig
from multimodal.backbone.pool import MeanPoolConfig
from multimodal.checkpoint.replacing import replacing
from multimodal.config import to_plain
from multimodal.errors import ArgumentError, DataError
from multimodal.hub.open_clip_config import Reading, read_model
from multimodal.hub.open_clip_convert import table_of
from multimodal.hub.open_clip_parts import RESIZE
from multimodal.hub.open_clip_source import CONFIG, LOCAL
from multimodal.hub.open_clip_tokenizer import BPE
from multimodal.hub.safetensors_folder import write_tensors
from multimodal.hub.transformers_clip import essential
from multimodal.models.dual_encoder import DualEncoder, DualEncoderConfig
from multimodal.models.image_encoder import ImageEncoderConfig
from multimodal.models.open_clip_towers import OpenClipImageConfig, OpenClipTextConfig
from multimodal.models.similarity import SigmoidSimilarityConfig
from multimodal.models.towers import EndPoolConfig, ImageTowerConfig, PaddedPoolConfig
from multimodal.tokenizers.text import TextTokenizer
from multimodal.tokenizers.text_ranks import load_open_clip
from multimodal.tokenizers.transforms import of_images

_TOKENIZER = ("tokenizer.json", "tokenizer_config.json")


def export_open_clip(model: DualEncoder) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """What `open_clip_config.json` holds for `model`, and its weights under open_clip's names. LoRA is folded in.

    Raises:
        ArgumentError: open_clip has no model that computes what this one does.
    """
    model_cfg, reading = _find(model)
    model_cfg["text_cfg"] |= _tokenizer_settings(model)
    table = table_of(reading, custom=bool(model_cfg.get("custom_text")))
    config = {"model_cfg": model_cfg, "preprocess_cfg": _preprocess(model)}
    return config, table.export(merged_state_dict(model))


def save_open_clip(model: DualEncoder, folder: str | Path) -> Path:
    """Write a folder that open_clip loads, by `create_model_and_transforms("local-dir:FOLDER")`; its full path.

    The folder is there in full or not at all, and replaces one that was written so before.

    Raises:
        ArgumentError: as `export_open_clip`; or the folder holds other things.
        DataError: it cannot be written.
    """
    config, state = export_open_clip(model)
    target = Path(folder).resolve()
    with replacing(target, files=(CONFIG, LOCAL[0], *_TOKENIZER)) as fresh:
        write_tensors(state, fresh / LOCAL[0])
        (fresh / CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
        if model.tokenizer is not None and config["model_cfg"]["text_cfg"].get("hf_tokenizer_name"):
            settings = model.tokenizer.settings  # open_clip pads all texts to the full length, so there must be a token
            special = replace(settings.special, pad=settings.special.pad or settings.special.eos)
            TextTokenizer(model.tokenizer.tokenizer, replace(settings, special=special)).save(fresh)
    return target


def _find(model: DualEncoder) -> tuple[dict[str, Any], Reading]:
    """The `model_cfg` that means `model`, and what it means."""
    pad, reasons = getattr(getattr(model.config.text, "pool", None), "pad", None) or 0, []
    for model_cfg in _candidates(model):
        try:
            reading = read_model(model_cfg, {}, pad=pad)
        except DataError as error:
            reasons.append(str(error))
            continue
        difference = _differ(to_plain(essential(reading.config)), to_plain(essential(model.config)))
        if not difference:
            return model_cfg, reading
        reasons.append(f"Its {difference}.")
    raise ArgumentError(f"open_clip has no model like this one. {reasons[0] if reasons else ''}".rstrip())


def _candidates(model: DualEncoder) -> Iterator[dict[str, Any]]:
    """Ways to describe `model`, the likeliest first: as where it came from; plainly; with an image tower of timm's."""
    came: Any = model.card.get("model_cfg")
    if isinstance(came, dict) and isinstance(came.get("text_cfg"), dict) and isinstance(came.get("vision_cfg"), dict):
        parts = {name: {**came[name], "output_tokens": False} for name in ("vision_cfg", "text_cfg")}
        yield {**{name: value for name, value in came.items() if name != "multimodal_cfg"}, **parts}
    config = model.config
    try:
        plain = _described(config)
    except TypeError:
        return
    if "vision_cfg" in plain:
        yield plain
        return
    for name in open_clip.list_models():
        found: Any = open_clip.get_model_config(name)
        vision = found["vision_cfg"]
        alike = found["embed_dim"] == config.dim and vision.get("image_size") == config.transform.size[0]
        if "timm_model_name" in vision and alike:
            yield {**plain, "vision_cfg": vision, "custom_text": True}


def _described(config: DualEncoderConfig) -> dict[str, Any]:
    """`config` in open_clip's words; without a "vision_cfg" where only a timm model may be its image tower.

    TypeError where open_clip has no words for it.
    """
    image, text = config.image, config.text
    found: dict[str, Any] = {"embed_dim": config.dim}
    quick = set()
    if isinstance(config.similarity, SigmoidSimilarityConfig):
        found["init_logit_bias"] = config.similarity.bias
    if isinstance(image, OpenClipImageConfig):
        found["vision_cfg"] = {**_known(image.architecture, "vision_cfg"), "output_tokens": False}
    elif isinstance(image.encoder, ImageEncoderConfig) and not image.encoder.tokenizer.bias:
        found["vision_cfg"] = _vision(image.encoder)
        quick.add(image.encoder.backbone.block.mlp.activation == "quick_gelu")
    if isinstance(text, OpenClipTextConfig):
        found |= {"text_cfg": {**_known(text.architecture, "text_cfg"), "output_tokens": False}, "custom_text": True}
    elif text.backbone is None:
        raise TypeError("one trunk for both")
    else:
        pooling: dict[str, Any] = {"pool_type": "last" if isinstance(text.pool, PaddedPoolConfig) else "argmax"}
        if isinstance(text.pool, EndPoolConfig) and text.pool.end != text.embedding.vocabulary - 1:
            pooling = {"pool_type": "eos", "eos_id": text.pool.end}
        found["text_cfg"] = {
            "context_length": text.embedding.max_length,
            "vocab_size": text.embedding.vocabulary,
            "heads": text.backbone.block.attention.heads,
            "no_causal_mask": not text.causal,
            "proj_type": "linear" if text.projection else "none",
            "proj_bias": bool(text.projection and text.projection.bias),
            **pooling,
            **_stack(text.backbone),
        }
        quick.add(text.backbone.block.mlp.activation == "quick_gelu")
    return {**found, "quick_gelu": True} if quick == {True} else found


def _vision(encoder: ImageEncoderConfig) -> dict[str, Any]:
    tokens, backbone = encoder.tokenizer, encoder.backbone
    return {
        "image_size": tokens.size[0] if tokens.size[0] == tokens.size[1] else list(tokens.size),
        "patch_size": tokens.patch[0] if tokens.patch[0] == tokens.patch[1] else list(tokens.patch),
        "head_width": backbone.dim // backbone.block.attention.heads,
        "no_ln_pre": tokens.norm is None,
        "final_ln_after_pool": not backbone.final_norm,
        "pool_type": "avg" if isinstance(encoder.pool, MeanPoolConfig) else "tok",
        **_stack(backbone),
    }


def _stack(backbone: BackboneConfig) -> dict[str, Any]:
    block, dim = backbone.block, backbone.dim
    ratio = block.mlp.hidden / dim
    custom: dict[str, Any] = {
        "qk_norm": block.attention.qk_norm is not None,
        "scale_attn_inner": block.attention.out_norm is not None,
        "scale_fc": block.mlp.norm is not None,
    }
    found = {
        "layers": backbone.depth,
        "width": dim,
        "mlp_ratio": ratio if int(dim * ratio) == block.mlp.hidden else math.nextafter(ratio, math.inf),
        **{name: True for name, wanted in custom.items() if wanted},
    }
    if block.layer_scale is not None:
        found["ls_init_value"] = block.layer_scale
    if isinstance(block.norm, LayerNormConfig) and block.norm.eps != 1e-5:
        found["norm_kwargs"] = {"eps": block.norm.eps}
    activation: Activation = block.mlp.activation
    return {**found, "act_kwargs": {"approximate": "tanh"}} if activation == "gelu_tanh" else found


def _known(architecture: str, side: str) -> dict[str, Any]:
    found: Any = open_clip.get_model_config(architecture)
    return found[side]


def _tokenizer_settings(model: DualEncoder) -> dict[str, Any]:
    """Which tokenizer open_clip shall take: its own, or the one whose files are written beside the weights."""
    tokenizer = model.tokenizer
    if tokenizer is None:
        return {}
    cleaning = tokenizer.settings.cleaning
    if cleaning is not None and tokenizer.plain() == load_open_clip(BPE).plain():
        return {"hf_tokenizer_name": None, "tokenizer_kwargs": {"clean": cleaning}}
    return {"hf_tokenizer_name": "beside this file", "tokenizer_kwargs": {"clean": cleaning or "whitespace"}}


def _preprocess(model: DualEncoder) -> dict[str, Any]:
    transform, image = of_images(model.transform.config, "open_clip"), model.config.image
    modes = {ours: theirs for theirs, ours in RESIZE.items()}
    encoder = image.encoder if isinstance(image, ImageTowerConfig) else None
    own = encoder.tokenizer.size if isinstance(encoder, ImageEncoderConfig) else transform.size
    if transform.resize not in modes or transform.crop_fraction != 1 or transform.interpolation == "nearest":
        raise ArgumentError(
            f"open_clip cannot prepare pictures with resize={transform.resize!r}, crop_fraction="
            f"{transform.crop_fraction} and interpolation={transform.interpolation!r}."
        )
    if transform.size != own:
        raise ArgumentError(f"open_clip gives this model pictures of {own} pixels, and not of {transform.size}.")
    return {
        "mean": list(transform.mean),
        "std": list(transform.std),
        "interpolation": transform.interpolation,
        "resize_mode": modes[transform.resize],
    }


def _differ(theirs: Any, ours: Any, where: str = "") -> str:
    """The first place where two plain configs differ, as a clause; "" where they do not."""
    if isinstance(theirs, dict) and isinstance(ours, dict) and theirs.keys() == ours.keys():
        return next((found for key in theirs if (found := _differ(theirs[key], ours[key], f"{where}.{key}"))), "")
    return "" if theirs == ours else f"{where.strip('.')} would be {theirs!r} and not {ours!r}"

"""What open_clip's `model_cfg` and `preprocess_cfg` mean here: our config, and the table of the weights.

Each tower by itself stands on the shared backbone where that has what the tower does, and is open_clip's own code
otherwise. That code is built by the name of an architecture, so a tower of a folder must then be one of those.

Refs: open_clip's `model.py` (`CLIPVisionCfg`, `CLIPTextCfg`) and `transform.py` (`PreprocessCfg`)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import open_clip
import timm
import torch
from open_clip.model import CLIPTextCfg, CLIPVisionCfg
from open_clip.timm_model import TimmModel
from torch import nn

from multimodal.backbone.pool import ClassPoolConfig, MeanPoolConfig
from multimodal.errors import DataError, nearest
from multimodal.hub.files import first_line
from multimodal.hub.open_clip_parts import read_activation, read_norm, read_pair, read_stack, read_transform
from multimodal.models.dual_encoder import DualEncoderConfig
from multimodal.models.image_encoder import ImageEncoderConfig
from multimodal.models.open_clip_towers import OpenClipImageConfig, OpenClipTextConfig
from multimodal.models.similarity import SigmoidSimilarityConfig, SoftmaxSimilarityConfig
from multimodal.models.timm_parts import NotExpressible, need
from multimodal.models.timm_vit import read_vit
from multimodal.models.towers import (
    EndPoolConfig,
    ImageTowerConfig,
    PaddedPoolConfig,
    ProjectionConfig,
    TextTowerConfig,
)
from multimodal.tokenizers.image import ImageTokenizerConfig
from multimodal.tokenizers.text_embedding import TextEmbeddingConfig
from multimodal.weights.keymap import Table
from multimodal.weights.open_clip import text_transformer, timm_tower, vision_transformer, wrapped_tower

_TOP = {
    *("embed_dim", "vision_cfg", "text_cfg", "quick_gelu", "custom_text", "multimodal_cfg"),
    *("init_logit_scale", "init_logit_bias", "nonscalar_logit_scale", "output_dict", "cast_dtype"),
}


@dataclass(frozen=True)
class Reading:
    """What a model of open_clip is here: the config, the tables of its towers, and why a tower is wrapped."""

    config: DualEncoderConfig
    image: Table
    text: Table
    lacking: dict[str, str]  # by "image" and "text": what the shared backbone does not have


def read_model(model_cfg: Mapping[str, Any], preprocess_cfg: Mapping[str, Any], *, pad: int) -> Reading:
    """The config that computes what open_clip makes of `model_cfg`; no weights are made or looked at.

    Args:
        model_cfg: as in open_clip's files, with the text tower's tokenizer in it.
        preprocess_cfg: as in `open_clip_config.json`, or the config of published weights.
        pad: the padding id of the tokenizer.

    Raises:
        DataError: a field that is damaged, or asks for what cannot be done here.
    """
    try:
        return _read(model_cfg, preprocess_cfg, pad)
    except DataError:
        raise
    except (AttributeError, KeyError, TypeError, ValueError, ZeroDivisionError) as error:  # values of a wrong type
        raise DataError(f"model_cfg describes a model that cannot be built: {first_line(error)}") from error


def _read(model_cfg: Mapping[str, Any], preprocess_cfg: Mapping[str, Any], pad: int) -> Reading:
    unknown = [name for name in model_cfg if name not in _TOP]
    if unknown:
        raise DataError(f"model_cfg has a field {unknown[0]!r} that is not known.{nearest(unknown[0], sorted(_TOP))}")
    vision, text = _section(model_cfg, "vision_cfg", CLIPVisionCfg), _section(model_cfg, "text_cfg", CLIPTextCfg)
    dim, quick = model_cfg.get("embed_dim"), bool(model_cfg.get("quick_gelu"))
    if type(dim) is not int:
        raise DataError(f"model_cfg: embed_dim is {dim!r}; it must be a whole number.")
    if text.hf_model_name:
        raise DataError(
            f"its texts are read by {text.hf_model_name}, a model of transformers, which cannot be a tower here. Take "
            "an architecture with a text tower of open_clip's own: ViT-B-32 for English, ViT-B-16-SigLIP2 for many "
            "languages."
        )
    lacking: dict[str, str] = {}
    try:
        image_tower, image_table = _image(vision, dim, quick)
    except NotExpressible as error:
        lacking["image"] = str(error)
        image_tower, image_table = _wrapped_image(vision, dim, quick, str(error))
    try:
        text_tower, text_table = _text(text, quick, pad)
    except NotExpressible as error:
        lacking["text"] = str(error)
        text_tower, text_table = _wrapped_text(text, dim, quick, str(error))
    bias = model_cfg.get("init_logit_bias")
    config = DualEncoderConfig(
        image=image_tower,
        text=text_tower,
        dim=dim,
        similarity=SoftmaxSimilarityConfig() if bias is None else SigmoidSimilarityConfig(bias=float(bias)),
        transform=read_transform(preprocess_cfg, read_pair(vision.image_size, "image_size")),
    )
    return Reading(config, image_table, text_table, lacking)


def _section(model_cfg: Mapping[str, Any], name: str, kind: Any) -> Any:
    found = model_cfg.get(name)
    if not isinstance(found, Mapping):
        raise DataError(f"model_cfg: {name} is {found!r}; it must be an object.")
    known = [field.name for field in fields(kind)]
    wrong = next((key for key in found if key not in known), None)
    if wrong is not None:
        raise DataError(f"model_cfg: {name} has a field {wrong!r} that open_clip does not know.{nearest(wrong, known)}")
    return kind(**found)


def _image(cfg: CLIPVisionCfg, dim: int, quick: bool) -> tuple[ImageTowerConfig, Table]:
    if cfg.timm_model_name:
        return _timm(cfg, dim)
    need(isinstance(cfg.layers, int), "the ResNet of CLIP")
    need(not cfg.attentional_pool, "attention pooling with several queries")
    need(cfg.pos_embed_type == "learnable", f"positions of the kind {cfg.pos_embed_type!r}")
    need(cfg.pool_type in ("tok", "avg"), f"the pooling {cfg.pool_type!r}")
    norm = read_norm(cfg)
    size, patch = read_pair(cfg.image_size, "image_size"), read_pair(cfg.patch_size, "patch_size")
    stack = read_stack(
        cfg, cfg.width // cfg.head_width, read_activation(cfg, quick), norm, last=not cfg.final_ln_after_pool
    )
    tokens = ImageTokenizerConfig(
        size=size, patch=patch, bias=False, remainder="cut", norm=None if cfg.no_ln_pre else norm
    )
    encoder = ImageEncoderConfig(
        tokenizer=tokens,
        backbone=stack,
        pool=ClassPoolConfig() if cfg.pool_type == "tok" else MeanPoolConfig(),
        norm=norm if cfg.final_ln_after_pool else None,
    )
    return ImageTowerConfig(encoder=encoder), vision_transformer(norm_after_pool=cfg.final_ln_after_pool)


def _timm(cfg: CLIPVisionCfg, dim: int) -> tuple[ImageTowerConfig, Table]:
    need(cfg.timm_pool not in ("abs_attn", "rot_attn"), f"the pooling {cfg.timm_pool!r}")
    need(cfg.timm_proj != "mlp", "a projection of two layers")
    model: Any = timm_model(cfg, dim)
    encoder, layout = read_vit(model.trunk)
    behind = cfg.timm_proj == "linear"
    head: Any = model.head.proj if behind else model.trunk.head
    need(isinstance(head, nn.Linear | nn.Identity), "a projection that is not one linear layer")
    projection = ProjectionConfig(bias=head.bias is not None) if isinstance(head, nn.Linear) else None
    table = timm_tower(layout, projection="head.proj" if behind else "trunk.head")
    return ImageTowerConfig(encoder=encoder, projection=projection), table


def timm_model(cfg: CLIPVisionCfg, dim: int) -> nn.Module:
    """The image tower that open_clip makes of a timm model, on the meta device.

    Raises:
        DataError: timm has no such model, or it does not take these settings.
    """
    name = str(cfg.timm_model_name)
    if not timm.is_model(name):  # it could also name a file, or a repository
        raise DataError(f"vision_cfg: timm has no model {name!r}.{nearest(name, timm.list_models())}")
    settings = {"pool": cfg.timm_pool, "proj": cfg.timm_proj, "proj_bias": cfg.timm_proj_bias}
    settings |= {"drop": cfg.timm_drop, "drop_path": cfg.timm_drop_path, "image_size": cfg.image_size}
    try:
        with torch.device("meta"):
            return TimmModel(name, embed_dim=dim, **settings)
    except (AssertionError, AttributeError, RuntimeError, TypeError, ValueError) as error:
        raise DataError(f"vision_cfg: timm's {name} cannot be built so: {first_line(error)}") from error


def _text(cfg: CLIPTextCfg, quick: bool, pad: int) -> tuple[TextTowerConfig, Table]:
    need(not cfg.embed_cls, "a class token behind the text")
    need(cfg.pool_type in ("argmax", "eos", "last"), f"the pooling {cfg.pool_type!r} of texts")
    need(cfg.proj_type in ("linear", "none"), f"the projection {cfg.proj_type!r}")
    end = cfg.eos_id if cfg.pool_type == "eos" else cfg.vocab_size - 1  # argmax: the end token has the highest id
    ending = EndPoolConfig(end=end, pad=pad if cfg.no_causal_mask else None)  # who looks ahead, reads padding as well
    tower = TextTowerConfig(
        embedding=TextEmbeddingConfig(vocabulary=cfg.vocab_size, max_length=cfg.context_length),
        backbone=read_stack(cfg, cfg.heads, read_activation(cfg, quick), read_norm(cfg), last=True),
        pool=PaddedPoolConfig(pad=pad) if cfg.pool_type == "last" else ending,
        causal=not cfg.no_causal_mask,
        projection=None if cfg.proj_type == "none" else ProjectionConfig(bias=cfg.proj_bias),
    )
    return tower, text_transformer(linear=cfg.proj_bias)


def _wrapped_image(cfg: CLIPVisionCfg, dim: int, quick: bool, lacking: str) -> tuple[OpenClipImageConfig, Table]:
    fixed = bool(cfg.timm_model_name) or not isinstance(cfg.layers, int)  # has its own activation
    name = _registered("vision_cfg", CLIPVisionCfg, cfg, dim, None if fixed else quick, lacking)
    config = OpenClipImageConfig(architecture=name)
    with torch.device("meta"):
        return config, wrapped_tower(config.build(dim).model.state_dict())


def _wrapped_text(cfg: CLIPTextCfg, dim: int, quick: bool, lacking: str) -> tuple[OpenClipTextConfig, Table]:
    name = _registered("text_cfg", CLIPTextCfg, cfg, dim, quick, lacking)
    config = OpenClipTextConfig(architecture=name, vocabulary=cfg.vocab_size, max_length=cfg.context_length)
    with torch.device("meta"):
        return config, wrapped_tower(config.build(dim).model.state_dict())


def _registered(side: str, kind: Any, cfg: Any, dim: int, quick: bool | None, lacking: str) -> str:
    """The first architecture of open_clip with this tower."""
    for name in open_clip.list_models():
        found: Any = open_clip.get_model_config(name)
        same = found["embed_dim"] == dim and quick in (None, bool(found.get("quick_gelu")))
        if same and {**vars(kind(**found[side])), **_ASIDE} == {**vars(cfg), **_ASIDE}:
            return name
    raise DataError(
        f"model_cfg: its {side} has {lacking}, which the shared backbone lacks, and is that of no architecture that "
        f"open_clip {open_clip.__version__} knows by name; only such a tower can be wrapped."
    )


_ASIDE = {  # what a tower's embeddings do not depend on
    "timm_model_pretrained": False,
    "hf_tokenizer_name": None,
    "tokenizer_kwargs": None,
    "patch_dropout": 0.0,
    "output_tokens": False,
}

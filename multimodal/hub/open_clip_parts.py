"""Parts of open_clip's configs (norms, activations, stacks of blocks, preprocessing) as configs of ours.

Whole towers are read in `open_clip_config.py`. What the shared backbone does not have is refused with `NotExpressible`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import open_clip
from open_clip.model import CLIPTextCfg, CLIPVisionCfg

from multimodal.backbone.attention import AttentionConfig
from multimodal.backbone.backbone import BackboneConfig
from multimodal.backbone.block import BlockConfig
from multimodal.backbone.mlp import Activation, MlpConfig
from multimodal.backbone.norm import LayerNormConfig
from multimodal.errors import DataError
from multimodal.models.timm_parts import need
from multimodal.tokenizers.image_transform import ImageTransformConfig

_INTERPOLATIONS = ("bicubic", "bilinear", "random")  # the last: while training; otherwise bicubic
AnyCfg = CLIPVisionCfg | CLIPTextCfg
RESIZE = {"shortest": "crop", "squash": "squash"}  # "longest" puts black around, and our "pad" the mean colour


def read_stack(cfg: AnyCfg, heads: int, activation: Activation, norm: LayerNormConfig, *, last: bool) -> BackboneConfig:
    """The blocks of a tower; `last`: they are followed by a norm."""
    need(cfg.block_type in (None, "default", "custom"), f"the block {cfg.block_type!r}")
    own = cfg.block_type != "default"  # which ignores the settings below
    need(not (own and (cfg.scaled_cosine_attn or cfg.scale_heads)), "cosine attention, or heads with scales")
    need(not (own and cfg.scale_attn), "a norm behind attention")
    block = BlockConfig(
        attention=AttentionConfig(
            heads=heads,
            qk_norm=norm if own and cfg.qk_norm else None,
            out_norm=norm if own and cfg.scale_attn_inner else None,
        ),
        mlp=MlpConfig(
            hidden=int(cfg.width * cfg.mlp_ratio),
            activation=activation,
            norm=norm if own and cfg.scale_fc else None,
        ),
        norm=norm,
        layer_scale=float(cfg.ls_init_value) if cfg.ls_init_value is not None else None,
    )
    depth: Any = cfg.layers  # a tuple is a ResNet's, which was left out before
    return BackboneConfig(dim=cfg.width, depth=depth, block=block, final_norm=last)


def read_norm(cfg: AnyCfg) -> LayerNormConfig:
    """The norm of a tower."""
    given = cfg.norm_kwargs or {}
    need(set(given) <= {"eps"}, f"norms with {given}")
    return LayerNormConfig(eps=float(given.get("eps", 1e-5)))


def read_activation(cfg: AnyCfg, quick: bool) -> Activation:
    """The activation of a tower; `quick`: the model's is QuickGELU."""
    given = cfg.act_kwargs or {}
    need(
        given in ({}, {"approximate": "tanh"}, {"approximate": "none"}) and not (quick and given), f"GELU with {given}"
    )
    return "quick_gelu" if quick else "gelu_tanh" if given.get("approximate") == "tanh" else "gelu"


def read_transform(preprocess: Mapping[str, Any], size: tuple[int, int]) -> ImageTransformConfig:
    """The preprocessing for images of `size` (height, width).

    Raises:
        DataError: one that we do not have.
    """
    given = {name: value for name, value in preprocess.items() if value is not None}
    resize, interpolation = given.get("resize_mode", "shortest"), given.get("interpolation", "bicubic")
    if resize not in RESIZE:
        raise DataError(f"preprocess_cfg: resize_mode is {resize!r}; here, one of {', '.join(RESIZE)} can be done.")
    if given.get("mode", "RGB") != "RGB":
        raise DataError(f"preprocess_cfg: mode is {given['mode']!r}; only colour images (RGB) can be read.")
    if interpolation not in _INTERPOLATIONS:
        known = ", ".join(_INTERPOLATIONS)
        raise DataError(f"preprocess_cfg: interpolation is {interpolation!r}; here, one of {known} can be done.")
    mean = given.get("mean", open_clip.OPENAI_DATASET_MEAN)
    std = given.get("std", open_clip.OPENAI_DATASET_STD)
    mean, std = (tuple(map(float, v)) if isinstance(v, list | tuple) else (float(v),) * 3 for v in (mean, std))
    interpolation = "bicubic" if interpolation == "random" else interpolation
    chosen: Any = {"mean": mean, "std": std, "resize": RESIZE[resize], "interpolation": interpolation}
    return ImageTransformConfig(size=size, crop_fraction=1.0, **chosen)


def read_pair(value: Any, name: str) -> tuple[int, int]:
    """Height and width, given as one number or as two.

    Raises:
        DataError: neither.
    """
    pair = tuple(value) if isinstance(value, list | tuple) else (value, value)
    if len(pair) != 2 or any(type(number) is not int or number < 1 for number in pair):
        raise DataError(f"model_cfg: {name} is {value!r}; it must be a whole number, or two of them.")
    return pair

"""CLIP and SigLIP of transformers: their config.json as ours, and back.

SigLIP 2 checkpoints of a fixed resolution are of model_type "siglip" as well; those of any resolution ("siglip2",
NaFlex) are not read. Preprocessing has a file of its own, see `transformers_pixels.py`.

Refs: CLIP arXiv:2103.00020 · SigLIP arXiv:2303.15343 · SigLIP 2 arXiv:2502.14786
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from multimodal.backbone.attention import AttentionConfig
from multimodal.backbone.backbone import BackboneConfig
from multimodal.backbone.block import BlockConfig
from multimodal.backbone.mlp import MlpConfig
from multimodal.backbone.norm import LayerNormConfig
from multimodal.backbone.pool import AttentionPoolConfig, ClassPoolConfig
from multimodal.errors import DataError
from multimodal.hub.transformers_family import Fields, Published, activation_name
from multimodal.models.dual_encoder import DualEncoderConfig
from multimodal.models.image_encoder import ImageEncoderConfig
from multimodal.models.similarity import SigmoidSimilarityConfig, SoftmaxSimilarityConfig
from multimodal.models.towers import (
    EndPoolConfig,
    ImageTowerConfig,
    PaddedPoolConfig,
    ProjectionConfig,
    TextTowerConfig,
)
from multimodal.presets.dual import CLIP_TRANSFORM, SIGLIP_TRANSFORM
from multimodal.tokenizers.image import ImageTokenizerConfig
from multimodal.tokenizers.text_embedding import TextEmbeddingConfig
from multimodal.weights.clip import CLIP, SIGLIP

MODEL_TYPES = ("clip", "siglip")
_OLD_END = 2  # once written by mistake: the end token is then the one with the highest id
# By model_type, what an absent field of its two towers means.
_USUAL = {
    "clip": {"hidden_act": "quick_gelu", "layer_norm_eps": 1e-5, "patch_size": 32, "pad_token_id": 1},
    "siglip": {"hidden_act": "gelu_pytorch_tanh", "layer_norm_eps": 1e-6, "patch_size": 16, "pad_token_id": 1},
}
_TEXT_SIZE = {
    "clip": {"hidden_size": 512, "num_attention_heads": 8, "max_position_embeddings": 77, "vocab_size": 49408},
    "siglip": {"hidden_size": 768, "num_attention_heads": 12, "max_position_embeddings": 64, "vocab_size": 32000},
}


def read(config: Mapping[str, Any], generation: Mapping[str, Any]) -> Published:
    """A `DualEncoder`; see `Family.read`."""
    kind, fields = config["model_type"], Fields(config)
    fields.architecture(("CLIPModel",) if kind == "clip" else ("SiglipModel",))
    vision, text = _section(config, "vision_config"), _section(config, "text_config")
    if kind == "clip":
        dim = fields.whole("projection_dim", 512)
        return Published(config=_clip(vision, text, dim), table=CLIP)
    return Published(config=_siglip(vision, text), table=SIGLIP)


def _section(config: Mapping[str, Any], name: str) -> Fields:
    """The fields of one tower; old files of CLIP have them under another name as well, which outranks the first."""
    older = config.get(f"{name}_dict")
    found = older if older is not None else config.get(name) or {}
    if not isinstance(found, Mapping):
        raise DataError(f"config.json: {name} is {found!r}; it must be an object.")
    return Fields(found, f"config.json, {name}")


def _clip(vision: Fields, text: Fields, dim: int) -> DualEncoderConfig:
    tokens = replace(_patches(vision, "clip"), bias=False, norm=_norm(vision, "clip"))
    end = text.token("eos_token_id", 49407)
    vocabulary = text.whole("vocab_size", 49408)
    encoder = ImageEncoderConfig(tokenizer=tokens, backbone=_stack(vision, "clip", 768, 12), pool=ClassPoolConfig())
    return DualEncoderConfig(
        image=ImageTowerConfig(encoder=encoder),
        text=TextTowerConfig(
            embedding=_words(text, "clip"),
            backbone=_text_stack(text, "clip"),
            pool=EndPoolConfig(end=vocabulary - 1 if end in (None, _OLD_END) else end),
        ),
        dim=dim,
        similarity=SoftmaxSimilarityConfig(),
        transform=replace(CLIP_TRANSFORM, size=tokens.size),
    )


def _siglip(vision: Fields, text: Fields) -> DualEncoderConfig:
    vision.only(vision_use_head=True)
    stack, words = _stack(vision, "siglip", 768, 12), _text_stack(text, "siglip")
    tokens = replace(_patches(vision, "siglip"), prefix=0)
    if text.whole("projection_size", words.dim) != stack.dim:
        raise text.wrong("projection_size", f"the image tower gives {stack.dim} numbers, and the text tower must too")
    block = stack.block
    assert isinstance(block.mlp, MlpConfig)
    attention = replace(block.attention, dropout=0.0)
    encoder = ImageEncoderConfig(
        tokenizer=tokens,
        backbone=stack,
        pool=AttentionPoolConfig(attention=attention, mlp=block.mlp, norm=block.norm),
    )
    return DualEncoderConfig(
        image=ImageTowerConfig(encoder=encoder, projection=None),
        text=TextTowerConfig(
            embedding=_words(text, "siglip"),
            backbone=words,
            pool=PaddedPoolConfig(pad=text.token("pad_token_id", 1) or 0),
            causal=False,
            projection=ProjectionConfig(bias=True),
        ),
        dim=stack.dim,
        similarity=SigmoidSimilarityConfig(),
        transform=replace(SIGLIP_TRANSFORM, size=tokens.size),
    )


def _patches(fields: Fields, kind: str) -> ImageTokenizerConfig:
    fields.only(num_channels=3)
    size, patch = fields.whole("image_size", 224), fields.whole("patch_size", int(_USUAL[kind]["patch_size"]))
    return ImageTokenizerConfig(size=(size, size), patch=(patch, patch), remainder="cut")


def _words(fields: Fields, kind: str) -> TextEmbeddingConfig:
    usual = _TEXT_SIZE[kind]
    return TextEmbeddingConfig(
        vocabulary=fields.whole("vocab_size", usual["vocab_size"]),
        max_length=fields.whole("max_position_embeddings", usual["max_position_embeddings"]),
    )


def _text_stack(fields: Fields, kind: str) -> BackboneConfig:
    usual = _TEXT_SIZE[kind]
    return _stack(fields, kind, usual["hidden_size"], usual["num_attention_heads"])


def _stack(fields: Fields, kind: str, dim: int, heads: int) -> BackboneConfig:
    width = fields.whole("hidden_size", dim)
    block = BlockConfig(
        attention=AttentionConfig(
            heads=fields.whole("num_attention_heads", heads), dropout=fields.rate("attention_dropout", 0.0)
        ),
        mlp=MlpConfig(
            hidden=fields.whole("intermediate_size", 4 * dim),
            activation=fields.activation("hidden_act", str(_USUAL[kind]["hidden_act"])),
        ),
        norm=_norm(fields, kind),
    )
    return BackboneConfig(dim=width, depth=fields.whole("num_hidden_layers", 12), block=block)


def _norm(fields: Fields, kind: str) -> LayerNormConfig:
    return LayerNormConfig(eps=fields.number("layer_norm_eps", float(_USUAL[kind]["layer_norm_eps"]), least=0.0))


def write(model_config: Any) -> dict[str, Any] | None:
    """The config.json of a `DualEncoder`; see `Family.write`."""
    if not isinstance(model_config, DualEncoderConfig):
        return None
    image, text = model_config.image, model_config.text
    if not isinstance(image, ImageTowerConfig) or not isinstance(image.encoder, ImageEncoderConfig):
        return None
    if not isinstance(text, TextTowerConfig) or text.backbone is None:
        return None
    kind = "siglip" if isinstance(model_config.similarity, SigmoidSimilarityConfig) else "clip"
    tokens, words = image.encoder.tokenizer, text.embedding
    vision = {"image_size": tokens.size[0], "patch_size": tokens.patch[0], **_written(image.encoder.backbone)}
    written = {
        "vocab_size": words.vocabulary,
        "max_position_embeddings": words.max_length,
        **_written(text.backbone),
    }
    if kind == "clip":
        written["eos_token_id"] = text.pool.end if isinstance(text.pool, EndPoolConfig) else None
        both = {"projection_dim": model_config.dim}
        own = {"vision_config": {**vision, **both}, "text_config": {**written, **both}, **both}
    else:
        pad = text.pool.pad
        own = {
            "vision_config": vision,
            "text_config": {**written, "projection_size": model_config.dim, "pad_token_id": pad},
        }
    return {"model_type": kind, "architectures": ["CLIPModel" if kind == "clip" else "SiglipModel"], **own}


def _written(stack: BackboneConfig) -> dict[str, Any]:
    block = stack.block
    norm = block.norm
    return {
        "hidden_size": stack.dim,
        "intermediate_size": block.mlp.hidden,
        "num_hidden_layers": stack.depth,
        "num_attention_heads": block.attention.heads,
        "attention_dropout": block.attention.dropout,
        "hidden_act": activation_name(block.mlp.activation),
        "layer_norm_eps": norm.eps,
    }


def essential(config: DualEncoderConfig) -> DualEncoderConfig:
    """`config` without what embeddings of pixels do not depend on, for comparing two."""
    image = config.image
    if isinstance(image, ImageTowerConfig) and isinstance(image.encoder, ImageEncoderConfig):
        encoder = image.encoder
        tokens, pool = encoder.tokenizer, encoder.pool
        if not any(side % patch for side, patch in zip(tokens.size, tokens.patch, strict=True)):
            tokens = replace(tokens, remainder="cut")
        if not tokens.prefix:
            tokens = replace(tokens, prefix_positions=True)
            pool = replace(pool, include_prefix=True) if isinstance(pool, AttentionPoolConfig) else pool
        stack = replace(encoder.backbone, drop_path=0.0)
        image = replace(image, encoder=replace(encoder, tokenizer=tokens, pool=pool, backbone=stack))
    return replace(config, image=image, similarity=type(config.similarity)(), transform=DualEncoderConfig.transform)

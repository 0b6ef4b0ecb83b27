"""CLIP and SigLIP of transformers: their config.json as ours, and back.

SigLIP 2 checkpoints of a fixed resolution are of model_type "siglip" as well; those of any resolution ("siglip2",
NaFlex) are not read. Their image towers are read in `transformers_vision.py`, preprocessing in
`transformers_pixels.py`.

Refs: CLIP arXiv:2103.00020 · SigLIP arXiv:2303.15343 · SigLIP 2 arXiv:2502.14786
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from multimodal.backbone.backbone import BackboneConfig
from multimodal.errors import DataError
from multimodal.hub.transformers_family import Fields, Published
from multimodal.hub.transformers_vision import (
    Tower,
    essential_vision,
    read_stack,
    read_vision,
    write_stack,
    write_vision,
)
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
from multimodal.tokenizers.text_embedding import TextEmbeddingConfig
from multimodal.weights.clip import CLIP, SIGLIP

MODEL_TYPES = ("clip", "siglip")
_OLD_END = 2  # once written by mistake: the end token is then the one with the highest id
_TEXT_SIZE: dict[Tower, dict[str, int]] = {
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
    encoder = read_vision(vision, "clip")
    end = text.token("eos_token_id", 49407)
    vocabulary = text.whole("vocab_size", 49408)
    return DualEncoderConfig(
        image=ImageTowerConfig(encoder=encoder),
        text=TextTowerConfig(
            embedding=_words(text, "clip"),
            backbone=_text_stack(text, "clip"),
            pool=EndPoolConfig(end=vocabulary - 1 if end in (None, _OLD_END) else end),
        ),
        dim=dim,
        similarity=SoftmaxSimilarityConfig(),
        transform=replace(CLIP_TRANSFORM, size=encoder.tokenizer.size),
    )


def _siglip(vision: Fields, text: Fields) -> DualEncoderConfig:
    vision.only(vision_use_head=True)
    encoder, words = read_vision(vision, "siglip"), _text_stack(text, "siglip")
    dim = encoder.backbone.dim
    if text.whole("projection_size", words.dim) != dim:
        raise text.wrong("projection_size", f"the image tower gives {dim} numbers, and the text tower must too")
    return DualEncoderConfig(
        image=ImageTowerConfig(encoder=encoder, projection=None),
        text=TextTowerConfig(
            embedding=_words(text, "siglip"),
            backbone=words,
            pool=PaddedPoolConfig(pad=text.token("pad_token_id", 1) or 0),
            causal=False,
            projection=ProjectionConfig(bias=True),
        ),
        dim=dim,
        similarity=SigmoidSimilarityConfig(),
        transform=replace(SIGLIP_TRANSFORM, size=encoder.tokenizer.size),
    )


def _words(fields: Fields, kind: Tower) -> TextEmbeddingConfig:
    usual = _TEXT_SIZE[kind]
    return TextEmbeddingConfig(
        vocabulary=fields.whole("vocab_size", usual["vocab_size"]),
        max_length=fields.whole("max_position_embeddings", usual["max_position_embeddings"]),
    )


def _text_stack(fields: Fields, kind: Tower) -> BackboneConfig:
    usual = _TEXT_SIZE[kind]
    return read_stack(fields, kind, usual["hidden_size"], usual["num_attention_heads"])


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
    vision, words = write_vision(image.encoder), text.embedding
    written = {
        "vocab_size": words.vocabulary,
        "max_position_embeddings": words.max_length,
        **write_stack(text.backbone),
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


def essential(config: DualEncoderConfig) -> DualEncoderConfig:
    """`config` without what embeddings of pixels do not depend on, for comparing two."""
    image = config.image
    if isinstance(image, ImageTowerConfig) and isinstance(image.encoder, ImageEncoderConfig):
        image = replace(image, encoder=essential_vision(image.encoder))
    return replace(config, image=image, similarity=type(config.similarity)(), transform=DualEncoderConfig.transform)

"""LLaVA-1.5 and LLaVA-NeXT of transformers: their config.json as ours, and back.

The tower is CLIP's or SigLIP's (`transformers_vision.py`), the language model a Llama, Mistral or Qwen2
(`transformers_llama.py`). What the files of the processor say is read in `transformers_processor.py`.

Refs: LLaVA-1.5 arXiv:2310.03744 · LLaVA-NeXT (Liu et al. 2024,
https://llava-vl.github.io/blog/2024-01-30-llava-next)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch

from multimodal.backbone.lora import merged_state_dict
from multimodal.backbone.pool import AttentionPoolConfig, MeanPoolConfig
from multimodal.checkpoint.fit import skeleton
from multimodal.errors import ArgumentError, DataError, nearest
from multimodal.hub import transformers_llama
from multimodal.hub.transformers_family import Fields, Published, activation_name
from multimodal.hub.transformers_vision import Tower, essential_vision, read_vision, write_vision
from multimodal.models.chat.tiles import LLAVA_NEXT_CANVASES, TilesConfig
from multimodal.models.features import FeaturesConfig
from multimodal.models.image_encoder import ImageEncoderConfig
from multimodal.models.projector import MlpProjectorConfig
from multimodal.models.vision_language import VisionLanguageConfig, VisionLanguageModel
from multimodal.presets.dual import CLIP_TRANSFORM, SIGLIP_TRANSFORM
from multimodal.weights.clip import CLIP_IMAGE, SIGLIP_IMAGE
from multimodal.weights.llava import OLDER, llava

MODEL_TYPES = ("llava", "llava_next")
CLASSES = {  # by model_type, what the names of its classes begin with
    "llava": "Llava",
    "llava_next": "LlavaNext",
}
_TOWERS: dict[str, Tower] = {"clip_vision_model": "clip", "siglip_vision_model": "siglip"}
_USUAL_TOWER = {  # where the config is silent about all of it
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "image_size": 336,
    "patch_size": 14,
}


def read(config: Mapping[str, Any], generation: Mapping[str, Any]) -> Published:
    """A `VisionLanguageModel`; see `Family.read`."""
    kind, fields = config["model_type"], Fields(config)
    fields.architecture((f"{CLASSES[kind]}ForConditionalGeneration",))
    vision, tower = _section(fields, "vision_config", "clip_vision_model", _TOWERS, _USUAL_TOWER)
    text, _ = _section(fields, "text_config", "llama", transformers_llama.MODEL_TYPES, {})
    tied = fields.flag("tie_word_embeddings", False) or text.flag("tie_word_embeddings", False)
    # Which class its weights were of before they became a part of this does not matter.
    language = transformers_llama.read({**text.config, "tie_word_embeddings": tied, "architectures": None}, generation)
    encoder = read_vision(vision, _TOWERS[tower])
    usual = CLIP_TRANSFORM if tower == "clip_vision_model" else SIGLIP_TRANSFORM
    name = "image_token_id" if config.get("image_token_index") is None else "image_token_index"
    model = VisionLanguageConfig(
        features=FeaturesConfig(
            encoder=encoder, layers=_layers(fields, encoder), class_token=_class_token(fields, kind, encoder)
        ),
        projector=MlpProjectorConfig(
            activation=fields.activation("projector_hidden_act", "gelu"),
            bias=fields.flag("multimodal_projector_bias", True),
        ),
        language=language.config,  # pyright: ignore[reportArgumentType]
        placeholder=fields.whole(name, 32_000, least=0),
        transform=replace(usual, size=encoder.tokenizer.size),
        tiles=_tiles(fields, encoder.tokenizer.size) if kind == "llava_next" else None,
    )
    image = CLIP_IMAGE if tower == "clip_vision_model" else SIGLIP_IMAGE
    return Published(config=model, table=llava(image, language.table), older=OLDER)


def _section(fields: Fields, name: str, usual: str, known: Any, absent: Mapping[str, Any]) -> tuple[Fields, str]:
    """The config of a part, and its model_type; `absent`: what the part is where there is no config of it."""
    found = fields.config.get(name)
    if found is not None and not isinstance(found, Mapping):
        raise fields.wrong(name, "it must be an object")
    found = dict(absent) if found is None else found
    kind = found.get("model_type", usual)
    if kind not in known:
        near = nearest(str(kind), known)
        raise DataError(f"{fields.file}, {name}: model_type is {kind!r}; here it can be {', '.join(known)}.{near}")
    return Fields({**found, "model_type": kind}, f"{fields.file}, {name}"), kind


def _layers(fields: Fields, encoder: ImageEncoderConfig) -> tuple[int, ...]:
    """After which blocks the tower is read; theirs are counted as ours, 0 being what comes into the first."""
    found, depth = fields.config.get("vision_feature_layer"), encoder.backbone.depth
    found = -2 if found is None else found
    layers = found if isinstance(found, list) else [found]
    if not layers or any(type(layer) is not int or not -depth - 1 <= layer <= depth for layer in layers):
        raise fields.wrong("vision_feature_layer", f"it must be a number from {-depth - 1} to {depth}, or several")
    return tuple(layers)


def _class_token(fields: Fields, kind: str, encoder: ImageEncoderConfig) -> bool:
    """Whether the first token is kept as well: "full", of a tower that has one in front of its patches."""
    found = fields.config.get("vision_feature_select_strategy") or "default"
    name = "vision_feature_select_strategy"
    if found not in ("default", "full"):
        raise fields.wrong(name, "it must be 'default' or 'full'", nearest(str(found), ("default", "full")))
    if not encoder.tokenizer.prefix:
        if found == "default":
            raise fields.wrong(name, "it takes the first patch of a tower without a class token away; write 'full'")
        return False
    if found == "full" and kind == "llava_next":
        raise fields.wrong(name, "a class token has no place among tiles; write 'default'")
    return found == "full"


def strategy(features: FeaturesConfig, encoder: ImageEncoderConfig) -> str:
    """What `_class_token` reads."""
    return "default" if encoder.tokenizer.prefix and not features.class_token else "full"


def _tiles(fields: Fields, view: tuple[int, int]) -> TilesConfig:
    """`image_grid_pinpoints`."""
    name = "image_grid_pinpoints"
    found = fields.config.get(name)
    pairs = [list(canvas) for canvas in LLAVA_NEXT_CANVASES] if found is None else found
    whole = isinstance(pairs, list) and all(
        isinstance(pair, list) and len(pair) == 2 and all(type(side) is int for side in pair) for pair in pairs
    )
    if not whole:
        raise fields.wrong(name, "it must be a list of pairs, height and width in pixels")
    try:
        tiles = TilesConfig(canvases=tuple((height, width) for height, width in pairs))
        tiles.fits(view)
    except ArgumentError as error:
        raise fields.wrong(name, str(error).removesuffix(".")) from error
    return tiles


def write(model_config: Any) -> dict[str, Any] | None:
    """The config.json of a `VisionLanguageModel`; see `Family.write`."""
    if not isinstance(model_config, VisionLanguageConfig):
        return None
    features, projector = model_config.features, model_config.projector
    encoder, text = features.encoder, transformers_llama.write(model_config.language)
    if not isinstance(encoder, ImageEncoderConfig) or not isinstance(projector, MlpProjectorConfig) or text is None:
        return None
    kind = "llava" if model_config.tiles is None else "llava_next"
    tower: Tower = "clip" if encoder.tokenizer.prefix else "siglip"
    layers = list(features.layers) or [-2]
    found = {
        "model_type": kind,
        "architectures": [f"{CLASSES[kind]}ForConditionalGeneration"],
        "vision_config": {
            "model_type": next(name for name, one in _TOWERS.items() if one == tower),
            **write_vision(encoder),
        },
        "text_config": text,
        "tie_word_embeddings": text["tie_word_embeddings"],
        "image_token_index": model_config.placeholder,
        "projector_hidden_act": activation_name(projector.activation),
        "multimodal_projector_bias": projector.bias,
        "vision_feature_layer": layers[0] if len(layers) == 1 else layers,
        "vision_feature_select_strategy": strategy(features, encoder),
    }
    if model_config.tiles is not None:
        found["image_grid_pinpoints"] = [list(canvas) for canvas in model_config.tiles.canvases]
    return found


def essential(config: VisionLanguageConfig) -> VisionLanguageConfig:
    """`config` without what config.json does not say, for comparing two."""
    encoder, language = config.features.encoder, config.language
    if isinstance(encoder, ImageEncoderConfig):
        if not isinstance(encoder.pool, AttentionPoolConfig):  # no weights, and what it would give is not read
            encoder = replace(encoder, pool=MeanPoolConfig())
        config = replace(config, features=replace(config.features, encoder=essential_vision(encoder)))
    language = replace(language, generation=type(language.generation)())
    return replace(config, language=language, transform=VisionLanguageConfig.transform)


def with_row(model: VisionLanguageModel) -> VisionLanguageModel:
    """`model`, or a copy whose word table has a row for the placeholder too, which transformers looks up.

    It is the mean of the others, so that among the logits its own is never the largest.
    """
    config, language = model.config, model.config.language
    lacking = config.placeholder + 1 - config.embedding.vocabulary
    if lacking <= 0:
        return model
    wider = replace(language, embedding=replace(language.embedding, vocabulary=config.placeholder + 1))
    state = merged_state_dict(model)
    for name in ("language.embedding.words.weight", "language.head.weight"):
        if name in state:
            mean = state[name].mean(0, keepdim=True)
            state[name] = torch.cat([state[name], mean.expand(lacking, -1)])
    found = skeleton(replace(config, language=wider), tokenizer=model.tokenizer)
    found.load_state_dict(state, assign=True)
    assert isinstance(found, VisionLanguageModel)
    return found

"""Llama, Mistral and Qwen2 of transformers (and Vicuna, which is a Llama): their config.json as ours, and back.

They differ in biases (Qwen2 has them on queries, keys and values), in sliding windows (Mistral, Qwen2) and in defaults.

Refs: Llama arXiv:2302.13971 · Llama 2 arXiv:2307.09288 · Llama 3 arXiv:2407.21783 · Mistral arXiv:2310.06825 · Qwen2
arXiv:2407.10671
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from multimodal.backbone.attention import AttentionConfig
from multimodal.backbone.backbone import BackboneConfig
from multimodal.backbone.block import BlockConfig
from multimodal.backbone.mlp import GatedMlpConfig
from multimodal.backbone.norm import RMSNormConfig
from multimodal.backbone.rotary import RotaryConfig
from multimodal.backbone.rotary_scaling import (
    LinearScalingConfig,
    Llama3ScalingConfig,
    ScalingConfig,
    YarnScalingConfig,
)
from multimodal.errors import nearest
from multimodal.hub.transformers_family import Fields, Published, activation_name
from multimodal.hub.transformers_generation import read_generation
from multimodal.models.language_model import LanguageModelConfig
from multimodal.tokenizers.text_embedding import TextEmbeddingConfig
from multimodal.weights.llama import llama

MODEL_TYPES = ("llama", "mistral", "qwen2")
_OLDER = ((r"^", "model."),)  # files without the output layer
_ROPE_TYPES = ("default", "linear", "llama3", "yarn")


@dataclass(frozen=True)
class _Defaults:
    """What a config.json of each type means where it is silent."""

    name: str
    vocabulary: int
    hidden: int
    kv_heads: int | None
    length: int
    end: int | None


_DEFAULTS = {
    "llama": _Defaults("Llama", 32_000, 11_008, None, 2048, 2),
    "mistral": _Defaults("Mistral", 32_000, 14_336, 8, 131_072, 2),
    "qwen2": _Defaults("Qwen2", 151_936, 22_016, 32, 32_768, None),
}


def read(config: Mapping[str, Any], generation: Mapping[str, Any]) -> Published:
    """A `LanguageModel`; see `Family.read`."""
    fields, kind = Fields(config), config.get("model_type", "llama")
    usual = _DEFAULTS[kind]
    fields.architecture((f"{usual.name}ForCausalLM", f"{usual.name}Model"))
    dim, heads = fields.whole("hidden_size", 4096), fields.whole("num_attention_heads", 32)
    kv_heads = fields.whole("num_key_value_heads", usual.kv_heads or heads)
    length = fields.whole("max_position_embeddings", usual.length)
    head_dim = fields.whole("head_dim", dim // heads)
    block = BlockConfig(
        attention=AttentionConfig(
            heads=heads,
            kv_heads=kv_heads if kv_heads != heads else None,
            head_dim=head_dim if head_dim * heads != dim else None,
            bias=_bias(fields, kind),
            dropout=fields.rate("attention_dropout", 0.0),
        ),
        mlp=GatedMlpConfig(
            hidden=fields.whole("intermediate_size", usual.hidden),
            activation=fields.activation("hidden_act", "silu"),
            bias=kind == "llama" and fields.flag("mlp_bias", False),
        ),
        norm=RMSNormConfig(eps=fields.number("rms_norm_eps", 1e-6, least=0.0)),
    )
    depth, tied = fields.whole("num_hidden_layers", 32), fields.flag("tie_word_embeddings", False)
    model = LanguageModelConfig(
        embedding=TextEmbeddingConfig(
            vocabulary=fields.whole("vocab_size", usual.vocabulary), max_length=length, position=None
        ),
        backbone=BackboneConfig(dim=dim, depth=depth, block=block, position=_rotary(fields, length)),
        tied=tied,
        window=_window(fields, kind, depth),
        generation=read_generation(config, generation, end=usual.end),
    )
    return Published(config=model, table=llama(tied=tied), older=_OLDER)


def write(model_config: Any) -> dict[str, Any] | None:
    """The config.json of a `LanguageModel`; see `Family.write`."""
    if not isinstance(model_config, LanguageModelConfig):
        return None
    backbone, block = model_config.backbone, model_config.backbone.block
    attention, mlp, norm, rotary = block.attention, block.mlp, block.norm, backbone.position
    if not (isinstance(mlp, GatedMlpConfig) and isinstance(norm, RMSNormConfig) and isinstance(rotary, RotaryConfig)):
        return None
    kind = "qwen2" if attention.bias == "qkv" else "mistral" if model_config.window is not None else "llama"
    name = _DEFAULTS[kind].name
    found = {
        "model_type": kind,
        "architectures": [f"{name}ForCausalLM"],
        "vocab_size": model_config.embedding.vocabulary,
        "hidden_size": backbone.dim,
        "intermediate_size": mlp.hidden,
        "num_hidden_layers": backbone.depth,
        "num_attention_heads": attention.heads,
        "num_key_value_heads": attention.kv_heads or attention.heads,
        "head_dim": attention.width(backbone.dim),
        "hidden_act": activation_name(mlp.activation),
        "max_position_embeddings": model_config.embedding.max_length,
        "rms_norm_eps": norm.eps,
        "attention_dropout": attention.dropout,
        "tie_word_embeddings": model_config.tied,
        "rope_parameters": _rope(rotary),
    }
    if rotary.scaling is None:
        found["rope_theta"] = rotary.base  # where versions before 5 look for it
    if kind == "llama":
        return {**found, "attention_bias": attention.bias == "qkvo", "mlp_bias": mlp.bias}
    if kind == "mistral":
        return {**found, "sliding_window": model_config.window}
    sliding = model_config.window is not None
    windows = {"sliding_window": model_config.window, "max_window_layers": 0 if sliding else backbone.depth}
    return {**found, "use_sliding_window": sliding, **windows}


def _bias(fields: Fields, kind: str) -> Any:
    if kind == "llama":
        return "qkvo" if fields.flag("attention_bias", False) else ""
    return "qkv" if kind == "qwen2" else ""


def _window(fields: Fields, kind: str, depth: int) -> int | None:
    """How far each token looks back, in all layers alike."""
    if kind == "llama" or (kind == "qwen2" and not fields.flag("use_sliding_window", False)):
        return None
    if kind == "mistral":
        return None if fields.config.get("sliding_window", 0) is None else fields.whole("sliding_window", 4096)
    layers = fields.config.get("layer_types")
    if layers is not None:
        kinds = ("full_attention", "sliding_attention")
        if not isinstance(layers, list) or len(layers) != depth or any(layer not in kinds for layer in layers):
            raise fields.wrong("layer_types", f"it must say for each of the {depth} layers one of {', '.join(kinds)}")
    else:
        first = fields.whole("max_window_layers", 28, least=0)
        layers = ["sliding_attention" if i >= first else "full_attention" for i in range(depth)]
    if set(layers) == {"full_attention"} or fields.config.get("sliding_window", 0) is None:
        return None
    if set(layers) == {"sliding_attention"}:
        return fields.whole("sliding_window", 4096)
    name = "layer_types" if fields.config.get("layer_types") else "max_window_layers"
    raise fields.wrong(name, "here a sliding window is that of all layers or of none")


def _rotary(fields: Fields, length: int) -> RotaryConfig:
    """Rotary positions from `rope_parameters` (transformers 5), or `rope_theta` and `rope_scaling` (before)."""
    given = fields.config.get("rope_parameters") or {}
    name = "rope_parameters"
    if fields.config.get("rope_scaling"):
        given, name = fields.config["rope_scaling"], "rope_scaling"
    if not isinstance(given, dict):
        raise fields.wrong(name, "it must be an object")
    rope = Fields(given, f"config.json: {name}")
    rope.only(partial_rotary_factor=1.0)
    fields.only(partial_rotary_factor=1.0)
    base = rope.number("rope_theta", fields.number("rope_theta", 10_000.0))
    kind = given.get("rope_type", given.get("type", "default"))
    if kind not in _ROPE_TYPES:
        near = nearest(str(kind), _ROPE_TYPES)
        raise fields.wrong(name, f"the kinds of scaling here are {', '.join(_ROPE_TYPES)}", near)
    return RotaryConfig(base=base, scaling=_scaling(rope, kind, length))


def _scaling(rope: Fields, kind: str, length: int) -> ScalingConfig | None:
    if kind == "default":
        return None
    if kind == "linear":
        return LinearScalingConfig(factor=rope.number("factor"))
    original = rope.whole("original_max_position_embeddings", length)
    if kind == "llama3":
        slow, fast = rope.number("low_freq_factor"), rope.number("high_freq_factor")
        return Llama3ScalingConfig(factor=rope.number("factor"), original_length=original, slow=slow, fast=fast)
    factor = rope.number("factor", length / original)
    above, below = rope.number("mscale", 0.0), rope.number("mscale_all_dim", 0.0)
    amplitude = _growth(factor, above) / _growth(factor, below) if above and below else _growth(factor, 1.0)
    return YarnScalingConfig(
        factor=factor,
        original_length=original,
        slow=rope.number("beta_slow", 1.0),
        fast=rope.number("beta_fast", 32.0),
        whole=rope.flag("truncate", True),
        amplitude=rope.number("attention_factor", amplitude),
    )


def _growth(factor: float, rate: float) -> float:
    """YaRN's amplitude (arXiv:2309.00071 §3.4)."""
    return 0.1 * rate * math.log(factor) + 1.0 if factor > 1 else 1.0


def _rope(rotary: RotaryConfig) -> dict[str, Any]:
    """`rope_parameters`."""
    base, scaling = {"rope_theta": rotary.base}, rotary.scaling
    if scaling is None:
        return {"rope_type": "default", **base}
    if isinstance(scaling, LinearScalingConfig):
        return {"rope_type": "linear", **base, "factor": scaling.factor}
    shared = {**base, "factor": scaling.factor, "original_max_position_embeddings": scaling.original_length}
    if isinstance(scaling, Llama3ScalingConfig):
        return {"rope_type": "llama3", **shared, "low_freq_factor": scaling.slow, "high_freq_factor": scaling.fast}
    turns = {"beta_slow": scaling.slow, "beta_fast": scaling.fast}
    return {"rope_type": "yarn", **shared, **turns, "truncate": scaling.whole, "attention_factor": scaling.amplitude}

"""GPT ("openai-gpt") and GPT-2 of transformers: their config.json as ours, and back.

GPT normalises after each branch and not at the end; GPT-2 before, and at the end. Refs: GPT (Radford et al. 2018) ·
GPT-2 (Radford et al. 2019)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from multimodal.backbone.attention import AttentionConfig
from multimodal.backbone.backbone import BackboneConfig
from multimodal.backbone.block import BlockConfig
from multimodal.backbone.mlp import Activation, MlpConfig
from multimodal.backbone.norm import LayerNormConfig
from multimodal.hub.transformers_family import Fields, Published, activation_name
from multimodal.hub.transformers_generation import read_generation
from multimodal.models.language_model import LanguageModelConfig
from multimodal.tokenizers.text_embedding import TextEmbeddingConfig
from multimodal.weights.gpt import gpt1, gpt2

MODEL_TYPES = ("gpt2", "openai-gpt")
_OLDER = ((r"^", "transformer."),)  # files without the output layer, and the ones first published
_GPT1_ACTIVATIONS: dict[str, Activation] = {"gelu": "gelu_tanh", "relu": "relu", "silu": "silu", "swish": "silu"}


def read(config: Mapping[str, Any], generation: Mapping[str, Any]) -> Published:
    """A `LanguageModel`; see `Family.read`."""
    fields = Fields(config)
    first = config.get("model_type") == "openai-gpt"
    fields.architecture(("OpenAIGPTLMHeadModel", "OpenAIGPTModel") if first else ("GPT2LMHeadModel", "GPT2Model"))
    fields.only(add_cross_attention=False, scale_attn_by_inverse_layer_idx=False)
    dim, length = fields.whole("n_embd", 768), fields.whole("n_positions", 512 if first else 1024)
    block = BlockConfig(
        attention=AttentionConfig(
            heads=fields.whole("n_head", 12),
            scale=None if fields.flag("scale_attn_weights", True) else 1.0,
            dropout=fields.rate("attn_pdrop", 0.1),
        ),
        mlp=MlpConfig(
            hidden=4 * dim if first else fields.whole("n_inner", 4 * dim),
            activation=_gpt1_activation(fields) if first else fields.activation("activation_function", "gelu_new"),
        ),
        norm=LayerNormConfig(eps=fields.number("layer_norm_epsilon", 1e-5, least=0.0)),
        placement="post" if first else "pre",
        dropout=fields.rate("resid_pdrop", 0.1),
    )
    tied = fields.flag("tie_word_embeddings", True)
    model = LanguageModelConfig(
        embedding=TextEmbeddingConfig(
            vocabulary=fields.whole("vocab_size", 40_478 if first else 50_257),
            max_length=length,
            dropout=fields.rate("embd_pdrop", 0.1),
        ),
        backbone=BackboneConfig(dim=dim, depth=fields.whole("n_layer", 12), block=block, final_norm=not first),
        tied=tied,
        generation=read_generation(config, generation, end=None if first else 50_256),
    )
    return Published(config=model, table=gpt1(tied=tied) if first else gpt2(tied=tied), older=_OLDER)


def write(model_config: Any) -> dict[str, Any] | None:
    """The config.json of a `LanguageModel`; see `Family.write`."""
    if not isinstance(model_config, LanguageModelConfig):
        return None
    embedding, backbone, block = model_config.embedding, model_config.backbone, model_config.backbone.block
    if not isinstance(block.mlp, MlpConfig) or not isinstance(block.norm, LayerNormConfig):
        return None
    first = block.placement == "post"
    names = {ours: theirs for theirs, ours in reversed(_GPT1_ACTIVATIONS.items())}
    if first and block.mlp.activation not in names:
        return None
    shared = {
        "vocab_size": embedding.vocabulary,
        "n_positions": embedding.max_length,
        "n_embd": backbone.dim,
        "n_layer": backbone.depth,
        "n_head": block.attention.heads,
        "layer_norm_epsilon": block.norm.eps,
        "embd_pdrop": embedding.dropout,
        "attn_pdrop": block.attention.dropout,
        "resid_pdrop": block.dropout,
        "tie_word_embeddings": model_config.tied,
    }
    if first:
        kind = {"model_type": "openai-gpt", "architectures": ["OpenAIGPTLMHeadModel"]}
        return {**kind, **shared, "afn": names[block.mlp.activation]}
    return {
        "model_type": "gpt2",
        "architectures": ["GPT2LMHeadModel"],
        **shared,
        "n_inner": block.mlp.hidden,
        "activation_function": activation_name(block.mlp.activation),
        "scale_attn_weights": block.attention.scale is None,
    }


def _gpt1_activation(fields: Fields) -> Activation:
    """GPT's own table of activations, in which "gelu" is the tanh approximation."""
    found = fields.config.get("afn", "gelu")
    if not isinstance(found, str) or found not in _GPT1_ACTIVATIONS:
        raise fields.wrong("afn", f"it must be one of {', '.join(_GPT1_ACTIVATIONS)}")
    return _GPT1_ACTIVATIONS[found]

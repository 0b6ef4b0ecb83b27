"""T5 of transformers, versions 1.0 and 1.1 (and Flan-T5, which is a 1.1): their config.json as ours, and back.

Version 1.0 multiplies with the word table, scaled by 1 / sqrt(d), to get logits; 1.1 has an output layer of its own.

Refs: T5 arXiv:1910.10683 · gated units arXiv:2002.05202
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from multimodal.backbone.attention import AttentionConfig
from multimodal.backbone.backbone import BackboneConfig
from multimodal.backbone.bias import RelativeBiasConfig
from multimodal.backbone.block import BlockConfig
from multimodal.backbone.mlp import GatedMlpConfig, MlpConfig
from multimodal.backbone.norm import RMSNormConfig
from multimodal.hub.transformers_family import Fields, Published, activation_name
from multimodal.hub.transformers_generation import read_generation
from multimodal.models.encoder_decoder import EncoderDecoderConfig
from multimodal.tokenizers.text_embedding import TextEmbeddingConfig
from multimodal.weights.t5 import t5

MODEL_TYPES = ("t5",)
_ARCHITECTURES = ("T5ForConditionalGeneration", "T5Model", "T5WithLMHeadModel")  # the last: as first published


def read(config: Mapping[str, Any], generation: Mapping[str, Any]) -> Published:
    """An `EncoderDecoder`; see `Family.read`."""
    fields = Fields(config)
    fields.architecture(_ARCHITECTURES)
    fields.only(is_decoder=False, is_encoder_decoder=True)
    dim, depth, rate = fields.whole("d_model", 512), fields.whole("num_layers", 6), fields.rate("dropout_rate", 0.1)
    heads, width = fields.whole("num_heads", 8), fields.whole("d_kv", 64)
    attention = AttentionConfig(
        heads=heads, head_dim=width if heads * width != dim else None, bias="", scale=1.0, dropout=rate
    )
    block = BlockConfig(
        attention=attention,
        mlp=_mlp(fields, rate),
        norm=RMSNormConfig(eps=fields.number("layer_norm_epsilon", 1e-6, least=0.0)),
        dropout=rate,
    )
    buckets = fields.whole("relative_attention_num_buckets", 32, least=4)
    farthest = fields.whole("relative_attention_max_distance", 128, least=buckets // 2 + 1)
    position = RelativeBiasConfig(buckets=buckets, max_distance=farthest)
    # Newer files say that the word table is the output layer also where it is not; the scale tells them apart.
    tied = fields.flag("tie_word_embeddings", True)
    scaled = fields.flag("scale_decoder_outputs", tied)
    said = fields if config.get("decoder_start_token_id") is not None else Fields(generation, "generation_config.json")
    start = said.token("decoder_start_token_id")
    model = EncoderDecoderConfig(
        embedding=TextEmbeddingConfig(
            vocabulary=fields.whole("vocab_size", 32_128),
            max_length=fields.whole("n_positions", 512),
            position=None,
            dropout=rate,
        ),
        encoder=BackboneConfig(dim=dim, depth=depth, block=block, position=position),
        decoder=BackboneConfig(
            dim=dim,
            depth=fields.whole("num_decoder_layers", depth),
            block=replace(block, cross_attention=attention),
            position=replace(position, bidirectional=False),
        ),
        start=fields.whole("pad_token_id", 0, least=0) if start is None else start,
        tied=tied and scaled,
        generation=read_generation(config, generation, end=1, encoder_decoder=True),
        output_scale=dim**-0.5 if scaled else 1.0,
    )
    gated = isinstance(block.mlp, GatedMlpConfig)
    found = Published(config=model, table=t5(gated=gated, tied=model.tied))
    if model.tied:
        return found
    without = Published(config=replace(model, tied=True), table=t5(gated=gated, tied=True))
    return replace(found, without=(("lm_head.weight", without),))


def _mlp(fields: Fields, dropout: float) -> MlpConfig | GatedMlpConfig:
    """From "relu", "gated-gelu" (which means the tanh approximation) and the like."""
    form = fields.config.get("feed_forward_proj") or "relu"
    kind, _, name = form.rpartition("-") if isinstance(form, str) else ("?", "", "")
    if kind not in ("", "gated"):
        raise fields.wrong("feed_forward_proj", "it must be an activation, or 'gated-' and an activation")
    gated, hidden = fields.flag("is_gated_act", kind == "gated"), fields.whole("d_ff", 2048)
    activation = fields.activation("dense_act_fn", "gelu_new" if form == "gated-gelu" else name)
    if gated:
        return GatedMlpConfig(hidden=hidden, activation=activation, dropout=dropout)
    return MlpConfig(hidden=hidden, activation=activation, bias=False, dropout=dropout)


def write(model_config: Any) -> dict[str, Any] | None:
    """The config.json of an `EncoderDecoder`; see `Family.write`."""
    if not isinstance(model_config, EncoderDecoderConfig):
        return None
    encoder, decoder, block = model_config.encoder, model_config.decoder, model_config.encoder.block
    if not isinstance(encoder.position, RelativeBiasConfig) or not isinstance(block.norm, RMSNormConfig):
        return None
    gated, activation = isinstance(block.mlp, GatedMlpConfig), activation_name(block.mlp.activation)
    return {
        "model_type": "t5",
        "architectures": [_ARCHITECTURES[0]],
        "is_encoder_decoder": True,
        "vocab_size": model_config.embedding.vocabulary,
        "n_positions": model_config.embedding.max_length,
        "d_model": encoder.dim,
        "d_kv": block.attention.width(encoder.dim),
        "d_ff": block.mlp.hidden,
        "num_layers": encoder.depth,
        "num_decoder_layers": decoder.depth,
        "num_heads": block.attention.heads,
        "relative_attention_num_buckets": encoder.position.buckets,
        "relative_attention_max_distance": encoder.position.max_distance,
        "dropout_rate": block.dropout,
        "layer_norm_epsilon": block.norm.eps,
        "feed_forward_proj": f"gated-{activation}" if gated else activation,
        "dense_act_fn": activation,
        "is_gated_act": gated,
        "tie_word_embeddings": model_config.tied,
        "scale_decoder_outputs": model_config.output_scale != 1.0,
        "decoder_start_token_id": model_config.start,
        "pad_token_id": model_config.start,  # T5 begins with padding
    }

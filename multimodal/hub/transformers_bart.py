"""BART and Marian of transformers: their config.json as ours, and back.

Both normalise after each branch. Marian is the original encoder-decoder: sinusoidal positions, embeddings without a
norm. Word tables of their own for the encoder and the decoder, which a few Marian models have, cannot be read.

Refs: BART arXiv:1910.13461 · Marian arXiv:1804.00344 · arXiv:1706.03762
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

from multimodal.backbone.attention import AttentionConfig
from multimodal.backbone.backbone import BackboneConfig
from multimodal.backbone.block import BlockConfig
from multimodal.backbone.mlp import MlpConfig
from multimodal.backbone.norm import LayerNormConfig
from multimodal.backbone.position import LearnedPositionConfig, SinusoidalPositionConfig
from multimodal.hub.transformers_family import Fields, Published, activation_name
from multimodal.hub.transformers_generation import read_generation
from multimodal.models.encoder_decoder import EncoderDecoderConfig
from multimodal.tokenizers.text_embedding import TextEmbeddingConfig
from multimodal.weights.bart import bart

MODEL_TYPES = ("bart", "marian")
_NORM = LayerNormConfig(eps=1e-5)
_BARE = ((r"^model\.", ""),)  # the same model with its head, read without
_HEADED = ((r"^(?=(shared|encoder|decoder)\.)", "model."),)  # the same model without its head


def read(config: Mapping[str, Any], generation: Mapping[str, Any]) -> Published:
    """An `EncoderDecoder`; see `Family.read`."""
    fields, marian = Fields(config), config.get("model_type") == "marian"
    kinds = ("MarianMTModel",) if marian else ("BartForConditionalGeneration", "BartModel")
    head = fields.architecture(kinds) == kinds[0]
    fields.only(tie_word_embeddings=True, is_decoder=False, is_encoder_decoder=True, normalize_before=False)
    fields.only(add_final_layer_norm=False, static_position_embeddings=marian, normalize_embedding=not marian)
    vocabulary = fields.whole("vocab_size", 58_101 if marian else 50_265)
    if marian:
        fields.only(share_encoder_decoder_embeddings=True, decoder_vocab_size=vocabulary)
    dim = fields.whole("d_model", 1024)
    said = fields if config.get("decoder_start_token_id") is not None else Fields(generation, "generation_config.json")
    start = said.token("decoder_start_token_id", 58_100 if marian else 2)
    model = EncoderDecoderConfig(
        embedding=TextEmbeddingConfig(
            vocabulary=vocabulary,
            max_length=fields.whole("max_position_embeddings", 1024),
            position=SinusoidalPositionConfig() if marian else LearnedPositionConfig(),
            first_position=0 if marian else 2,
            norm=None if marian else _NORM,
            scale=math.sqrt(dim) if fields.flag("scale_embedding", False) else 1.0,
            dropout=fields.rate("dropout", 0.1),
        ),
        encoder=_stack(fields, dim, "encoder"),
        decoder=_stack(fields, dim, "decoder"),
        start=fields.whole("pad_token_id", 58_100 if marian else 1, least=0) if start is None else start,
        output_bias=head,
        generation=read_generation(config, generation, end=0 if marian else 2, encoder_decoder=True),
    )
    table = bart(head=head, sinusoidal=marian)
    return Published(config=model, table=table, older=_HEADED if head else _BARE)


def _stack(fields: Fields, dim: int, name: Literal["encoder", "decoder"]) -> BackboneConfig:
    attention = AttentionConfig(
        heads=fields.whole(f"{name}_attention_heads", 16), dropout=fields.rate("attention_dropout", 0.0)
    )
    block = BlockConfig(
        attention=attention,
        cross_attention=attention if name == "decoder" else None,
        mlp=MlpConfig(
            hidden=fields.whole(f"{name}_ffn_dim", 4096),
            activation=fields.activation("activation_function", "gelu"),
            dropout=fields.rate("activation_dropout", 0.0),
        ),
        norm=_NORM,
        placement="post",
        dropout=fields.rate("dropout", 0.1),
    )
    return BackboneConfig(dim=dim, depth=fields.whole(f"{name}_layers", 12), block=block, final_norm=False)


def write(model_config: Any) -> dict[str, Any] | None:
    """The config.json of an `EncoderDecoder`; see `Family.write`."""
    if not isinstance(model_config, EncoderDecoderConfig):
        return None
    embedding, encoder = model_config.embedding, model_config.encoder
    marian = isinstance(embedding.position, SinusoidalPositionConfig)
    if not isinstance(encoder.block.mlp, MlpConfig) or embedding.position is None:
        return None
    kinds = {True: "MarianMTModel"} if marian else {True: "BartForConditionalGeneration", False: "BartModel"}
    if model_config.output_bias not in kinds:
        return None
    stacks: dict[str, Any] = {}
    for name, stack in (("encoder", encoder), ("decoder", model_config.decoder)):
        stacks[f"{name}_layers"] = stack.depth
        stacks[f"{name}_attention_heads"] = stack.block.attention.heads
        stacks[f"{name}_ffn_dim"] = stack.block.mlp.hidden
    rules = model_config.generation.rules
    return {
        "model_type": "marian" if marian else "bart",
        "architectures": [kinds[model_config.output_bias]],
        "is_encoder_decoder": True,
        "vocab_size": embedding.vocabulary,
        "max_position_embeddings": embedding.max_length,
        "d_model": encoder.dim,
        **stacks,
        "activation_function": activation_name(encoder.block.mlp.activation),
        "dropout": encoder.block.dropout,
        "attention_dropout": encoder.block.attention.dropout,
        "activation_dropout": encoder.block.mlp.dropout,
        "scale_embedding": embedding.scale != 1.0,
        "decoder_start_token_id": model_config.start,
        **({"pad_token_id": model_config.start} if marian else {}),  # Marian begins with padding
        "forced_bos_token_id": rules.forced_first,
        "forced_eos_token_id": rules.forced_last,
    }

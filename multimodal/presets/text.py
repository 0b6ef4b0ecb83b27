"""The designs of published text models; the defaults are the smallest published one.

What a design fixes is written here once: norms, activations, positions, biases. Recipes choose the sizes. Weights come
from `hub/`, which reads a checkpoint's own config.

Refs: GPT-2 (Radford et al. 2019) §2.3 · Llama arXiv:2302.13971 §2.2 · BERT arXiv:1810.04805 §3 · T5 arXiv:1910.10683
§2.1, version 1.1: arXiv:2002.05202 · the original transformer arXiv:1706.03762 Table 3
"""

from __future__ import annotations

import math
from dataclasses import replace

from multimodal.backbone.attention import AttentionConfig
from multimodal.backbone.backbone import BackboneConfig
from multimodal.backbone.bias import RelativeBiasConfig
from multimodal.backbone.block import BlockConfig
from multimodal.backbone.mlp import GatedMlpConfig, MlpConfig
from multimodal.backbone.norm import LayerNormConfig, RMSNormConfig
from multimodal.backbone.position import SinusoidalPositionConfig
from multimodal.backbone.rotary import RotaryConfig
from multimodal.models.encoder_decoder import EncoderDecoderConfig
from multimodal.models.language_model import LanguageModelConfig
from multimodal.models.text_encoder import MaskedHeadConfig, PoolerConfig, TextEncoderConfig
from multimodal.tokenizers.text_embedding import TextEmbeddingConfig


def gpt2(
    vocabulary: int,
    *,
    length: int = 1024,
    dim: int = 768,
    depth: int = 12,
    heads: int = 12,
    bias: bool = True,
    dropout: float = 0.0,
) -> LanguageModelConfig:
    """GPT-2: learned positions, pre-norm, GELU; `bias=False` leaves all biases out, those of norms too."""
    block = BlockConfig(
        attention=AttentionConfig(heads=heads, bias="qkvo" if bias else "", dropout=dropout),
        mlp=MlpConfig(hidden=4 * dim, activation="gelu_tanh" if bias else "gelu", bias=bias),
        norm=LayerNormConfig(eps=1e-5, bias=bias),
        dropout=dropout,
    )
    return LanguageModelConfig(
        embedding=TextEmbeddingConfig(vocabulary=vocabulary, max_length=length, dropout=dropout),
        backbone=BackboneConfig(dim=dim, depth=depth, block=block),
    )


def llama(
    vocabulary: int,
    *,
    length: int = 2048,
    dim: int = 4096,
    depth: int = 32,
    heads: int = 32,
    multiple: int = 256,
    tied: bool = False,
    dropout: float = 0.0,
) -> LanguageModelConfig:
    """Llama: rotary positions, RMSNorm, no biases, SwiGLU of 8/3 of the width (made a multiple of `multiple`)."""
    block = BlockConfig(
        attention=AttentionConfig(heads=heads, bias="", dropout=dropout),
        mlp=GatedMlpConfig(hidden=multiple * math.ceil(8 * dim / 3 / multiple), activation="silu"),
        norm=RMSNormConfig(eps=1e-6),
        dropout=dropout,
    )
    return LanguageModelConfig(
        embedding=TextEmbeddingConfig(vocabulary=vocabulary, max_length=length, position=None, dropout=dropout),
        backbone=BackboneConfig(dim=dim, depth=depth, block=block, position=RotaryConfig()),
        tied=tied,
    )


def bert(
    vocabulary: int,
    *,
    length: int = 512,
    dim: int = 768,
    depth: int = 12,
    heads: int = 12,
    dropout: float = 0.1,
    next_sentence: bool = False,
) -> TextEncoderConfig:
    """BERT with its head for masked words; with `next_sentence` its pooler as well."""
    norm = LayerNormConfig(eps=1e-12)
    block = BlockConfig(
        attention=AttentionConfig(heads=heads, dropout=dropout),
        mlp=MlpConfig(hidden=4 * dim, activation="gelu"),
        norm=norm,
        placement="post",
        dropout=dropout,
    )
    embedding = TextEmbeddingConfig(vocabulary=vocabulary, max_length=length, types=2, norm=norm, dropout=dropout)
    return TextEncoderConfig(
        embedding=embedding,
        backbone=BackboneConfig(dim=dim, depth=depth, block=block, final_norm=False),
        pooler=PoolerConfig(next_sentence=True) if next_sentence else None,
        head=MaskedHeadConfig(norm=norm),
    )


def t5(
    vocabulary: int,
    *,
    start: int,
    length: int = 512,
    dim: int = 512,
    depth: int = 8,
    heads: int = 6,
    head_dim: int = 64,
    hidden: int = 1024,
    dropout: float = 0.0,
) -> EncoderDecoderConfig:
    """T5 1.1: relative positions shared by all layers, RMSNorm, gated GELU, unscaled scores, no biases, untied."""
    attention = AttentionConfig(heads=heads, head_dim=head_dim, bias="", scale=1.0, dropout=dropout)
    block = BlockConfig(
        attention=attention,
        mlp=GatedMlpConfig(hidden=hidden, activation="gelu_tanh", dropout=dropout),
        norm=RMSNormConfig(eps=1e-6),
        dropout=dropout,
    )
    stack = BackboneConfig(dim=dim, depth=depth, block=block, position=RelativeBiasConfig())
    return EncoderDecoderConfig(
        embedding=TextEmbeddingConfig(vocabulary=vocabulary, max_length=length, position=None, dropout=dropout),
        encoder=stack,
        decoder=replace(
            stack, block=replace(block, cross_attention=attention), position=RelativeBiasConfig(bidirectional=False)
        ),
        start=start,
        tied=False,
    )


def transformer(
    vocabulary: int,
    *,
    start: int,
    length: int = 512,
    dim: int = 512,
    depth: int = 6,
    heads: int = 8,
    dropout: float = 0.1,
) -> EncoderDecoderConfig:
    """The original transformer, its "base" by default: sinusoidal positions, norms after the sums, one word table."""
    attention = AttentionConfig(heads=heads)
    block = BlockConfig(
        attention=attention, mlp=MlpConfig(hidden=4 * dim, activation="relu"), placement="post", dropout=dropout
    )
    stack = BackboneConfig(dim=dim, depth=depth, block=block, final_norm=False)
    return EncoderDecoderConfig(
        embedding=TextEmbeddingConfig(
            vocabulary=vocabulary,
            max_length=length,
            position=SinusoidalPositionConfig(interleaved=True),
            scale=math.sqrt(dim),
            dropout=dropout,
        ),
        encoder=stack,
        decoder=replace(stack, block=replace(block, cross_attention=attention)),
        start=start,
    )

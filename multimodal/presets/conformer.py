"""The Conformer with CTC; the defaults are the paper's small model.

Sizes of Table 1, arXiv:2005.08100: S dim 144, depth 16, heads 4; M 256, 16, 4; L 512, 17, 8; kernel 32 there, which
is not odd. Positions are rotary; the paper's are relative ones of Transformer-XL.

Ref: Conformer arXiv:2005.08100
"""

from __future__ import annotations

from multimodal.backbone.attention import AttentionConfig
from multimodal.backbone.backbone import AttentionPositionConfig, BackboneConfig
from multimodal.backbone.block import BlockConfig
from multimodal.backbone.convolution import ConvolutionConfig
from multimodal.backbone.mlp import MlpConfig
from multimodal.backbone.norm import LayerNormConfig
from multimodal.backbone.rotary import RotaryConfig
from multimodal.models.audio_encoder import AudioEncoderConfig
from multimodal.models.ctc_recognizer import CtcRecognizerConfig, JudgingDecoderConfig
from multimodal.tokenizers.audio import SubsamplingConfig
from multimodal.tokenizers.audio_features import FbankConfig


def conformer(
    vocabulary: int,
    *,
    dim: int = 144,
    depth: int = 16,
    heads: int = 4,
    kernel: int = 31,
    mels: int = 80,
    channels: int = 144,
    dropout: float = 0.1,
    between: bool = False,
    decoder_depth: int = 0,
    position: AttentionPositionConfig | None = RotaryConfig(),
) -> CtcRecognizerConfig:
    """A Conformer of any size over a vocabulary.

    Args:
        vocabulary: tokens.
        dim: width of a token.
        depth: blocks.
        heads: attention heads of a block.
        kernel: tokens of 40 ms that the convolution of a block sees.
        mels: channels of the spectrogram.
        channels: of the convolutions that subsample it.
        dropout: probability of zeroing a channel while training.
        between: whether CTC also answers in the middle of the stack, and the rest hears that.
        decoder_depth: blocks of a decoder that helps in training and judges texts; 0: there is none.
        position: of attention; rotary, or relative buckets (`RelativeBiasConfig`).
    """
    attention, norm = AttentionConfig(heads=heads), LayerNormConfig(eps=1e-5)
    mlp = MlpConfig(hidden=4 * dim, activation="silu")
    block = BlockConfig(
        attention=attention,
        mlp=mlp,
        first_mlp=mlp,
        convolution=ConvolutionConfig(kernel=kernel),
        norm=norm,
        dropout=dropout,
    )
    writer = BlockConfig(
        attention=attention, cross_attention=attention, mlp=MlpConfig(hidden=4 * dim), norm=norm, dropout=dropout
    )
    # Each block ends with a norm.
    stack = BackboneConfig(dim=dim, depth=depth, block=block, position=position, final_norm=False)
    return CtcRecognizerConfig(
        features=FbankConfig(mels=mels),
        encoder=AudioEncoderConfig(stem=SubsamplingConfig(channels=channels, dropout=dropout), backbone=stack),
        vocabulary=vocabulary,
        between=(depth // 2,) if between else (),
        decoder=JudgingDecoderConfig(backbone=BackboneConfig(dim=dim, depth=decoder_depth, block=writer))
        if decoder_depth
        else None,
    )

"""Whisper in all published sizes, its distilled models too.

What the design fixes is written here once: pre-norm, GELU, keys without a bias, sinusoids for sound and learned
positions for text, the word table as output layer. Weights come from `hub/`, which reads a checkpoint's own config.

Refs: Whisper arXiv:2212.04356 Table 1 (tiny to large) · large-v3 and turbo: the model card of openai-whisper ·
Distil-Whisper arXiv:2311.00430 (the encoder is the teacher's, the decoder a few of its layers)
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from multimodal.backbone.attention import AttentionConfig
from multimodal.backbone.backbone import BackboneConfig
from multimodal.backbone.block import BlockConfig
from multimodal.backbone.mlp import MlpConfig
from multimodal.backbone.norm import LayerNormConfig
from multimodal.errors import ArgumentError, nearest
from multimodal.models.audio_encoder import AudioEncoderConfig
from multimodal.models.speech_recognizer import SpeechRecognizerConfig
from multimodal.tokenizers.audio import ConvStemConfig
from multimodal.tokenizers.audio_features import LogMelConfig
from multimodal.tokenizers.text_embedding import TextEmbeddingConfig

_ENGLISH, _CANTONESE = 51_864, 51_866  # tokens: GPT-2's, one less; with a hundredth language, one more


@dataclass(frozen=True, kw_only=True)
class WhisperSize:
    """What differs between the models; MLPs are four times as wide as the rest."""

    dim: int
    depth: int  # layers of the encoder
    heads: int
    decoder_depth: int
    mels: int = 80
    vocabulary: int = 51_865  # tokens, special ones and timestamps included


_TINY = WhisperSize(dim=384, depth=4, heads=6, decoder_depth=4)
_BASE = WhisperSize(dim=512, depth=6, heads=8, decoder_depth=6)
_SMALL = WhisperSize(dim=768, depth=12, heads=12, decoder_depth=12)
_MEDIUM = WhisperSize(dim=1024, depth=24, heads=16, decoder_depth=24)
_LARGE = WhisperSize(dim=1280, depth=32, heads=20, decoder_depth=32)
_LARGE_V3 = replace(_LARGE, mels=128, vocabulary=_CANTONESE)

WHISPER_SIZES: dict[str, WhisperSize] = {  # by the name after "openai/whisper-" and "distil-whisper/"
    "tiny": _TINY,
    "tiny.en": replace(_TINY, vocabulary=_ENGLISH),
    "base": _BASE,
    "base.en": replace(_BASE, vocabulary=_ENGLISH),
    "small": _SMALL,
    "small.en": replace(_SMALL, vocabulary=_ENGLISH),
    "medium": _MEDIUM,
    "medium.en": replace(_MEDIUM, vocabulary=_ENGLISH),
    "large": _LARGE,
    "large-v2": _LARGE,
    "large-v3": _LARGE_V3,
    "large-v3-turbo": replace(_LARGE_V3, decoder_depth=4),
    "distil-small.en": replace(_SMALL, decoder_depth=4, vocabulary=_ENGLISH),
    "distil-medium.en": replace(_MEDIUM, decoder_depth=2, vocabulary=_ENGLISH),
    "distil-large-v2": replace(_LARGE, decoder_depth=2),
    "distil-large-v3": replace(_LARGE_V3, decoder_depth=2),
}


def whisper(size: str | WhisperSize = "tiny", *, dropout: float = 0.0) -> SpeechRecognizerConfig:
    """A Whisper by the name of its size, or of any size.

    Args:
        size: one of `WHISPER_SIZES`; or other numbers, such as those of a vocabulary of one's own.
        dropout: probability of zeroing a branch's output while training.

    Raises:
        ArgumentError: an unknown name.
    """
    if isinstance(size, str):
        if size not in WHISPER_SIZES:
            close = nearest(size, WHISPER_SIZES) or f" Known are {', '.join(WHISPER_SIZES)}."
            raise ArgumentError(f"size is {size!r}, which is none of Whisper's.{close}")
        size = WHISPER_SIZES[size]
    attention = AttentionConfig(heads=size.heads, bias="qvo")
    block = BlockConfig(
        attention=attention, mlp=MlpConfig(hidden=4 * size.dim), norm=LayerNormConfig(eps=1e-5), dropout=dropout
    )
    return SpeechRecognizerConfig(
        features=LogMelConfig(mels=size.mels),
        encoder=AudioEncoderConfig(
            stem=ConvStemConfig(positions=1500), backbone=BackboneConfig(dim=size.dim, depth=size.depth, block=block)
        ),
        embedding=TextEmbeddingConfig(vocabulary=size.vocabulary, max_length=448, dropout=dropout),
        decoder=BackboneConfig(dim=size.dim, depth=size.decoder_depth, block=replace(block, cross_attention=attention)),
    )

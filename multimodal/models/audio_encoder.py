"""Spectrograms to vectors: a stem, then the shared backbone. Whisper's encoder and the Conformer are configs of it.

Heads, decoders and the way from a file to a spectrogram are the models' own (`speech_recognizer.py`,
`ctc_recognizer.py`).

Axes: b batch · m mel channels · t frames · s tokens · d model width
Refs: Whisper arXiv:2212.04356 · Conformer arXiv:2005.08100
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from jaxtyping import Bool, Float
from torch import Tensor, nn

from multimodal.backbone.backbone import BackboneConfig
from multimodal.tokenizers.audio import AudioStemConfig


@dataclass(frozen=True, kw_only=True)
class AudioEncoderConfig:
    """Hyper-parameters of `AudioEncoder`."""

    stem: AudioStemConfig
    backbone: BackboneConfig

    def build(self, mels: int) -> AudioEncoder:
        """An `AudioEncoder` for spectrograms of `mels` channels, with fresh weights."""
        return AudioEncoder(self, mels)


class Encoded(NamedTuple):
    """What an encoder makes of a batch of clips."""

    x: Float[Tensor, "b s d"]
    keep: Bool[Tensor, "b s"] | None  # False at padding


class AudioEncoder(nn.Module):
    """Tokens of a spectrogram, after all blocks."""

    def __init__(self, config: AudioEncoderConfig, mels: int) -> None:
        super().__init__()
        self.config = config
        self.stem = config.stem.build(config.backbone.dim, mels)
        self.backbone = config.backbone.build()

    @property
    def width(self) -> int:
        """d."""
        return self.config.backbone.dim

    def forward(
        self,
        mel: Float[Tensor, "b m t"],
        keep: Bool[Tensor, "b t"] | None = None,
        *,
        after: Callable[[int, Tensor], Tensor] | None = None,
    ) -> Encoded:
        """Vectors of each token.

        Args:
            mel: features.
            keep: False at padding frames, which must be on the right.
            after: as in `Backbone.forward`.

        Raises:
            ArgumentError: another number of mel channels, or more frames than a stem with positions reads.
        """
        tokens = self.stem(mel, keep)
        return Encoded(self.backbone(tokens.x, mask=tokens.mask, after=after), tokens.keep)

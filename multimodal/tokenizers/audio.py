"""Spectrograms to tokens: Whisper's convolutional stem, and the Conformer's subsampling.

A spectrogram cut into patches, as AST has it, is a picture of one channel: `image.py` does that, with a `stride`
smaller than the patch for overlapping ones. Waveforms become spectrograms in `audio_features.py`.

Both stems set padding to zero before each convolution, so that a clip gives the same tokens alone and in a batch.

Axes: b batch · m mel channels · t frames · s tokens · c channels of a convolution · d model width
Refs: Whisper arXiv:2212.04356 §2.2 · subsampling arXiv:2005.08100 §2 · AST arXiv:2104.01778
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from multimodal.backbone.position import SinusoidalPositionConfig
from multimodal.errors import ArgumentError
from multimodal.tokenizers.tokens import Tokens


@dataclass(frozen=True, kw_only=True)
class ConvStemConfig:
    """Two convolutions along time, the second with stride 2, and sinusoidal positions: a token each 20 ms (Whisper)."""

    positions: int = 1500  # tokens of the window that the model was trained on: 30 s

    def build(self, dim: int, mels: int) -> ConvStem:
        """A `ConvStem` for spectrograms of `mels` channels, with fresh weights."""
        return ConvStem(self, dim, mels)


@dataclass(frozen=True, kw_only=True)
class SubsamplingConfig:
    """Two convolutions over time and frequency with stride 2, and a linear layer: a token every 40 ms (Conformer)."""

    channels: int = 64  # c
    dropout: float = 0.0

    def build(self, dim: int, mels: int) -> Subsampling:
        """A `Subsampling` for spectrograms of `mels` channels, with fresh weights.

        Raises:
            ArgumentError: fewer mel channels than the strides need.
        """
        if mels < 4:
            raise ArgumentError(f"mels is {mels}; subsampling by 4 needs at least 4 channels.")
        return Subsampling(self, dim, mels)


AudioStemConfig: TypeAlias = ConvStemConfig | SubsamplingConfig


class ConvStem(nn.Module):
    """gelu(conv(gelu(conv(mel)))) + positions."""

    positions: Tensor

    def __init__(self, config: ConvStemConfig, dim: int, mels: int) -> None:
        super().__init__()
        self.config, self.mels = config, mels
        self.conv1 = nn.Conv1d(mels, dim, 3, padding=1)
        self.conv2 = nn.Conv1d(dim, dim, 3, stride=2, padding=1)
        # So that the longest wave is 2π · 10,000 places: Whisper divides by the number of frequencies less one.
        sinusoids = SinusoidalPositionConfig(base=10_000.0 ** (dim / (dim - 2))).build(dim, (config.positions,))
        # Saved with the weights: published ones are rounded to half precision, and some were trained on.
        self.register_buffer("positions", sinusoids.table)

    def forward(self, mel: Float[Tensor, "b m t"], keep: Bool[Tensor, "b t"] | None = None) -> Tokens:
        """A token for every two frames; `keep` is False at padding, on the right.

        Raises:
            ArgumentError: more tokens than the model has positions for, or another number of mel channels.
        """
        check_mels(mel, self.mels)
        x = F.gelu(self.conv1(_zeroed(mel, keep)))
        x = F.gelu(self.conv2(_zeroed(x, keep)))  # b d s
        if x.shape[2] > self.config.positions:
            raise ArgumentError(
                f"The window has {mel.shape[2]} frames, {x.shape[2]} tokens; this model reads {self.config.positions} "
                f"tokens ({self.config.positions / 50:g} s) at a time. Cut the recording, or use `transcribe`."
            )
        x = x.transpose(1, 2)
        x = x + self.positions[: x.shape[1]].to(x.dtype)
        return Tokens(x=x, runs=((x.shape[1], False),), keep=None if keep is None else keep[:, ::2])


class Subsampling(nn.Module):
    """relu(conv(relu(conv(mel)))), and all channels of a time step to one vector."""

    def __init__(self, config: SubsamplingConfig, dim: int, mels: int) -> None:
        super().__init__()
        self.config, self.mels = config, mels
        self.conv1 = nn.Conv2d(1, config.channels, 3, stride=2, padding=1)
        self.conv2 = nn.Conv2d(config.channels, config.channels, 3, stride=2, padding=1)
        self.out = nn.Linear(config.channels * halved(halved(mels)), dim)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, mel: Float[Tensor, "b m t"], keep: Bool[Tensor, "b t"] | None = None) -> Tokens:
        """A token for every four frames; `keep` is False at padding, on the right.

        Raises:
            ArgumentError: another number of mel channels.
        """
        check_mels(mel, self.mels)
        x = _zeroed(mel, keep)[:, None].transpose(2, 3)  # b 1 t m
        for conv in (self.conv1, self.conv2):
            x = F.relu(conv(x))  # b c t m
            if keep is not None:
                keep = keep[:, ::2]
                x = x.masked_fill(~keep[:, None, :, None], 0.0)
        x = self.dropout(self.out(x.transpose(1, 2).flatten(2)))  # b s d
        return Tokens(x=x, runs=((x.shape[1], False),), keep=keep)


def halved(length: int) -> int:
    """The length after a convolution of stride 2 here: half, rounded up."""
    return -(-length // 2)


def check_mels(mel: Tensor, mels: int) -> None:
    """Refuse a spectrogram of other channels.

    Raises:
        ArgumentError: it has not `mels` of them.
    """
    if mel.shape[1] != mels:
        raise ArgumentError(f"The spectrogram has {mel.shape[1]} mel channels; this model takes {mels}.")


def _zeroed(x: Float[Tensor, "b c t"], keep: Bool[Tensor, "b t"] | None) -> Float[Tensor, "b c t"]:
    return x if keep is None else x.masked_fill(~keep[:, None], 0.0)


def subsampled(lengths: Tensor, config: AudioStemConfig) -> Tensor:
    """How many tokens clips of so many frames give."""
    for _ in range(2 if isinstance(config, SubsamplingConfig) else 1):
        lengths = torch.div(lengths + 1, 2, rounding_mode="floor")
    return lengths

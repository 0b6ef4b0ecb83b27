"""Pixels to tokens: patches through one linear map, class and register tokens in front, positions added.

Files and PIL images become pixels in `image_transform.py`; this file starts where pixels are on the device.

Any image size works. Where the patches do not divide it, zeros (the mean colour, once normalised) are added at the
right and the bottom, or the rest is cut off there. A learned grid of positions is resized to the image's own grid.
Patches may overlap, as those of a spectrogram do (a picture of one channel: `audio_transform.py`).

Axes: b batch · c channels · H, W pixels · h, w patches · p prefix tokens · t = p + h w · d model width
Refs: ViT arXiv:2010.11929 · registers arXiv:2309.16588 · overlapping patches (AST) arXiv:2104.01778
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from multimodal.backbone.norm import NormConfig
from multimodal.backbone.position import LearnedPositionConfig, PositionConfig
from multimodal.errors import ArgumentError
from multimodal.tokenizers.tokens import Tokens


@dataclass(frozen=True, kw_only=True)
class ImageTokenizerConfig:
    """Hyper-parameters of `ImageTokenizer`; the width comes from the parent, in `build`."""

    size: tuple[int, int] = (224, 224)  # pixels (height, width) that the positions are made for
    patch: tuple[int, int] = (16, 16)  # pixels (height, width) of one patch
    stride: tuple[int, int] | None = None  # pixels from one patch to the next; None: those of a patch, no overlap
    channels: int = 3
    bias: bool = True  # of the patch projection; CLIP has none
    remainder: Literal["pad", "cut"] = "pad"  # what is done where the patches do not divide the image
    prefix: int = 1  # class and register tokens in front of the patches
    prefix_positions: bool = True  # whether those have learned positions of their own
    position: PositionConfig | None = LearnedPositionConfig()
    reference_grid: tuple[int, int] | None = None  # rotary positions are counted on this grid; None: on the image's own
    norm: NormConfig | None = None  # of all tokens, before the first block (CLIP)
    causal: bool = False  # each token sees those before it alone, in one line, as a language model's blocks are used to

    @property
    def grid(self) -> tuple[int, int]:
        """(h, w): patches along the height and the width of an image of `size`."""
        return self.grid_of(*self.size)

    @property
    def step(self) -> tuple[int, int]:
        """Pixels (height, width) from one patch to the next."""
        return self.stride or self.patch

    def grid_of(self, height: int, width: int) -> tuple[int, int]:
        """(h, w): patches along the height and the width of an image of that many pixels."""
        (ph, pw), (sh, sw) = self.patch, self.step
        if self.remainder == "cut":
            return (height - ph) // sh + 1, (width - pw) // sw + 1
        return max(0, -((ph - height) // sh)) + 1, max(0, -((pw - width) // sw)) + 1

    def build(self, dim: int) -> ImageTokenizer:
        """An `ImageTokenizer` that gives tokens of width `dim`."""
        return ImageTokenizer(self, dim)


class ImageTokenizer(nn.Module):
    """Cuts pixels into patches and makes each a vector."""

    def __init__(self, config: ImageTokenizerConfig, dim: int) -> None:
        super().__init__()
        if min(*config.patch, *config.step, *config.size, config.channels) < 1:
            raise ArgumentError(
                f"size={config.size}, patch={config.patch}, stride={config.stride} and channels={config.channels} must "
                "be positive."
            )
        self.config = config
        self.patches = nn.Conv2d(config.channels, dim, config.patch, stride=config.step, bias=config.bias)
        self.prefix = nn.Parameter(torch.empty(config.prefix, dim)) if config.prefix else None
        learned = config.prefix and config.prefix_positions and config.position is not None
        self.prefix_position = nn.Parameter(torch.empty(config.prefix, dim)) if learned else None
        self.position = config.position.build(dim, config.grid) if config.position else None
        self.norm = config.norm.build(dim) if config.norm else nn.Identity()
        # As faint as the positions: a start that follows the fan-in lets small patches drown them, and the model
        # learns a bag of patches first (8 px digits, 15 epochs: 81% against 95%).
        nn.init.trunc_normal_(self.patches.weight, std=0.02, a=-0.04, b=0.04)
        if self.patches.bias is not None:
            nn.init.zeros_(self.patches.bias)
        for vectors in (self.prefix, self.prefix_position):
            if vectors is not None:
                nn.init.trunc_normal_(vectors, std=0.02, a=-0.04, b=0.04)

    def forward(self, pixels: Float[Tensor, "b c H W"]) -> Tokens:
        """Tokens of normalised pixels: prefix tokens, then patches row by row.

        Their positions are (row, column) for rotary embeddings of two axes; (0, 0) for prefix tokens, which such an
        embedding leaves unturned; where they are causal, they are counted along the line.

        Raises:
            ArgumentError: the number of channels differs from the config's.
        """
        if pixels.shape[1] != self.config.channels:
            raise ArgumentError(f"pixels have {pixels.shape[1]} channels; the model takes {self.config.channels}.")
        if self.config.remainder == "pad":  # the convolution itself cuts
            pixels = self._padded(pixels)
        x = self.patches(pixels)  # b d h w
        grid = (x.shape[-2], x.shape[-1])
        x = x.flatten(2).transpose(1, 2)  # b t d
        if self.position is not None:
            x = x + self.position(grid).to(x.dtype)
        if self.prefix is not None:
            prefix = self.prefix if self.prefix_position is None else self.prefix + self.prefix_position
            x = torch.cat([prefix.to(x.dtype).expand(x.shape[0], -1, -1), x], dim=1)
        return Tokens(
            x=self.norm(x),
            runs=((x.shape[1], self.config.causal),),
            positions=None if self.config.causal else self._places(grid, x.device),
            prefix=self.config.prefix,
        )

    def _padded(self, pixels: Float[Tensor, "b c H W"]) -> Float[Tensor, "b c Y X"]:
        """With zeros at the bottom and the right, so that the last patches end where the image does."""
        (height, width), (ph, pw), (sh, sw) = pixels.shape[-2:], self.config.patch, self.config.step
        h, w = self.config.grid_of(height, width)
        more = ((h - 1) * sh + ph - height, (w - 1) * sw + pw - width)
        return F.pad(pixels, (0, more[1], 0, more[0])) if any(more) else pixels

    def _places(self, grid: tuple[int, int], device: torch.device) -> Float[Tensor, "1 t 2"]:
        reference = self.config.reference_grid or grid
        rows, columns = (
            torch.arange(n, device=device, dtype=torch.float32) / n * r for n, r in zip(grid, reference, strict=True)
        )
        places = torch.stack(torch.meshgrid(rows, columns, indexing="ij"), dim=-1).flatten(0, 1)
        return F.pad(places, (0, 0, self.config.prefix, 0))[None]

"""A Perceiver that makes one vector of an image, or of a spectrogram (a picture of one channel).

It takes the place of a vision transformer in a `Classifier`. Its input are all pixels with Fourier features of their
places, or patches; what it gives is the mean of its latents, or what one learned query found in them (Perceiver IO).

Axes: b batch · k channels · H, W pixels · l latents · d their width · e feature width
Refs: Perceiver arXiv:2103.03206 §4.1 · Perceiver IO arXiv:2107.14795 §4.5
"""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, nn

from multimodal.backbone.pool import MeanPoolConfig
from multimodal.errors import ArgumentError
from multimodal.models.perceiver import PerceiverConfig
from multimodal.models.perceiver_io import OutputQueriesConfig
from multimodal.tokenizers.fourier import FourierTokenizerConfig
from multimodal.tokenizers.image import ImageTokenizerConfig


@dataclass(frozen=True, kw_only=True)
class PerceiverEncoderConfig:
    """Hyper-parameters of `PerceiverEncoder`."""

    tokenizer: FourierTokenizerConfig | ImageTokenizerConfig  # the latter's tokens are as wide as the latents
    perceiver: PerceiverConfig
    pool: MeanPoolConfig | OutputQueriesConfig = MeanPoolConfig()

    def build(self) -> PerceiverEncoder:
        """A `PerceiverEncoder` with fresh weights.

        Raises:
            ArgumentError: as the parts' own `build`, or no queries.
        """
        return PerceiverEncoder(self)


class PerceiverEncoder(nn.Module):
    """Pixels through latents to one vector."""

    def __init__(self, config: PerceiverEncoderConfig) -> None:
        super().__init__()
        dim, tokenizer, pool = config.perceiver.dim, config.tokenizer, config.pool
        if isinstance(pool, OutputQueriesConfig) and pool.queries < 1:
            raise ArgumentError(f"queries is {pool.queries}; an image encoder asks at least one of its own.")
        self.config = config
        self.width = pool.queries * pool.dim if isinstance(pool, OutputQueriesConfig) else dim
        if isinstance(tokenizer, FourierTokenizerConfig):
            self.tokenizer, width = tokenizer.build(), tokenizer.width
        else:
            self.tokenizer, width = tokenizer.build(dim), dim
        self.perceiver = config.perceiver.build(width)
        self.pool = pool.build(dim)

    def latents(self, pixels: Float[Tensor, "b k H W"]) -> Float[Tensor, "b l d"]:
        """The latents, for models that read more than one vector."""
        return self.perceiver(self.tokenizer(pixels).x)

    def forward(self, pixels: Float[Tensor, "b k H W"]) -> Float[Tensor, "b e"]:
        """One vector for each image of normalised pixels; of several queries side by side."""
        return self.pool(self.latents(pixels)).flatten(1)

    def stages(self) -> list[list[nn.Parameter]]:
        """Parameters from input to output: what reads the pixels, each block of a round, then what follows them."""
        reading = [self.perceiver.latents, *self.tokenizer.parameters(), *self.perceiver.readings.parameters()]
        blocks = [list(block.parameters()) for block in self.perceiver.backbone.blocks]
        return [reading, *blocks, [*self.perceiver.norm.parameters(), *self.pool.parameters()]]

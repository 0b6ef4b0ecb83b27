"""The two towers of a dual encoder: pixels, or ids, to a vector of the width that both share.

An image tower is any image encoder under a projection; one of a single channel reads spectrograms. A text tower is the
shared backbone over word vectors: with a stack of its own, or without one (`backbone=None`) with the image tower's, so
that a single trunk reads both modalities.
Architectures of open_clip that neither can express are wrapped in `open_clip_towers.py`.

Axes: b batch · t length · d model width · e embedding width · k channels · H, W pixels
Refs: CLIP arXiv:2103.00020 §2.4 · SigLIP arXiv:2303.15343 · one trunk arXiv:2212.08045 §3 · FLIP arXiv:2212.00794
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from multimodal.backbone.backbone import Backbone, BackboneConfig, initialize
from multimodal.backbone.pool import AttentionPool
from multimodal.errors import ArgumentError
from multimodal.models.continuations import last_real
from multimodal.models.image_encoder import AnyImageEncoderConfig, ImageEncoder
from multimodal.models.text.summary import mean_real
from multimodal.tokenizers.text_embedding import TextEmbeddingConfig
from multimodal.tokenizers.tokens import Tokens


@dataclass(frozen=True, kw_only=True)
class ProjectionConfig:
    """A linear layer from a tower's features to the embedding."""

    bias: bool = False

    def build(self, width: int, dim: int) -> nn.Linear:
        """Features (b, width) to embeddings (b, dim)."""
        projection = nn.Linear(width, dim, bias=self.bias)
        initialize(projection)
        nn.init.normal_(projection.weight, std=width**-0.5)
        return projection


@dataclass(frozen=True, kw_only=True)
class ImageTowerConfig:
    """Hyper-parameters of `ImageTower`; the embedding width comes from the parent, in `build`."""

    encoder: AnyImageEncoderConfig
    projection: ProjectionConfig | None = ProjectionConfig()  # None: the features are the embedding (SigLIP)

    def build(self, dim: int) -> ImageTower:
        """An `ImageTower` with fresh weights.

        Raises:
            ArgumentError: no projection, and features of another width than `dim`.
        """
        return ImageTower(self, dim)


class ImageTower(nn.Module):
    """Pixels to a vector."""

    def __init__(self, config: ImageTowerConfig, dim: int) -> None:
        super().__init__()
        self.encoder = config.encoder.build()
        if isinstance(self.encoder, ImageEncoder):
            stack, pool = self.encoder.backbone, self.encoder.pool
            start_by_width(stack, stack.config.dim, stack.config.depth)
            if isinstance(pool, AttentionPool):
                start_by_width(pool, stack.config.dim, 1)
        width = self.encoder.width
        if config.projection is None and width != dim:
            raise ArgumentError(f"The image encoder gives {width} features and the embedding has {dim}: project them.")
        self.projection = config.projection.build(width, dim) if config.projection else nn.Identity()

    def forward(self, pixels: Float[Tensor, "b k H W"], *, patch_drop: float = 0.0) -> Float[Tensor, "b e"]:
        """Embeddings of normalised pixels, not yet of length 1; `patch_drop` is the part of patches left out (FLIP)."""
        if patch_drop == 0.0:
            return self.projection(self.encoder(pixels))
        if not isinstance(self.encoder, ImageEncoder):
            raise ArgumentError(
                "patch_drop needs an image encoder on the shared backbone; a wrapped one has no patches."
            )
        return self.projection(self.encoder(pixels, patch_drop=patch_drop))

    @property
    def trunk(self) -> Backbone:
        """The stack, for a text tower that has none.

        Raises:
            ArgumentError: a wrapped encoder, whose blocks cannot read text.
        """
        if not isinstance(self.encoder, ImageEncoder):
            raise ArgumentError("One trunk for images and texts needs an image encoder on the shared backbone.")
        return self.encoder.backbone


@dataclass(frozen=True, kw_only=True)
class EndPoolConfig:
    """The vector at the first end token, which has read the whole text; what stands behind it is padding (CLIP)."""

    end: int  # id of the end token
    pad: int | None = None  # id that texts are filled up with to the full length, and that is read; None: they are not


@dataclass(frozen=True, kw_only=True)
class PaddedPoolConfig:
    """The vector at the last position of a text that is padded to the model's full length, padding read (SigLIP)."""

    pad: int  # id of the padding token


@dataclass(frozen=True, kw_only=True)
class MeanTextPoolConfig:
    """The mean over the tokens of a text."""

    @property
    def pad(self) -> None:
        """Texts are never filled up: padding is left out of the mean."""
        return None


TextPoolConfig: TypeAlias = EndPoolConfig | PaddedPoolConfig | MeanTextPoolConfig


@dataclass(frozen=True, kw_only=True)
class TextTowerConfig:
    """Hyper-parameters of `TextTower`; the embedding width comes from the parent, in `build`."""

    embedding: TextEmbeddingConfig
    backbone: BackboneConfig | None  # None: the image tower's stack reads both
    pool: TextPoolConfig
    causal: bool = True
    projection: ProjectionConfig | None = ProjectionConfig()

    def build(self, dim: int, trunk: Backbone | None = None) -> TextTower:
        """A `TextTower` with fresh weights; `trunk` is the image tower's stack.

        Raises:
            ArgumentError: neither a backbone nor a trunk, or vectors of another width than `dim` without a projection.
        """
        return TextTower(self, dim, trunk)


class TextTower(nn.Module):
    """Ids to a vector."""

    def __init__(self, config: TextTowerConfig, dim: int, trunk: Backbone | None) -> None:
        super().__init__()
        self.config = config
        self.backbone = config.backbone.build() if config.backbone else None
        if self.backbone is not None:
            start_by_width(self.backbone, self.backbone.config.dim, self.backbone.config.depth)
        self._trunk = (trunk,)  # in a tuple: its weights are the image tower's, and stand in that alone
        width = self.stack.config.dim
        self.embedding = config.embedding.build(width)
        if config.projection is None and width != dim:
            raise ArgumentError(f"The text tower gives {width} features and the embedding has {dim}: project them.")
        self.projection = config.projection.build(width, dim) if config.projection else nn.Identity()

    @property
    def stack(self) -> Backbone:
        """The blocks that read the text."""
        stack = self.backbone if self.backbone is not None else self._trunk[0]
        if stack is None:
            raise ArgumentError("The text tower has no backbone of its own, so it needs the image tower's trunk.")
        return stack

    def forward(self, ids: Int[Tensor, "b t"], *, keep: Bool[Tensor, "b t"] | None = None) -> Float[Tensor, "b e"]:
        """Embeddings of texts, not yet of length 1.

        On a CPU padding is left out of the computation: texts are packed into one row.

        Args:
            ids: token ids, special ones included.
            keep: False at padding, on the right; where the pool is at the end token, its first place says it as well.

        Raises:
            ArgumentError: more tokens than the tower reads.
        """
        pool = self.config.pool
        if pool.pad is not None:
            ids, keep = self._filled(ids, keep, pool.pad), None
        read = keep
        if isinstance(pool, EndPoolConfig):
            read = _until(ids, pool.end) if keep is None else _until(ids, pool.end) & keep
            keep = read if pool.pad is None else None
        tokens = Tokens(x=self.embedding(ids), runs=((ids.shape[1], self.config.causal),), keep=keep)
        hidden = self.stack(tokens.x, mask=tokens.mask)
        pooled = mean_real(hidden, keep) if isinstance(pool, MeanTextPoolConfig) else last_real(hidden, read)
        return self.projection(pooled)

    def _filled(self, ids: Int[Tensor, "b t"], keep: Tensor | None, pad: int) -> Int[Tensor, "b l"]:
        """Padded to the full length: a text that is not gives SigLIP another embedding, far from the right one."""
        if keep is not None:
            ids = ids.masked_fill(~keep, pad)
        return F.pad(ids, (0, max(0, self.config.embedding.max_length - ids.shape[1])), value=pad)


def _until(ids: Int[Tensor, "b t"], end: int) -> Bool[Tensor, "b t"]:
    """True up to the first `end` of each row, and in the whole row where there is none."""
    ended = (ids == end).cumsum(1)
    return (ended - (ids == end).long()) == 0


def start_by_width(tower: Backbone | AttentionPool, dim: int, depth: int) -> None:
    """Fresh weights of the layers inside, whose deviation follows from width and depth, as CLIP's does.

    With the usual 0.02 a narrow tower gives all texts nearly the same vector, and the loss stays at ln(batch) for long.
    """
    deep = (2 * max(1, depth)) ** -0.5  # of layers that add to the residual sum
    stds = {"q": 1.0, "k": 1.0, "v": 1.0, "out": deep, "up": 2**-0.5, "gate": 2**-0.5, "down": deep}
    for name, layer in tower.named_modules():
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, std=dim**-0.5 * stds[name.rpartition(".")[2]])

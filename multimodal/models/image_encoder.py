"""An image to one vector: the vision transformer on the shared backbone, and any other timm model, wrapped.

A third kind, the Perceiver, is in `perceiver_encoder.py`. All have the same three parts that the rest of the package
relies on: `forward(pixels)` gives features, `width` their size, and `stages()` the parameters from input to output, for
learning rates by depth and gradual unfreezing.

Axes: b batch · c channels · H, W pixels · t tokens · d model width · e feature width
Refs: ViT arXiv:2010.11929
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

from jaxtyping import Float
from torch import Tensor, nn

from multimodal.backbone.backbone import BackboneConfig
from multimodal.backbone.norm import NormConfig
from multimodal.backbone.pool import ClassPoolConfig, PoolConfig
from multimodal.errors import ArgumentError, nearest
from multimodal.models.perceiver_encoder import PerceiverEncoderConfig
from multimodal.tokenizers.image import ImageTokenizerConfig
from multimodal.tokenizers.patch_drop import drop_patches
from multimodal.tokenizers.tokens import Tokens


@dataclass(frozen=True, kw_only=True)
class ImageEncoderConfig:
    """Hyper-parameters of `ImageEncoder`."""

    tokenizer: ImageTokenizerConfig
    backbone: BackboneConfig
    pool: PoolConfig
    norm: NormConfig | None = None  # of the pooled vector

    def build(self) -> ImageEncoder:
        """An `ImageEncoder` with fresh weights."""
        return ImageEncoder(self)


@dataclass(frozen=True, kw_only=True)
class TimmEncoderConfig:
    """A timm model by name, with the arguments that `timm.create_model` was given."""

    name: str
    arguments: tuple[tuple[str, bool | int | float | str | tuple[int, ...] | None], ...] = ()

    def build(self) -> TimmEncoder:
        """A `TimmEncoder` with fresh weights.

        Raises:
            ArgumentError: a name that timm does not know, or an argument that would make it read a file.
        """
        return TimmEncoder(self)


_READING = {"pretrained", "pretrained_cfg", "pretrained_cfg_overlay", "checkpoint_path", "cache_dir"}

AnyImageEncoderConfig: TypeAlias = ImageEncoderConfig | TimmEncoderConfig | PerceiverEncoderConfig


class ImageEncoder(nn.Module):
    """Patches through the shared backbone, pooled."""

    def __init__(self, config: ImageEncoderConfig) -> None:
        super().__init__()
        dim = config.backbone.dim
        self.config = config
        self.width = dim * (config.pool.tokens if isinstance(config.pool, ClassPoolConfig) else 1)
        self.tokenizer = config.tokenizer.build(dim)
        self.backbone = config.backbone.build()
        self.pool = config.pool.build(dim)
        self.norm = config.norm.build(self.width) if config.norm else nn.Identity()

    def tokens(self, pixels: Float[Tensor, "b c H W"], *, patch_drop: float = 0.0) -> Tokens:
        """The tokens after the last block, for models that read more than one vector."""
        tokens = self.tokenizer(pixels)
        if patch_drop:
            tokens = drop_patches(tokens, patch_drop)
        x = self.backbone(tokens.x, mask=tokens.mask, positions=tokens.positions)
        return Tokens(x=x, runs=tokens.runs, positions=tokens.positions, prefix=tokens.prefix)

    def forward(self, pixels: Float[Tensor, "b c H W"], *, patch_drop: float = 0.0) -> Float[Tensor, "b e"]:
        """One vector for each image of normalised pixels; `patch_drop` is the part of patches left out (FLIP)."""
        tokens = self.tokens(pixels, patch_drop=patch_drop)
        return self.norm(self.pool(tokens.x, prefix=tokens.prefix))

    def stages(self) -> list[list[nn.Parameter]]:
        """Parameters from input to output: the tokenizer, each block, then what follows them."""
        blocks = [list(block.parameters()) for block in self.backbone.blocks]
        last = [*self.backbone.norm.parameters(), *self.pool.parameters(), *self.norm.parameters()]
        return [list(self.tokenizer.parameters()), *blocks, last]


class TimmEncoder(nn.Module):
    """Any other timm model without its classifier: ConvNeXt, Swin, ResNet and the rest."""

    def __init__(self, config: TimmEncoderConfig) -> None:
        super().__init__()
        import timm

        self.config = config
        # A config comes from a file that anybody may have written: it names an architecture, and reads nothing else.
        if not timm.is_model(config.name):
            raise ArgumentError(f"{config.name!r} is no model of timm.{nearest(config.name, timm.list_models())}")
        for name, _ in config.arguments:
            if name in _READING:
                raise ArgumentError(f"{name!r} makes timm read a file; the arguments of a config may not do so.")
        arguments = {name: list(v) if isinstance(v, tuple) else v for name, v in config.arguments}
        self.model: Any = timm.create_model(config.name, pretrained=False, **{**arguments, "num_classes": 0})
        # Not `num_features`: some models (MobileNetV3) widen the pooled features in a head that they keep.
        self.width: int = getattr(self.model, "head_hidden_size", self.model.num_features)

    def forward(self, pixels: Float[Tensor, "b c H W"]) -> Float[Tensor, "b e"]:
        """One vector for each image of normalised pixels."""
        return self.model(pixels)

    def stages(self) -> list[list[nn.Parameter]]:
        """Parameters from input to output, in the groups that timm gives the model."""
        from timm.models import group_parameters

        groups = group_parameters(self.model, self.model.group_matcher(coarse=False))
        parameters = dict(self.model.named_parameters())
        return [[parameters[name] for name in groups[key]] for key in sorted(groups)]

"""What a language model is shown of an image or a recording: the tokens inside an encoder, before they are pooled.

An encoder is a vision transformer on the shared backbone, any other timm model, a tower of open_clip, or an encoder of
spectrograms. Which layer is read, and whether the class token is, is a choice of `FeaturesConfig`; blocks behind the
last layer that is read are not computed.

Axes: n images · k channels · H, W pixels, or mel channels and frames · s tokens · h, w their rows and columns ·
e feature width
Refs: the last layer but one: LLaVA arXiv:2304.08485 §4.1, arXiv:2310.03744 · several: arXiv:2404.07204
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor, nn

from multimodal.backbone.backbone import Backbone
from multimodal.errors import ArgumentError
from multimodal.models.audio_encoder import AudioEncoder, AudioEncoderConfig
from multimodal.models.image_encoder import AnyImageEncoderConfig, ImageEncoder, TimmEncoder
from multimodal.models.open_clip_towers import OpenClipImageConfig, embedding_width
from multimodal.models.watching import evaluating
from multimodal.tokenizers.audio import subsampled
from multimodal.tokenizers.audio_features import standardized
from multimodal.tokenizers.audio_transform import AudioTransformConfig
from multimodal.tokenizers.tokens import Tokens
from multimodal.tokenizers.transforms import AnyTransformConfig

AnyFeaturesEncoderConfig: TypeAlias = AnyImageEncoderConfig | OpenClipImageConfig | AudioEncoderConfig


@dataclass(frozen=True, kw_only=True)
class FeaturesConfig:
    """What is read of which encoder."""

    encoder: AnyFeaturesEncoderConfig
    layers: tuple[int, ...] = ()  # after which blocks, from 1, or from the end (-1: the last), side by side; (): output
    class_token: bool = False  # in front of the patches
    standardized: bool = False  # each mel channel over its window, as a `CtcRecognizer` hears; filling-up is not heard

    def build(self, transform: AnyTransformConfig) -> Features:
        """Fresh `Features` of what `transform` gives.

        Raises:
            ArgumentError: a layer or a class token that the encoder does not have, or an encoder of another input.
        """
        if self.standardized and not isinstance(self.encoder, AudioEncoderConfig):
            raise ArgumentError("standardized is True, and the encoder is none of spectrograms: leave it out.")
        if isinstance(self.encoder, OpenClipImageConfig):
            tower = self.encoder.build(embedding_width(self.encoder.architecture))
            return WrappedFeatures(self, tower, transform)
        if isinstance(self.encoder, AudioEncoderConfig):
            return AudioFeatures(self, self.encoder.build(transform.size[0]), transform)
        encoder = self.encoder.build()
        if isinstance(encoder, ImageEncoder):
            return ImageFeatures(self, encoder, transform)
        return WrappedFeatures(self, encoder, transform)


class Features(nn.Module, ABC):
    """Tokens inside an encoder.

    Attributes:
        encoder: the encoder.
        width: e.
        grid: (h, w) of the tokens; of sound (1, s).
        extra: tokens in front of the grid: 1 with a class token.
    """

    width: int
    grid: tuple[int, int]
    extra: int

    def __init__(self, config: FeaturesConfig, encoder: nn.Module) -> None:
        super().__init__()
        self.config, self.encoder = config, encoder

    @abstractmethod
    def forward(self, x: Float[Tensor, "n k H W"]) -> Float[Tensor, "n s e"]:
        """The tokens of normalised pixels, or of spectrograms as pictures of one channel; s = extra + h w."""

    @property
    def unread(self) -> list[nn.Module]:
        """Parts of the encoder behind what is read, which no training reaches; [] where that is not known."""
        return []


class ImageFeatures(Features):
    """Of a vision transformer on the shared backbone."""

    encoder: ImageEncoder

    def __init__(self, config: FeaturesConfig, encoder: ImageEncoder, transform: AnyTransformConfig) -> None:
        super().__init__(config, encoder)
        tokens = encoder.config.tokenizer
        if config.class_token and not tokens.prefix:
            raise ArgumentError("class_token is True, and the image encoder has no class token: leave it out.")
        if tokens.channels != _channels(transform):
            raise ArgumentError(
                f"The encoder reads pictures of {tokens.channels} channels, and {type(transform).__name__} gives "
                f"{_channels(transform)}: an image has 3, a spectrogram 1."
            )
        self.grid, self.extra = tokens.grid_of(*transform.size), int(config.class_token)
        self.width = encoder.config.backbone.dim * max(1, len(config.layers))
        self.numbers = _numbers(config.layers, encoder.config.backbone.depth)

    def forward(self, x: Float[Tensor, "n k H W"]) -> Float[Tensor, "n s e"]:
        """See `Features.forward`; register tokens are left out."""
        tokens = self.encoder.tokenizer(x)
        found = states(self.encoder.backbone, tokens, self.numbers)
        patches = found[:, tokens.prefix :]
        return torch.cat([found[:, :1], patches], dim=1) if self.extra else patches

    @property
    def unread(self) -> list[nn.Module]:
        """See `Features.unread`."""
        return [*_behind(self.encoder.backbone, self.numbers), self.encoder.pool, self.encoder.norm]


class AudioFeatures(Features):
    """Of an encoder of spectrograms: Whisper's, or a Conformer."""

    encoder: AudioEncoder

    def __init__(self, config: FeaturesConfig, encoder: AudioEncoder, transform: AnyTransformConfig) -> None:
        super().__init__(config, encoder)
        if config.class_token:
            raise ArgumentError("class_token is True, and an encoder of spectrograms has none: leave it out.")
        if not isinstance(transform, AudioTransformConfig):
            raise ArgumentError(f"The encoder reads spectrograms, and {type(transform).__name__} gives images.")
        if config.standardized and transform.mean != 0:  # with which nobody could tell what is filled up
            raise ArgumentError(f"standardized is True, and the transform's mean is {transform.mean:g}: make it 0.")
        depth, stem = encoder.config.backbone.depth, encoder.config.stem
        self.width, self.extra = encoder.width * max(1, len(config.layers)), 0
        self.numbers = _numbers(config.layers, depth)
        self.grid = (1, int(subsampled(torch.tensor([transform.frames], device="cpu"), stem)))

    def forward(self, x: Float[Tensor, "n k H W"]) -> Float[Tensor, "n s e"]:
        """See `Features.forward`."""
        mel, keep = x[:, 0], None
        if self.config.standardized:
            heard = mel.any(1)  # the transform fills up with zeros
            keep = heard | ~heard.any(1, keepdim=True)  # of a blank window all
            mel = standardized(mel, keep)
        return states(self.encoder.backbone, self.encoder.stem(mel, keep), self.numbers)

    @property
    def unread(self) -> list[nn.Module]:
        """See `Features.unread`."""
        return _behind(self.encoder.backbone, self.numbers)


class WrappedFeatures(Features):
    """Of a model of timm, or a tower of open_clip: what it calls its intermediates.

    The layers of a hierarchical model are its stages.
    """

    def __init__(self, config: FeaturesConfig, encoder: Any, transform: AnyTransformConfig) -> None:
        super().__init__(config, encoder)
        if not hasattr(self._model, "forward_intermediates"):
            name = type(self._model).__name__
            raise ArgumentError(f"{name} does not give the tokens inside it (forward_intermediates); take another.")
        like = next(encoder.parameters())
        blank = torch.zeros(1, _channels(transform), *transform.size, device=like.device, dtype=like.dtype)
        try:
            with evaluating(encoder), torch.no_grad():  # of these models only they themselves know depth and sizes
                depth = len(self._intermediates(blank, None, first=False))
                self.numbers = _numbers(config.layers, depth, least=1) or (depth,)
                maps = self._maps(blank)[0]
        except (TypeError, IndexError, AssertionError, KeyError, RuntimeError) as error:
            what = f"the tokens inside it with class_token={config.class_token}"
            raise ArgumentError(
                f"{type(self._model).__name__} does not give {what} for inputs of "
                f"{' x '.join(map(str, blank.shape[1:]))} ({str(error).strip() or type(error).__name__}); choose "
                "another class_token, transform or encoder."
            ) from error
        self.grid, self.extra = (maps.shape[-2], maps.shape[-1]), int(config.class_token)
        self.width = maps.shape[1]

    @property
    def _model(self) -> Any:
        """What does the work: of open_clip's towers over timm, timm's model."""
        inner: Any = getattr(self.encoder, "model", self.encoder)
        return getattr(inner, "trunk", inner)

    def forward(self, x: Float[Tensor, "n k H W"]) -> Float[Tensor, "n s e"]:
        """See `Features.forward`."""
        maps, first = self._maps(x)
        patches = maps.flatten(2).transpose(1, 2)  # n s e
        return torch.cat([first, patches], dim=1) if first is not None else patches

    def _maps(self, x: Tensor) -> tuple[Float[Tensor, "n e h w"], Float[Tensor, "n 1 e"] | None]:
        """The features as maps, and the class tokens where they are asked for."""
        asked = sorted({number - 1 for number in self.numbers})
        given = dict(zip(asked, self._intermediates(x, asked, first=self.config.class_token), strict=True))
        found = [given[number - 1] for number in self.numbers]
        if len({maps.shape[-2:] for maps, _ in found}) > 1:
            sizes = ", ".join(f"{maps.shape[-2]}x{maps.shape[-1]}" for maps, _ in found)
            raise ArgumentError(
                f"layers={self.config.layers} have grids of different size ({sizes}); choose one of them."
            )
        first = [tokens[:, :1] for _, tokens in found if tokens is not None]
        return torch.cat([maps for maps, _ in found], dim=1), torch.cat(first, dim=-1) if first else None

    def _intermediates(self, x: Tensor, asked: list[int] | None, *, first: bool) -> list[tuple[Tensor, Tensor | None]]:
        """After each of the blocks `asked`, from 0, or of all: the maps, and with `first` the tokens before them."""
        norm = not self.config.layers
        options: Any = {"indices": asked, "stop_early": True, "intermediates_only": True, "output_fmt": "NCHW"}
        if isinstance(self.encoder, TimmEncoder) or self._model is not self.encoder.model:
            extra = {"return_prefix_tokens": True} if first else {}
            found = self._model.forward_intermediates(x, norm=norm, **options, **extra)
            return [(one[0], one[1]) for one in found] if first else [(one, None) for one in found]
        extra = {"output_extra_tokens": first, "normalize_intermediates": norm}
        given = self._model.forward_intermediates(x, **options, **extra)
        tokens = given["image_intermediates_prefix"] if first else [None] * len(given["image_intermediates"])
        return list(zip(given["image_intermediates"], tokens, strict=True))


def states(backbone: Backbone, tokens: Tokens, numbers: tuple[int, ...]) -> Float[Tensor, "n s e"]:
    """The tokens after the blocks `numbers` (from 1, or 0: as they come in), side by side; () is the output."""
    if not numbers:
        return backbone(tokens.x, mask=tokens.mask, positions=tokens.positions)
    found = {0: tokens.x}

    def keep(number: int, x: Tensor) -> Tensor:
        if number in numbers:
            found[number] = x
        return x

    backbone(tokens.x, mask=tokens.mask, positions=tokens.positions, after=keep, depth=max(numbers))
    return torch.cat([found[number] for number in numbers], dim=-1)


def _behind(backbone: Backbone, numbers: tuple[int, ...]) -> list[nn.Module]:
    """What `states` leaves out of a stack."""
    if not numbers:
        return []
    return [backbone.norm, *([] if backbone.config.shared else list(backbone.blocks)[max(numbers) :])]


def _numbers(layers: tuple[int, ...], depth: int, *, least: int = 0) -> tuple[int, ...]:
    """`layers` counted from the input; `least` is the first that there is."""
    for layer in layers:
        if not least <= (layer if layer >= 0 else depth + 1 + layer) <= depth:
            raise ArgumentError(
                f"layers has {layer}; the encoder has {depth} blocks, so from {least} to {depth}, or from the end, "
                f"{least - depth - 1} to -1."
            )
    return tuple(layer if layer >= 0 else depth + 1 + layer for layer in layers)


def _channels(transform: AnyTransformConfig) -> int:
    """k of what `transform` gives."""
    return 1 if isinstance(transform, AudioTransformConfig) else 3

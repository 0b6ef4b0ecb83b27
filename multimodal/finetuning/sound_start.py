"""Where training on sound starts: a fresh AST, a published one for other classes and lengths, fresh towers for CLAP.

Axes: n positions · d model width · h, w rows and columns of a grid
Refs: AST arXiv:2104.01778 §2.2 · CLAP arXiv:2211.06687
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from multimodal.errors import ArgumentError
from multimodal.finetuning.dual_start import FreshTowersConfig, text_tower
from multimodal.hub import load
from multimodal.models.classifier import Classifier, ClassifierConfig, LinearHeadConfig
from multimodal.models.dual_encoder import DualEncoder, DualEncoderConfig
from multimodal.models.image_encoder import ImageEncoder
from multimodal.models.towers import ImageTowerConfig
from multimodal.presets.dual import Stack
from multimodal.presets.sound import Spectrograms, ast
from multimodal.tokenizers.audio_features import FbankConfig
from multimodal.tokenizers.audio_transform import AudioTransformConfig


@dataclass(frozen=True, kw_only=True)
class HearingConfig:
    """What a fresh model hears; the defaults are AST's."""

    seconds: float = 10.24  # of a clip; what is longer is cut off, what is shorter filled up
    mels: int = 128  # channels of the spectrogram
    low: float = 20.0  # Hz, where the lowest begins
    high: float = 8000.0  # Hz, where the highest ends: half the rate of the recordings, at most 8,000
    mean: float = -4.2677393  # of the features, over the training clips
    std: float = 4.5689974

    @property
    def transform(self) -> AudioTransformConfig:
        """The transform that does this."""
        features = FbankConfig(mels=self.mels, low=self.low, high=self.high, window="hanning")
        return AudioTransformConfig(features=features, seconds=self.seconds, mean=self.mean, std=self.std)


def fresh_ast(labels: Sequence[str], hearing: HearingConfig, size: Spectrograms, *, drop_path: float) -> Classifier:
    """AST's design with fresh weights, a classifier for `labels`."""
    transform = hearing.transform
    encoder = ast(transform, size, drop_path=drop_path)
    return ClassifierConfig(encoder=encoder, classes=len(labels), transform=transform).build(labels)


def published_ast(
    source: str, labels: Sequence[str], *, seconds: float | None = None, drop_path: float = 0.0, pretrained: bool = True
) -> Classifier:
    """A published AST with a fresh head for `labels`, which may hear another length of clips.

    Args:
        source: what `mm.load` takes: "hf:MIT/ast-finetuned-audioset-10-10-0.4593", or a folder.
        labels: names of the classes.
        seconds: of a clip; None: as published. The positions are cut out of the middle for less, resized for more.
        drop_path: probability of skipping the last block while training.
        pretrained: False gives the architecture fresh weights.

    Raises:
        ArgumentError: `source` is no classifier of sound on the shared backbone.
    """
    model = load(source, pretrained=pretrained, device="cpu", dtype="float32")
    transform = model.config.transform if isinstance(model, Classifier) else None
    if not isinstance(transform, AudioTransformConfig) or not isinstance(model.encoder, ImageEncoder):
        raise ArgumentError(f"start is {source!r}, a {type(model).__name__}; it must be a classifier of sound, an AST.")
    transform = transform if seconds is None else replace(transform, seconds=seconds)
    config = model.encoder.config
    encoder = replace(
        config,
        tokenizer=replace(config.tokenizer, size=transform.size),
        backbone=replace(config.backbone, drop_path=drop_path),
    )
    adapted = ClassifierConfig(
        encoder=encoder, classes=len(labels), transform=transform, head=LinearHeadConfig()
    ).build(labels)
    state = model.encoder.state_dict()
    key = "tokenizer.position.weight"
    state[key] = cut_or_resized(state[key], config.tokenizer.grid, encoder.tokenizer.grid)
    adapted.encoder.load_state_dict(state)
    return adapted


def cut_or_resized(vectors: Float[Tensor, "n d"], old: tuple[int, int], new: tuple[int, int]) -> Float[Tensor, "m d"]:
    """Positions of the grid `old` (h, w) for the grid `new`, as AST does: the middle of an axis that becomes shorter,
    for the distance of two positions stays the same; one that becomes longer is interpolated (bilinear).
    """
    grid = vectors.unflatten(0, old).permute(2, 0, 1)[None]  # 1 d h w
    for axis, (had, has) in enumerate(zip(old, new, strict=True), 2):
        if has < had:
            grid = grid.narrow(axis, had // 2 - has // 2, has)
    if grid.shape[2:] != new:
        grid = F.interpolate(grid, size=new, mode="bilinear", align_corners=False)
    return grid[0].flatten(1).t().contiguous()


@dataclass(frozen=True, kw_only=True)
class FreshClapConfig:
    """Sizes of a dual encoder of sound and texts that is trained from nothing."""

    hearing: HearingConfig = HearingConfig()
    audio: Spectrograms = Spectrograms(dim=768, depth=12, heads=12)
    text: Stack = Stack(dim=512, depth=12, heads=8)
    dim: int = 512  # of the embeddings
    length: int = 77  # tokens of a caption at most
    vocabulary: int | None = None  # tokens of a vocabulary that is trained on the captions; None: CLIP's 49,408


def fresh_clap(texts: Iterable[str], fresh: FreshClapConfig) -> DualEncoder:
    """CLAP's design with fresh weights; `texts` are what a vocabulary is trained on, where one is."""
    words = FreshTowersConfig(text=fresh.text, dim=fresh.dim, length=fresh.length, vocabulary=fresh.vocabulary)
    tokenizer, text = text_tower(texts, words)
    transform = fresh.hearing.transform
    audio = ImageTowerConfig(encoder=ast(transform, fresh.audio))
    return DualEncoderConfig(image=audio, text=text, dim=fresh.dim, transform=transform).build(tokenizer)

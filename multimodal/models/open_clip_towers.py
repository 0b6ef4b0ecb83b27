"""Towers of open_clip that the shared backbone cannot express (ConvNeXt, ResNet, CoCa), wrapped as they are.

Axes: b batch · t length · e embedding width · H, W pixels
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from multimodal.errors import ArgumentError, nearest
from multimodal.tokenizers.text_embedding import TextEmbeddingConfig


@dataclass(frozen=True, kw_only=True)
class OpenClipImageConfig:
    """The image tower of an architecture of open_clip."""

    architecture: str

    def build(self, dim: int) -> OpenClipImageTower:
        """An `OpenClipImageTower` with fresh weights.

        Raises:
            ArgumentError: a name that open_clip does not know, or embeddings of another width than `dim`.
        """
        return OpenClipImageTower(self, dim)


@dataclass(frozen=True, kw_only=True)
class OpenClipTextConfig:
    """The text tower of an architecture of open_clip."""

    architecture: str
    vocabulary: int  # ids that it knows
    max_length: int  # tokens of every text, padding included

    @property
    def embedding(self) -> TextEmbeddingConfig:
        """What it reads: which ids, and how many of them."""
        return TextEmbeddingConfig(vocabulary=self.vocabulary, max_length=self.max_length)

    def build(self, dim: int, trunk: nn.Module | None = None) -> OpenClipTextTower:
        """An `OpenClipTextTower` with fresh weights; it has a trunk of its own.

        Raises:
            ArgumentError: a name that open_clip does not know, or embeddings of another width than `dim`.
        """
        return OpenClipTextTower(self, dim)


class OpenClipImageTower(nn.Module):
    """Pixels to a vector, by open_clip's own code."""

    def __init__(self, config: OpenClipImageConfig, dim: int) -> None:
        super().__init__()
        self.model = _tower(config.architecture, dim, "vision_cfg")

    def forward(self, pixels: Float[Tensor, "b 3 H W"], *, patch_drop: float = 0.0) -> Float[Tensor, "b e"]:
        """Embeddings of normalised pixels, not yet of length 1."""
        if patch_drop:
            raise ArgumentError("patch_drop needs an image tower on the shared backbone; this one is open_clip's own.")
        return _pooled(self.model(pixels))


class OpenClipTextTower(nn.Module):
    """Ids to a vector, by open_clip's own code."""

    def __init__(self, config: OpenClipTextConfig, dim: int) -> None:
        super().__init__()
        self.config = config
        self.model = _tower(config.architecture, dim, "text_cfg")

    def forward(self, ids: Int[Tensor, "b t"], *, keep: Bool[Tensor, "b t"] | None = None) -> Float[Tensor, "b e"]:
        """Embeddings of texts, not yet of length 1; ids are filled up with 0, as open_clip's tokenizer does it."""
        if keep is not None:
            ids = ids.masked_fill(~keep, 0)
        return _pooled(self.model(F.pad(ids, (0, max(0, self.config.max_length - ids.shape[1])))))


def embedding_width(architecture: str) -> int:
    """e of one of open_clip's architectures.

    Raises:
        ArgumentError: there is none of that name.
    """
    return _settings(architecture)["embed_dim"]


def _pooled(found: Any) -> Tensor:
    """The embeddings alone; CoCa's towers also give the vectors of all tokens."""
    return found[0] if isinstance(found, tuple) else found


def _tower(architecture: str, dim: int, side: Literal["vision_cfg", "text_cfg"]) -> nn.Module:
    """A tower of one of open_clip's own architectures, with fresh weights."""
    from open_clip import model

    found = _settings(architecture)
    if found["embed_dim"] != dim:
        raise ArgumentError(f"open_clip's {architecture} embeds in {found['embed_dim']} numbers, not in {dim}.")
    quick = bool(found.get("quick_gelu"))
    if side == "vision_cfg":
        found[side]["timm_model_pretrained"] = False
        return model._build_vision_tower(dim, found[side], quick)
    if found[side].get("hf_model_name"):
        raise ArgumentError(f"The text tower of open_clip's {architecture} is transformers' and cannot be wrapped.")
    return model._build_text_tower(dim, found[side], quick)


def _settings(architecture: str) -> dict[str, Any]:
    """What open_clip knows of an architecture."""
    import open_clip

    # A config comes from a file that anybody may have written: it names an architecture, and reads nothing else.
    if architecture not in open_clip.list_models():
        near = nearest(architecture, open_clip.list_models())
        raise ArgumentError(f"open_clip has no architecture {architecture!r}.{near}")
    return open_clip.get_model_config(architecture) or {}

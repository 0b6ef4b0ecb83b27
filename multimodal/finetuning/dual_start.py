"""Where contrastive training starts: fresh towers and their vocabulary, a published dual encoder, or one tower of each.

Refs: CLIP arXiv:2103.00020 §2.4 · SigLIP arXiv:2303.15343 · LiT arXiv:2111.07991
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from multimodal.errors import ArgumentError
from multimodal.hub import load
from multimodal.models.classifier import Classifier
from multimodal.models.dual_encoder import DualEncoder, DualEncoderConfig
from multimodal.models.image_encoder import TimmEncoderConfig
from multimodal.models.towers import ImageTowerConfig, TextTowerConfig
from multimodal.presets import Stack, ViT, clip, siglip
from multimodal.tokenizers.text import TextTokenizer
from multimodal.tokenizers.text_ranks import load_open_clip
from multimodal.tokenizers.text_training import train_tokenizer


@dataclass(frozen=True, kw_only=True)
class FreshTowersConfig:
    """Sizes of a dual encoder that is trained from nothing; the defaults are CLIP's ViT-B/32."""

    image: ViT = ViT(dim=768, depth=12, heads=12, patch=32)
    timm: str | None = None  # an image tower of timm by name instead (resnet10t): of small images a CNN learns sooner
    text: Stack = Stack(dim=512, depth=12, heads=8)
    dim: int = 512  # of the embeddings
    size: int = 224  # side of the images in pixels
    length: int = 77  # tokens of a caption at most
    vocabulary: int | None = None  # tokens of a vocabulary that is trained on the captions; None: CLIP's 49,408


def fresh_clip(texts: Iterable[str], fresh: FreshTowersConfig) -> DualEncoder:
    """CLIP's design with fresh weights, or with another tower of images.

    Args:
        texts: what a vocabulary is trained on, where one is.
        fresh: sizes, and what else the image tower may be.

    Raises:
        ArgumentError: a model that timm does not have.
    """
    tokenizer, end = _vocabulary(texts, fresh)
    config = clip(
        tokenizer.vocabulary,
        end=end,
        dim=fresh.dim,
        image=fresh.image,
        text=fresh.text,
        length=fresh.length,
        size=fresh.size,
    )
    if fresh.timm is not None:
        config = replace(config, image=ImageTowerConfig(encoder=TimmEncoderConfig(name=fresh.timm)))
    return config.build(tokenizer)


def fresh_siglip(texts: Iterable[str], fresh: FreshTowersConfig) -> DualEncoder:
    """SigLIP's design with fresh weights: its embeddings are as wide as its image tower, whatever `fresh.dim` is.

    Raises:
        ArgumentError: a tower of timm, which `fresh_clip` takes.
    """
    if fresh.timm is not None:
        raise ArgumentError(f"timm is {fresh.timm!r}; SigLIP pools by attention over its own patches: leave it out.")
    tokenizer, _ = _vocabulary(texts, fresh)
    sizes = {"image": fresh.image, "text": fresh.text, "length": fresh.length, "size": fresh.size}
    return siglip(tokenizer.vocabulary, pad=tokenizer.pad_id or 0, **sizes).build(tokenizer)


def locked_image(
    source: str | Path, texts: Iterable[str], fresh: FreshTowersConfig, *, pretrained: bool = True
) -> DualEncoder:
    """A published image model, as it is, under a fresh text tower of its width: what LiT starts from.

    Args:
        source: what `mm.load` takes: an image classifier, whose head is left out, or a dual encoder.
        texts: what a vocabulary is trained on, where one is.
        fresh: the size of the text tower.
        pretrained: False gives the image model fresh weights.

    Raises:
        ArgumentError: `source` is no model of images.
    """
    published = load(source, pretrained=pretrained, device="cpu", dtype="float32")
    if isinstance(published, DualEncoder):
        tower, dim, transform = published.config.image, published.config.dim, published.config.transform
        state = published.image.state_dict()
    elif isinstance(published, Classifier):
        tower = ImageTowerConfig(encoder=published.config.encoder, projection=None)
        dim, transform = published.encoder.width, published.config.transform
        state = {f"encoder.{name}": value for name, value in published.encoder.state_dict().items()}
    else:
        raise ArgumentError(f"source is {source!r}, a {type(published).__name__}; LiT starts from a model of images.")
    tokenizer, text = text_tower(texts, fresh)
    model = DualEncoderConfig(image=tower, text=text, dim=dim, transform=transform).build(tokenizer)
    model.image.load_state_dict(state)
    return model


def text_tower(texts: Iterable[str], fresh: FreshTowersConfig) -> tuple[TextTokenizer, TextTowerConfig]:
    """A tokenizer, trained on `texts` where `fresh.vocabulary` asks for one, and CLIP's text tower for it."""
    tokenizer, end = _vocabulary(texts, fresh)
    text = clip(tokenizer.vocabulary, end=end, text=fresh.text, length=fresh.length).text
    assert isinstance(text, TextTowerConfig)
    return tokenizer, text


def _vocabulary(texts: Iterable[str], fresh: FreshTowersConfig) -> tuple[TextTokenizer, int]:
    """The tokenizer, and the id of the token that ends a text."""
    if fresh.vocabulary is None:
        import open_clip.tokenizer

        tokenizer = load_open_clip(open_clip.tokenizer.default_bpe(), max_length=fresh.length)
        end = tokenizer.eos_id
    else:
        options = {"vocabulary": fresh.vocabulary, "lowercase": True, "max_length": fresh.length}
        tokenizer = train_tokenizer(iter(texts), "wordpiece", **options)
        end = tokenizer.sep_id
    assert end is not None
    return tokenizer, end

"""Two towers into one space: images and texts to unit vectors whose product says how well they belong together.

CLIP, SigLIP and LiT are configs of this one class; so is CLAP, whose images are spectrograms: where `transform` is of
sound, recordings take the place of images. Zero-shot classification is in `zero_shot.py`, training in
`multimodal/tasks/contrastive.py`, search over a folder of pictures in `multimodal/search`.

Axes: b batch · n examples · t length · e embedding width · H, W pixels, or mel channels and frames
Refs: CLIP arXiv:2103.00020 · LiT arXiv:2111.07991 · SigLIP arXiv:2303.15343 · CLAP arXiv:2211.06687
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.functional import normalize

from multimodal.errors import ArgumentError
from multimodal.models.fingerprint import fingerprint
from multimodal.models.open_clip_towers import OpenClipImageConfig, OpenClipTextConfig
from multimodal.models.prediction import Prediction
from multimodal.models.similarity import SimilarityConfig, SoftmaxSimilarityConfig
from multimodal.models.text.input import by_length, device_of, is_text, longest_input, rows_of
from multimodal.models.towers import ImageTower, ImageTowerConfig, TextTowerConfig
from multimodal.models.watching import evaluating
from multimodal.models.zero_shot import AUDIO_TEMPLATES, TEMPLATES, class_vectors, filled
from multimodal.progress import track
from multimodal.tokenizers.audio_transform import AudioTransform
from multimodal.tokenizers.encoded import TextBatch
from multimodal.tokenizers.image_batches import read_batches
from multimodal.tokenizers.image_transform import ImageTransformConfig
from multimodal.tokenizers.text import TextTokenizer
from multimodal.tokenizers.text_embedding import TextEmbeddingConfig
from multimodal.tokenizers.transforms import AnyTransformConfig, Pictures, several

AnyImageTowerConfig: TypeAlias = ImageTowerConfig | OpenClipImageConfig
AnyTextTowerConfig: TypeAlias = TextTowerConfig | OpenClipTextConfig
Embedded: TypeAlias = tuple[tuple[Any, ...], Tensor]  # sources, and their vectors (b e)


@dataclass(frozen=True, kw_only=True)
class DualEncoderConfig:
    """Hyper-parameters of `DualEncoder`."""

    image: AnyImageTowerConfig  # of one channel where it reads spectrograms
    text: AnyTextTowerConfig
    dim: int  # e
    similarity: SimilarityConfig = SoftmaxSimilarityConfig()
    transform: AnyTransformConfig = ImageTransformConfig()

    @property
    def embedding(self) -> TextEmbeddingConfig:
        """What the text tower reads: which ids, and how many of them."""
        return self.text.embedding

    def build(self, tokenizer: TextTokenizer | None = None) -> DualEncoder:
        """A `DualEncoder` with fresh weights; without `tokenizer` its texts are ids.

        Raises:
            ArgumentError: towers that do not fit `dim` or each other.
        """
        return DualEncoder(self, tokenizer)


class DualEncoder(nn.Module):
    """Images, or recordings, and texts to vectors of one space."""

    def __init__(self, config: DualEncoderConfig, tokenizer: TextTokenizer | None = None) -> None:
        super().__init__()
        self.config, self.tokenizer = config, tokenizer
        self.image = config.image.build(config.dim)
        shared = isinstance(config.text, TextTowerConfig) and config.text.backbone is None
        trunk = self.image.trunk if shared and isinstance(self.image, ImageTower) else None
        self.text = config.text.build(config.dim, trunk)
        self.similarity = config.similarity.build()
        self.transform = config.transform.build()
        self.card: dict[str, Any] = {}  # what is known of the training: data fingerprint, metrics, settings

    @property
    def width(self) -> int:
        """e, the length of a vector."""
        return self.config.dim

    @property
    def caption_length(self) -> int:
        """Tokens, special ones included, that are read of a text."""
        return longest_input(self.tokenizer, self.config.embedding)

    @property
    def image_dtype(self) -> torch.dtype:
        """The number format that pixels are given in."""
        return next(self.image.parameters()).dtype

    def forward(
        self,
        pixels: Pictures,
        ids: Int[Tensor, "n t"],
        *,
        keep: Bool[Tensor, "n t"] | None = None,
    ) -> tuple[Float[Tensor, "b e"], Float[Tensor, "n e"]]:
        """Unit embeddings of images and of texts; arguments as in `encode_images` and `encode_texts`."""
        return self.encode_images(pixels), self.encode_texts(ids, keep=keep)

    @property
    def hears(self) -> bool:
        """Whether it takes recordings in the place of images."""
        return isinstance(self.transform, AudioTransform)

    def encode_images(self, pixels: Pictures, *, patch_drop: float = 0.0) -> Float[Tensor, "b e"]:
        """Unit embeddings in float32. Bytes (0 to 255) are normalised here, on the device; floats are as they are.

        `patch_drop` is the part of patches left out (FLIP), for training.
        """
        if pixels.dtype == torch.uint8:
            pixels = self.transform.normalize(pixels, dtype=self.image_dtype)
        found = self.image(pixels.to(self.image_dtype), patch_drop=patch_drop)
        return normalize(found.float(), dim=-1)

    def encode_texts(self, ids: Int[Tensor, "n t"], *, keep: Bool[Tensor, "n t"] | None = None) -> Float[Tensor, "n e"]:
        """Unit embeddings in float32 of ids with their special tokens; `keep` is False at padding."""
        return normalize(self.text(ids, keep=keep).float(), dim=-1)

    def embed_pixels(self, pixels: Pictures) -> Float[Tensor, "b e"]:
        """Unit vectors on the CPU of pixels that `transform` gave, wherever the model is."""
        with evaluating(self), torch.inference_mode():
            return self.encode_images(pixels.to(device_of(self))).cpu()

    def stream_images(
        self, images: Any, *, batch_size: int = 32, errors: list[tuple[Any, str]] | None = None
    ) -> Iterator[Embedded]:
        """Batches of (sources, vectors) as soon as they are known, for streams of any length.

        The next ones are decoded by threads while the model works. Arguments and errors as in `embed_images`; of a
        model of sound, they are recordings, as in `embed_audio`.
        """
        sources, read = several(images, self.transform), self.transform.read
        for batch in read_batches(sources, read, batch_size=batch_size, errors=errors):
            yield batch.sources, self.embed_pixels(batch.pixels)

    def embed_images(
        self, images: Any, *, batch_size: int = 32, errors: list[tuple[Any, str]] | None = None
    ) -> Float[Tensor, "n e"]:
        """A unit vector for each image, float32 on the CPU, with a progress bar for long work.

        Args:
            images: paths, bytes of files, file objects, PIL images or arrays (h w 3); one, a list, or a stream of them.
            batch_size: images that go through the model at a time.
            errors: where given, an unreadable image is appended here as (image, reason) and has no row.

        Raises:
            ArgumentError: `batch_size` is below 1, or a model of sound.
            MediaError: an image cannot be read and no `errors` list was given.
        """
        if self.hears:
            raise ArgumentError("This model embeds sound, not images: use embed_audio(clips).")
        return self._embed("embedding images", images, batch_size, errors)

    def embed_audio(
        self, clips: Any, *, batch_size: int = 32, errors: list[tuple[Any, str]] | None = None
    ) -> Float[Tensor, "n e"]:
        """A unit vector for each recording; the other arguments and errors are those of `embed_images`.

        `clips`: paths, bytes of files, file objects, arrays of samples at 16 kHz, or (array, its rate); one, a list, or
        a stream of them.
        """
        if not self.hears:
            raise ArgumentError("This model embeds images, not sound: use embed_images(images).")
        return self._embed("embedding sound", clips, batch_size, errors)

    def _embed(
        self, what: str, inputs: Any, batch_size: int, errors: list[tuple[Any, str]] | None
    ) -> Float[Tensor, "n e"]:
        inputs = several(inputs, self.transform)
        total = len(inputs) if isinstance(inputs, Sequence) else None
        batches = self.stream_images(inputs, batch_size=batch_size, errors=errors)
        found = list(track((row for _, vectors in batches for row in vectors), total, what))
        return torch.stack(found) if found else torch.empty(0, self.width)

    def embed_texts(self, texts: Any, *, batch_size: int = 64) -> Float[Tensor, "n e"]:
        """A unit vector for each text, float32 on the CPU; what is too long is cut off on the right.

        Args:
            texts: a text or a list; token ids will do.
            batch_size: texts that go through the model at a time.

        Raises:
            ArgumentError: an empty text, text for a model without a tokenizer, or `batch_size` below 1.
        """
        several = [texts] if is_text(texts) else list(texts)
        rows = rows_of(self, several)
        found = torch.empty(len(rows), self.width)
        device = device_of(self)
        with evaluating(self), torch.inference_mode():
            for places in by_length(rows, batch_size=batch_size, what="embedding texts"):
                batch = TextBatch.of([rows[i] for i in places])
                found[places] = self.encode_texts(batch.ids.to(device), keep=batch.keep.to(device)).cpu()
        return found

    def classify(
        self,
        images: Any,
        labels: Sequence[str],
        *,
        templates: Sequence[str] | None = None,
        top: int | None = None,
        batch_size: int = 32,
        errors: list[tuple[Any, str]] | None = None,
    ) -> list[Prediction]:
        """Zero-shot: the labels of each image or recording, likeliest first, that the model was never trained on.

        Args:
            images: as in `embed_images`; of a model of sound, recordings as in `embed_audio`.
            labels: names of the classes.
            templates: captions with "{}" where the name goes; the vectors of all are averaged for each class. None:
                "a photo of a {}.", or of sound "This is a sound of {}."
            top: how many labels to give; None: all.
            batch_size: inputs that go through the model at a time.
            errors: as in `embed_images`.

        Returns:
            Predictions with probabilities of the model's own kind: under a softmax those of one image add up to 1,
            under a sigmoid each label is judged for itself.

        Raises:
            ArgumentError: no labels, a template without "{}", `top` below 1, or as in `embed_texts`.
            MediaError: as in `embed_images`.
        """
        if top is not None and top < 1:
            raise ArgumentError(f"top is {top}; it must be at least 1, or None for all labels.")
        names = filled(labels, (AUDIO_TEMPLATES if self.hears else TEMPLATES) if templates is None else templates)
        classes = class_vectors(self.embed_texts(names.texts), len(names.labels))
        count = min(top or len(classes), len(classes))
        found = []
        for sources, vectors in self.stream_images(images, batch_size=batch_size, errors=errors):
            with torch.inference_mode():
                logits = self.similarity(vectors.to(device_of(self)), classes.to(device_of(self)))
                best = self.similarity.probabilities(logits).topk(count, dim=-1)
            for source, values, places in zip(sources, best.values.tolist(), best.indices.tolist(), strict=True):
                found.append(Prediction(source, tuple(names.labels[i] for i in places), tuple(values)))
        return found

    def fingerprint(self) -> str:
        """What tells this model's vectors from another's: of weights, config and vocabulary, in hexadecimal digits.

        Copies in float32 and in bfloat16 have the same one.
        """
        return fingerprint(self, self.config, self.tokenizer)

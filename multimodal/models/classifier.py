"""A classifier of images or sound that knows its labels and its preprocessing, so that it predicts the same anywhere.

What it takes follows from its transform: a recording becomes a spectrogram, which is a picture of one channel (AST).

Training is in `multimodal/tasks` and `multimodal/finetuning`, model folders in `multimodal/checkpoint`.

Axes: b batch · c classes · e feature width · k channels · H, W pixels, or mel channels and frames
Refs: DeiT arXiv:2012.12877 · AST arXiv:2104.01778
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from multimodal.backbone.backbone import initialize
from multimodal.errors import ArgumentError
from multimodal.models.explain import Explanation, explain
from multimodal.models.image_encoder import AnyImageEncoderConfig
from multimodal.models.prediction import Prediction
from multimodal.models.watching import evaluating
from multimodal.tokenizers.image_batches import read_batches
from multimodal.tokenizers.image_transform import ImageTransformConfig
from multimodal.tokenizers.transforms import AnyTransformConfig, Pictures, several


@dataclass(frozen=True, kw_only=True)
class LinearHeadConfig:
    """One linear layer; for no classes none, and the features come out as they are."""

    dropout: float = 0.0  # probability of zeroing a feature while training

    def build(self, width: int, classes: int) -> nn.Module:
        """Features (b, width) to logits (b, classes)."""
        if classes == 0:
            return nn.Dropout(self.dropout)
        head = nn.Linear(width, classes)
        initialize(head)
        return nn.Sequential(nn.Dropout(self.dropout), head)


@dataclass(frozen=True, kw_only=True)
class DistilledHeadConfig:
    """DeiT's two heads, one on the class and one on the distillation token; their mean is the answer."""

    def build(self, width: int, classes: int) -> nn.Module:
        """Features (b, width) to logits (b, classes)."""
        return DistilledHead(width, classes)


class DistilledHead(nn.Module):
    """The mean of a linear layer on each half of the features (arXiv:2012.12877 §4)."""

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.token = nn.Linear(width // 2, classes)
        self.distillation = nn.Linear(width // 2, classes)
        self.apply(initialize)

    def forward(self, x: Float[Tensor, "b e"]) -> Float[Tensor, "b c"]:
        """Logits of features."""
        token, distillation = x.chunk(2, dim=-1)
        return (self.token(token) + self.distillation(distillation)) / 2


@dataclass(frozen=True, kw_only=True)
class ClassifierConfig:
    """Hyper-parameters of `Classifier`."""

    encoder: AnyImageEncoderConfig
    classes: int
    transform: AnyTransformConfig = ImageTransformConfig()
    head: LinearHeadConfig | DistilledHeadConfig = LinearHeadConfig()
    output: Literal["softmax", "sigmoid"] = "softmax"  # one class for each input, or any number of them

    def build(self, labels: Iterable[str] | None = None) -> Classifier:
        """A `Classifier` with fresh weights; without `labels`, classes are called by their number."""
        return Classifier(self, labels)


class Classifier(nn.Module):
    """Images, or recordings, to labels."""

    def __init__(
        self,
        config: ClassifierConfig,
        labels: Iterable[str] | None = None,
    ) -> None:
        super().__init__()
        self.config = config
        self.labels = tuple(labels) if labels is not None else tuple(str(i) for i in range(config.classes))
        if len(self.labels) != config.classes:
            raise ArgumentError(f"{len(self.labels)} labels were given for {config.classes} classes.")
        self.encoder = config.encoder.build()
        self.head = config.head.build(self.encoder.width, config.classes)
        self.transform = config.transform.build()
        self.temperature = 1.0  # logits are divided by it before they become probabilities (arXiv:1706.04599)
        self.card: dict[str, Any] = {}  # what is known of the training: data fingerprint, metrics, settings

    def forward(self, pixels: Pictures) -> Float[Tensor, "b c"]:
        """Logits. Bytes (0 to 255) are normalised here, on the device; floats are taken as normalised."""
        return self.head(self.features(pixels))

    def features(self, pixels: Pictures) -> Float[Tensor, "b e"]:
        """What the head sees of each input."""
        dtype = next(self.encoder.parameters()).dtype
        if pixels.dtype == torch.uint8:
            pixels = self.transform.normalize(pixels, dtype=dtype)
        return self.encoder(pixels.to(dtype))

    def probabilities(self, logits: Float[Tensor, "b c"]) -> Float[Tensor, "b c"]:
        """Calibrated probabilities of logits."""
        logits = logits.float() / self.temperature
        return logits.softmax(-1) if self.config.output == "softmax" else logits.sigmoid()

    def predict(
        self,
        images: Any,
        *,
        top: int = 5,
        batch_size: int = 32,
        errors: list[tuple[Any, str]] | None = None,
    ) -> list[Prediction]:
        """The `top` likeliest labels of each image, or of each recording where the model's transform is of sound.

        Args:
            images: paths, bytes of files, file objects, PIL images or arrays (h w 3); one, a list, or a stream of them.
                Recordings: paths, bytes, file objects, arrays of samples at 16 kHz, or (array, its rate).
            top: how many labels to give for each.
            batch_size: inputs that go through the model at a time.
            errors: where given, an unreadable input is appended here as (input, reason) and left out.

        Raises:
            ArgumentError: `top` or `batch_size` is below 1.
            MediaError: an input cannot be read and no `errors` list was given.
        """
        return list(self.stream(images, top=top, batch_size=batch_size, errors=errors))

    def stream(
        self,
        images: Any,
        *,
        top: int = 5,
        batch_size: int = 32,
        errors: list[tuple[Any, str]] | None = None,
    ) -> Iterator[Prediction]:
        """What `predict` gives, one by one and as soon as it is known; arguments and errors are the same."""
        if top < 1:
            raise ArgumentError(f"top is {top}; it must be at least 1.")
        if not self.labels:
            raise ArgumentError("This model has no classes, only features: fine-tune it on labelled data first.")
        device = next(self.parameters()).device
        for batch in read_batches(
            several(images, self.transform), self.transform.read, batch_size=batch_size, errors=errors
        ):
            with evaluating(self), torch.inference_mode():
                chances = self.probabilities(self(batch.pixels.to(device)))
            best = chances.topk(min(top, len(self.labels)), dim=-1)
            for source, values, indices in zip(batch.sources, best.values.tolist(), best.indices.tolist(), strict=True):
                yield Prediction(source, tuple(self.labels[i] for i in indices), tuple(values))

    def explain(self, image: Any, *, label: str | None = None, method: str = "gradient") -> Explanation:
        """Where the model looked: relevance of each place of the image for `label` (default: the likeliest).

        Of a recording, the image is its spectrogram: what the model hears of it, high frequencies at the top.

        Method "gradient" weights attention by its gradient for that label (Grad-CAM for wrapped models); "rollout"
        follows attention alone, whatever the label. `.save(path)` writes an overlay PNG.

        Raises:
            ArgumentError: an unknown label or method, or rollout on a wrapped model.
            MediaError: the image or recording cannot be read.
        """
        return explain(self, image, label=label, method=method)

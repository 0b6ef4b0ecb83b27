"""Training a dual encoder on images, or recordings, and their captions: InfoNCE or sigmoid loss, recall at validation.

Which loss it is follows from the model's similarity. Captions of a batch are as long as its longest, and on a CPU they
are packed; equal captions are no negatives of each other. Files are the data module's business.

Axes: b batch · B batch of all processes · m captions · e embedding width
Refs: CLIP arXiv:2103.00020 · SigLIP arXiv:2303.15343 · LiT arXiv:2111.07991 · FLIP arXiv:2212.00794 · gradient cache
arXiv:2101.06983
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float
from lightning.pytorch import Callback
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from multimodal.backbone.lora import LoraConfig, attach
from multimodal.errors import ArgumentError
from multimodal.losses import Gathered, sigmoid_pairs, softmax_pairs
from multimodal.models.dual_encoder import DualEncoder
from multimodal.models.similarity import SoftmaxSimilarityConfig
from multimodal.models.towers import TextTower
from multimodal.tasks.optimizer import OptimizerConfig
from multimodal.tasks.pair_scores import PairScores
from multimodal.tasks.spec_augment import SpecAugmentConfig, hide_pictures
from multimodal.tasks.training import TrainingTask


@dataclass(frozen=True, kw_only=True)
class ContrastiveConfig:
    """How a dual encoder is trained."""

    locked: Literal["image", "text"] | None = None  # the tower that is not trained (LiT: "image")
    lora: LoraConfig | None = None  # train adapters of both towers, and the similarity, instead of all weights
    patch_drop: float = 0.0  # part of the patches that is left out in training (FLIP: 0.5)
    hide: SpecAugmentConfig | None = None  # what is hidden of spectrograms in training; None: nothing
    micro_batch: int | None = None  # pairs that go through the towers at a time; the loss still sees the whole batch

    def __post_init__(self) -> None:
        if not 0 <= self.patch_drop < 1:
            raise ArgumentError(f"patch_drop is {self.patch_drop}; it is the part left out and must lie in [0, 1).")
        if self.micro_batch is not None and self.micro_batch < 1:
            raise ArgumentError(f"micro_batch is {self.micro_batch}; it must be at least 1, or None.")
        if self.locked == "image" and self.patch_drop:
            raise ArgumentError("patch_drop and locked='image' exclude each other: a locked tower sees whole images.")
        if self.locked == "image" and self.hide:
            raise ArgumentError("hide and locked='image' exclude each other: a locked tower sees whole spectrograms.")
        if self.locked is not None and self.lora is not None:
            raise ArgumentError("locked and lora exclude each other: adapters are put into both towers.")


class ContrastiveTask(TrainingTask):
    """A dual encoder with its loss, its metrics and its optimizer."""

    model: DualEncoder
    shown = ("recall",)

    def __init__(
        self,
        model: DualEncoder,
        *,
        training: ContrastiveConfig = ContrastiveConfig(),
        optimizer: OptimizerConfig = OptimizerConfig(),
        callbacks: Sequence[Callback] = (),
        seed: int = 0,
    ) -> None:
        """Train `model`, in place.

        Args:
            model: the dual encoder; which loss it is trained with follows from its similarity.
            training: what is trained, and how.
            optimizer: AdamW and its schedule over the whole training.
            callbacks: of Lightning, that this training needs: a `ForgettingGuard`.
            seed: of dropout and of left out patches; each step's randomness follows from (seed, step).

        Raises:
            ArgumentError: the locked text tower reads with the image tower's trunk; or as in `attach`.
        """
        if training.locked == "text" and isinstance(model.text, TextTower) and model.text.backbone is None:
            raise ArgumentError("locked is 'text', whose trunk is the image tower's and would be trained with that.")
        super().__init__(model, optimizer=optimizer, seed=seed, callbacks=callbacks)
        self.training_config = training
        self.hide = training.hide.build() if training.hide else None
        self.known: dict[int, Tensor] = {}  # index of an image -> what the locked tower makes of it
        self.marks: Tensor | None = None  # the data's own flags of what is known; see `data/pairs/locked.py`
        if training.locked is not None:
            getattr(model, training.locked).requires_grad_(False)
        if training.lora is not None:
            attach(model, training.lora)
            model.similarity.requires_grad_(True)
        self.measure(lambda: {"pairs": PairScores()})
        self.train()  # a published model comes in eval mode, and Lightning leaves modes as they are

    def train(self, mode: bool = True) -> ContrastiveTask:
        """Switch what is trained; a locked tower drops nothing, and its statistics of batches stay as they are."""
        super().train(mode)
        if self.training_config.locked is not None:
            getattr(self.model, self.training_config.locked).eval()
        return self

    def on_train_start(self) -> None:
        """Find out whether the data want to know which images need not be read again."""
        super().on_train_start()
        self.marks = getattr(getattr(self.trainer.train_dataloader, "dataset", None), "known", None)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """The loss of a batch, over the pairs of all processes."""
        self.failed.update(batch["failed"])
        image, text = self._images(batch), self._texts(batch)
        several = torch.distributed.is_initialized() and torch.distributed.get_world_size() > 1
        everyone = self._everyone(image, text, batch["caption"]) if several else None
        return pair_loss(self.model, image, text, batch["caption"], everyone)

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Keep the scale within its bounds, as CLIP does; log now and then."""
        self.model.similarity.clamp()
        super().on_train_batch_end(outputs, batch, batch_idx)
        if batch_idx % self.trainer.log_every_n_steps == 0:  # pyright: ignore
            self.log("scale", self.model.similarity.scale.detach())

    def on_train_end(self) -> None:
        """Say which files could not be read; adapters become part of the model."""
        super().on_train_end()
        self.fold_adapters()

    def count(self, batch: Any, metrics: dict[str, Any]) -> None:
        """Keep the vectors of a batch; recall needs them all."""
        image = self.model.encode_images(batch["pixels"])
        text = self.model.encode_texts(batch["ids"], keep=batch["keep"])
        metrics["pairs"].update(image, text, batch["image"], batch["image"][batch["owner"]], batch["caption"])

    def report(self, metrics: dict[str, Any]) -> dict[str, Tensor]:
        """Recall both ways among all images and captions of the split."""
        return metrics["pairs"].compute()

    def tokens(self, batch: Any) -> Tensor:
        """Those of the captions."""
        return batch["keep"].sum()

    def _images(self, batch: Any) -> Float[Tensor, "b e"]:
        drop, pixels = self.training_config.patch_drop, batch["pixels"]
        if self.hide is not None:
            pixels = hide_pictures(self.hide, pixels)
        if self.training_config.locked != "image":
            return self._in_parts(lambda part: self.model.encode_images(part, patch_drop=drop), pixels)
        if "known" not in batch:
            with torch.no_grad():
                return self._in_parts(self.model.encode_images, pixels)
        return self._remembered(pixels, batch["known"], batch["index"].tolist())

    def _remembered(self, pixels: Tensor, known: Tensor, index: list[int]) -> Float[Tensor, "b e"]:
        """What a locked tower makes of images, those that are new among them in `pixels`; kept for the next epochs."""
        new = [place for place, old in zip(index, known.tolist(), strict=True) if not old]
        if new:
            with torch.no_grad():
                vectors = self._in_parts(self.model.encode_images, pixels).cpu()
            self.known.update(zip(new, vectors, strict=True))
            if self.marks is not None:
                self.marks[new] = True
        return torch.stack([self.known[place] for place in index]).to(self.device)

    def _texts(self, batch: Any) -> Float[Tensor, "b e"]:
        ids, keep = batch["ids"], batch["keep"]
        if self.training_config.locked == "text":
            with torch.no_grad():
                return self._in_parts(lambda a, b: self.model.encode_texts(a, keep=b), ids, keep)
        return self._in_parts(lambda a, b: self.model.encode_texts(a, keep=b), ids, keep)

    def _in_parts(self, encode: Callable[..., Tensor], *inputs: Tensor) -> Float[Tensor, "b e"]:
        """`encode` of the inputs, a micro-batch at a time.

        The activations of a micro-batch are not kept but computed again in the backward pass, when the loss of the
        whole batch has said what their vectors should become: the gradient cache, with the gradients of a large batch.
        """
        size = self.training_config.micro_batch
        if size is None or len(inputs[0]) <= size:
            return encode(*inputs)
        parts = zip(*(tensor.split(size) for tensor in inputs), strict=True)
        if not torch.is_grad_enabled():
            return torch.cat([encode(*part) for part in parts])
        return torch.cat([checkpoint(encode, *part, use_reentrant=False) for part in parts])  # pyright: ignore

    def _everyone(self, image: Tensor, text: Tensor, caption: Tensor) -> Gathered:
        """The pairs of all processes; gradients flow back to the process that they belong to."""
        images, texts = (self.all_gather(x, sync_grads=True).flatten(0, 1) for x in (image, text))  # pyright: ignore
        captions = self.all_gather(caption).flatten()  # pyright: ignore
        return Gathered(images, texts, captions, self.global_rank * len(image))


def pair_loss(
    model: DualEncoder, image: Tensor, text: Tensor, caption: Tensor | None, everyone: Gathered | None = None
) -> Float[Tensor, ""]:
    """The loss that `model` is trained with, of unit embeddings; arguments as in `softmax_pairs`."""
    similarity = model.similarity
    if isinstance(similarity.config, SoftmaxSimilarityConfig):
        return softmax_pairs(image, text, similarity.scale, caption=caption, everyone=everyone)
    assert similarity.bias is not None
    return sigmoid_pairs(image, text, similarity.scale, similarity.bias, caption=caption, everyone=everyone)

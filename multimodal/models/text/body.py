"""What the models of `text_heads.py` have in common: a body, any `TextEncoder` or `LanguageModel`, under a task's head.

Axes: b batch · t length · d model width
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from multimodal.errors import ArgumentError
from multimodal.models.language_model import LanguageModel, LanguageModelConfig
from multimodal.models.text.input import batches, device_of, longest_input
from multimodal.models.text.summary import FirstTokenHead
from multimodal.models.text_encoder import TextEncoder, TextEncoderConfig
from multimodal.models.watching import evaluating
from multimodal.tokenizers.encoded import Encoded
from multimodal.tokenizers.text import TextTokenizer

BodyConfig: TypeAlias = TextEncoderConfig | LanguageModelConfig


class TextHead(nn.Module, ABC):
    """A body, its hidden states, and the texts that it reads."""

    head: nn.Module

    def __init__(self, config: Any, tokenizer: TextTokenizer | None) -> None:
        super().__init__()
        if config.encoder != bare(config.encoder):
            raise ArgumentError(
                "encoder has layers of pretraining (pooler, head) that no task would train; give bare(encoder)."
            )
        self.config = config
        self.encoder: TextEncoder | LanguageModel = config.encoder.build(tokenizer)
        self.card: dict[str, Any] = {}  # what is known of the training: data fingerprint, metrics, settings

    @property
    def tokenizer(self) -> TextTokenizer | None:
        """The body's; None: only ids can be read."""
        return self.encoder.tokenizer

    @tokenizer.setter
    def tokenizer(self, tokenizer: TextTokenizer | None) -> None:
        self.encoder.tokenizer = tokenizer

    @property
    def longest(self) -> int:
        """Tokens, special ones included, that are read of a text."""
        return longest_input(self.tokenizer, self.config.encoder.embedding)

    def forward(
        self,
        ids: Int[Tensor, "b t"],
        *,
        keep: Bool[Tensor, "b t"] | None = None,
        types: Int[Tensor, "b t"] | None = None,
    ) -> Float[Tensor, "b ..."]:
        """Logits; arguments as in `hidden`."""
        return self.logits(self.hidden(ids, keep=keep, types=types), keep)

    @abstractmethod
    def logits(self, hidden: Float[Tensor, "b t d"], keep: Bool[Tensor, "b t"] | None = None) -> Float[Tensor, "b ..."]:
        """Logits from `hidden(...)`: of the text, or of each token."""

    def hidden(
        self,
        ids: Int[Tensor, "b t"],
        *,
        keep: Bool[Tensor, "b t"] | None = None,
        types: Int[Tensor, "b t"] | None = None,
    ) -> Float[Tensor, "b t d"]:
        """The body's last hidden states; `keep` is False at padding, `types` the segment of each token."""
        if isinstance(self.encoder, LanguageModel):
            return self.encoder.hidden(ids, keep=keep)
        return self.encoder(ids, keep=keep, types=types)

    def start_from(self, body: TextEncoder | LanguageModel) -> None:
        """Take over the weights of a trained body, and its tokenizer; BERT's pooler becomes the head's dense layer.

        Raises:
            ArgumentError: it has another config than this model's body.
        """
        if bare(body.config) != self.config.encoder:
            raise ArgumentError("The body's config is not this model's `encoder`: build the model with bare(config).")
        own = self.encoder.state_dict().keys()
        self.encoder.load_state_dict({name: value for name, value in body.state_dict().items() if name in own})
        self.encoder.tokenizer = body.tokenizer
        if isinstance(self.head, FirstTokenHead) and isinstance(body, TextEncoder) and body.pooler is not None:
            self.head.dense.load_state_dict(body.pooler.dense.state_dict())

    def answers(
        self, rows: Sequence[Encoded], logits: Callable[[Tensor], Tensor], *, batch_size: int, what: str
    ) -> list[Tensor]:
        """`logits(forward(row))` of each row on the CPU, without its padding, in the order of `rows`.

        `logits` gets what `forward` gives, in float32; `what` is said beside the progress bar of long work.
        """
        found: list[Tensor] = [torch.empty(0)] * len(rows)
        pad = self.tokenizer.pad_id if self.tokenizer is not None else None
        with evaluating(self), torch.inference_mode():
            for places, batch in batches(rows, batch_size=batch_size, device=device_of(self), what=what, pad=pad):
                output = logits(self(batch.ids, keep=batch.keep, types=batch.types).float()).cpu()
                for place, row in zip(places, output, strict=True):
                    found[place] = row[: len(rows[place].ids)] if row.ndim == 2 else row
        return found


def bare(config: BodyConfig) -> BodyConfig:
    """The config of a body without the layers that only its pretraining needs: pooler and masked-word head."""
    return replace(config, pooler=None, head=None) if isinstance(config, TextEncoderConfig) else config


def names_of(labels: Iterable[str] | None, classes: int) -> tuple[str, ...]:
    """The names of so many classes; without `labels`, their numbers.

    Raises:
        ArgumentError: more or fewer labels than classes.
    """
    names = tuple(labels) if labels is not None else tuple(str(i) for i in range(classes))
    if len(names) != classes:
        raise ArgumentError(f"{len(names)} labels were given for {classes} classes.")
    return names

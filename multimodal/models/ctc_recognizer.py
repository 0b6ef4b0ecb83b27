"""A speech recognizer without a decoder: an encoder scores every frame, and CTC makes text of that. The Conformer.

All frames are read at once, so it is fast, cannot repeat itself and knows when each word was said. A decoder beside it
(hybrid CTC/attention) makes the encoder listen to whole sentences while training, and afterwards judges the texts that
CTC finds; it writes none itself.

Axes: b batch · m mel channels · t frames, or length of a text · s tokens of the encoder · d model width · v tokens, the
blank included
Refs: CTC, Graves et al. 2006 · Conformer arXiv:2005.08100 · hybrid training arXiv:1609.06773 · CTC between the blocks
arXiv:2102.03216, and its answers given back to the encoder arXiv:2104.02724 · judging by the decoder arXiv:2102.01547
§2.2
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from multimodal.backbone.backbone import BackboneConfig, initialize
from multimodal.backbone.mask import Mask
from multimodal.errors import ArgumentError
from multimodal.generation.continuation import padded
from multimodal.models.audio_encoder import AudioEncoderConfig
from multimodal.tokenizers.audio_features import AudioFeaturesConfig, FbankConfig, standardized
from multimodal.tokenizers.text import TextTokenizer
from multimodal.tokenizers.text_embedding import TextEmbeddingConfig


@dataclass(frozen=True, kw_only=True)
class JudgingDecoderConfig:
    """The decoder of hybrid models; its word table is its output layer."""

    backbone: BackboneConfig  # with cross-attention
    max_length: int = 512  # tokens of a text; of a longer one it learns and judges the start

    def build(self, vocabulary: int) -> JudgingDecoder:
        """A decoder of `vocabulary` tokens, with fresh weights."""
        return JudgingDecoder(self, vocabulary)


class JudgingDecoder(nn.Module):
    """Logits of the next token, from the text before it and the sound."""

    def __init__(self, config: JudgingDecoderConfig, vocabulary: int) -> None:
        super().__init__()
        self.longest = config.max_length
        embedding = TextEmbeddingConfig(vocabulary=vocabulary, max_length=config.max_length)
        self.embedding = embedding.build(config.backbone.dim)
        self.backbone = config.backbone.build()

    def forward(
        self,
        ids: Int[Tensor, "b t"],
        context: Float[Tensor, "b s d"],
        *,
        keep: Bool[Tensor, "b t"] | None = None,
        context_keep: Bool[Tensor, "b s"] | None = None,
    ) -> Float[Tensor, "b t v"]:
        """Logits of the token after each of `ids`; both `keep` are False at padding."""
        mask = Mask(causal=True, keep=keep)
        x = self.backbone(self.embedding(ids), mask=mask, context=context, context_keep=context_keep)
        return x @ self.embedding.words.weight.T


@dataclass(frozen=True, kw_only=True)
class CtcRecognizerConfig:
    """Hyper-parameters of `CtcRecognizer`."""

    encoder: AudioEncoderConfig
    vocabulary: int  # of the tokenizer; one more id behind them is the blank, and a decoder's start and end
    features: AudioFeaturesConfig = FbankConfig()  # each channel is then standardized over its clip
    between: tuple[
        int, ...
    ] = ()  # after these blocks, counted from 1, CTC answers too, and the encoder hears its answer
    decoder: JudgingDecoderConfig | None = None

    def build(self, tokenizer: TextTokenizer | None = None) -> CtcRecognizer:
        """A `CtcRecognizer` with fresh weights; without `tokenizer` it gives ids only.

        Raises:
            ArgumentError: a vocabulary of nothing, a block that there is not, or a decoder of another width.
        """
        return CtcRecognizer(self, tokenizer)


class Scored(NamedTuple):
    """What the encoder makes of a batch of clips."""

    logits: Float[Tensor, "b s v"]
    keep: Bool[Tensor, "b s"] | None  # False at padding
    x: Float[Tensor, "b s d"]  # what a decoder listens to
    between: tuple[Tensor, ...] = ()  # logits (b s v) between the blocks


class CtcRecognizer(nn.Module):
    """Spectrograms to the scores of each token in each frame, and recordings to text."""

    def __init__(self, config: CtcRecognizerConfig, tokenizer: TextTokenizer | None = None) -> None:
        super().__init__()
        dim, depth = config.encoder.backbone.dim, config.encoder.backbone.depth
        if config.vocabulary < 1:
            raise ArgumentError(f"vocabulary is {config.vocabulary}; it must be at least 1 token.")
        if wrong := [block for block in config.between if not 1 <= block < depth]:
            raise ArgumentError(f"between has {wrong[0]}; it must name blocks from 1 to {depth - 1}, before the last.")
        if config.decoder is not None and (config.decoder.backbone.context_dim or config.decoder.backbone.dim) != dim:
            raise ArgumentError(f"The decoder's context_dim must be the encoder's width, {dim}.")
        self.config, self.tokenizer = config, tokenizer
        self.features = config.features.build()
        self.encoder = config.encoder.build(config.features.mels)
        self.head = nn.Linear(dim, config.vocabulary + 1)
        self.answer = nn.Linear(config.vocabulary + 1, dim) if config.between else None
        self.decoder = config.decoder.build(config.vocabulary + 1) if config.decoder else None
        for layer in (self.head, self.answer):
            if layer is not None:
                initialize(layer)
        self.card: dict[str, Any] = {}  # what is known of the training: data fingerprint, metrics, settings

    @property
    def blank(self) -> int:
        """The id that stands for no token."""
        return self.config.vocabulary

    def forward(self, mel: Float[Tensor, "b m t"], keep: Bool[Tensor, "b t"] | None = None) -> Float[Tensor, "b s v"]:
        """Logits of each frame of the encoder; arguments as of `score`."""
        return self.score(mel, keep).logits

    def score(self, mel: Float[Tensor, "b m t"], keep: Bool[Tensor, "b t"] | None = None) -> Scored:
        """Logits, and what training needs besides.

        Args:
            mel: of `features`, as they come.
            keep: False at padding frames, on the right.
        """
        return self.score_standardized(standardized(mel, keep), keep)

    def score_standardized(self, mel: Float[Tensor, "b m t"], keep: Bool[Tensor, "b t"] | None = None) -> Scored:
        """The same of features that `standardized` gave, and that training may have masked."""
        between: list[Tensor] = []
        encoded = self.encoder(mel, keep, after=self._listen(between) if self.config.between else None)
        return Scored(self.head(encoded.x), encoded.keep, encoded.x, tuple(between))

    @torch.inference_mode()
    def judge(self, texts: Sequence[Sequence[int]], x: Float[Tensor, "s d"]) -> Float[Tensor, " n"]:
        """The log-probability that the decoder gives each of `texts` (ids), each with its end, for the sound of `x`.

        Of a text that is longer than the decoder reads it is that of the start, without an end.

        Raises:
            ArgumentError: a model without a decoder.
        """
        if self.decoder is None:
            raise ArgumentError("This model has no decoder that could judge texts; train one with `decoder_depth`.")
        edge, longest = self.blank, self.decoder.longest
        ids, keep = padded([[edge, *text][:longest] for text in texts], x.device)
        logits = self.decoder(ids, x.expand(len(texts), -1, -1), keep=keep)
        targets, real = padded([[*text, edge][:longest] for text in texts], x.device)
        scores = logits.float().log_softmax(-1).gather(-1, targets[..., None])[..., 0]  # n t
        return (scores if real is None else scores.masked_fill(~real, 0.0)).sum(1)

    def _listen(self, found: list[Tensor]) -> Callable[[int, Tensor], Tensor]:
        """What happens to the vectors after each block."""

        def after(block: int, x: Tensor) -> Tensor:
            if block not in self.config.between or self.answer is None:
                return x
            logits = self.head(x)
            found.append(logits)
            return x + self.answer(logits.softmax(-1))

        return after

    def transcribe(self, audio: Any, **options: Any) -> Any:
        """What is said in a recording, or in each of a list, with the times of all words; see `speech/ctc.py`.

        Args:
            audio: a path, the bytes of a file, samples at 16 kHz, or (samples, rate); or a list of these.
            options: `timestamps`, `batch_size`, `beams`, `errors`, as there.

        Raises:
            ArgumentError: an option that the model cannot follow, or a model without a tokenizer.
            MediaError: a recording that cannot be read, and no `errors` list was given.
        """
        from multimodal.models.speech.ctc import transcribe

        return transcribe(self, audio, **options)

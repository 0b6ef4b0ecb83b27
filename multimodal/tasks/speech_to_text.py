"""Training a `SpeechRecognizer` (Whisper): the next token of what is said, error rates of what it writes.

Each clip is one window of the model's length, silence at its end, as transcription gives them. The text stands behind
the tokens that say language and task, without times; those tokens are given and not learned.

Axes: b batch · n samples · m mel channels · t length of a text
Refs: Whisper arXiv:2212.04356 §2.3, §2.4
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F
from torchmetrics import Metric
from torchmetrics.text import CharErrorRate, WordErrorRate

from multimodal.backbone.lora import LoraConfig, attach
from multimodal.errors import ArgumentError, DataError
from multimodal.losses import IGNORE
from multimodal.models.speech.decoding import decode_windows
from multimodal.models.speech.options import DecodingConfig
from multimodal.models.speech.tokens import SpeechTokens, Task
from multimodal.models.speech_recognizer import SpeechRecognizer
from multimodal.models.text.input import tokenizer_of
from multimodal.models.watching import evaluating
from multimodal.tasks.optimizer import OptimizerConfig
from multimodal.tasks.spec_augment import SpecAugmentConfig
from multimodal.tasks.training import TrainingTask
from multimodal.tasks.vocabulary import TokenLossConfig, count_tokens, token_loss, token_metrics
from multimodal.tokenizers.audio import ConvStemConfig
from multimodal.tokenizers.audio_features import HOP, SAMPLE_RATE


@dataclass(frozen=True, kw_only=True)
class SpeechToTextConfig:
    """How a recognizer is trained."""

    language: str | None = None  # code of what is spoken; None: English
    task: Task = "transcribe"
    train_encoder: bool = True  # False: only the decoder learns; new words rather than new sounds
    lora: LoraConfig | None = None  # train adapters instead of all weights
    loss: TokenLossConfig = TokenLossConfig()
    hide: SpecAugmentConfig | None = None  # parts of the spectrograms that training hides

    def __post_init__(self) -> None:
        if self.lora is not None and not self.train_encoder:
            raise ArgumentError("train_encoder=False and lora exclude each other; name lora's targets instead.")


class SpeechToTextTask(TrainingTask):
    """A recognizer with the loss of the next token, its error rates and its optimizer."""

    model: SpeechRecognizer
    shown = ("loss", "wer")

    def __init__(
        self,
        model: SpeechRecognizer,
        *,
        training: SpeechToTextConfig = SpeechToTextConfig(),
        optimizer: OptimizerConfig = OptimizerConfig(),
        seed: int = 0,
    ) -> None:
        """Train `model`, in place.

        Args:
            model: with a tokenizer.
            training: language and task, what is trained.
            optimizer: AdamW and its schedule over the whole training.
            seed: of everything random in a step; each step's randomness follows from (seed, step).

        Raises:
            ArgumentError: a model without a tokenizer, or a language or task that it does not know.
        """
        self.start = SpeechTokens.of(tokenizer_of(model)).start(training.language, training.task, timestamps=False)
        super().__init__(model, optimizer=optimizer, seed=seed)
        self.training_config = training
        self.hide = training.hide.build() if training.hide else None
        if not training.train_encoder:
            model.encoder.requires_grad_(False)
        if training.lora is not None:
            attach(model, training.lora)
        self.measure(self._metrics)
        self.train()  # a published model comes in eval mode, and Lightning leaves modes as they are

    def train(self, mode: bool = True) -> SpeechToTextTask:
        """Switch what is trained; an encoder that is not drops nothing."""
        super().train(mode)
        if not self.training_config.train_encoder:
            self.model.encoder.eval()
        return self

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """The mean loss of a batch, in nats a token."""
        self.failed.update(batch["failed"])
        mel = self.features(batch)
        hidden, targets = self._hidden(self.hide(mel) if self.hide else mel, batch["texts"])
        return token_loss(hidden, self.model.output_weight, targets, config=self.training_config.loss)

    def on_train_end(self) -> None:
        """Say which files could not be read; adapters become part of the model."""
        super().on_train_end()
        self.fold_adapters()

    def count(self, batch: Any, metrics: dict[str, Any]) -> None:
        """Add the tokens of a batch, and the words that are written of it."""
        with evaluating(self.model):
            mel = self.features(batch)
            context = self.model.encode(mel)
            hidden, targets = self._hidden(mel, batch["texts"], context)
            tokens = {name: metrics[name] for name in ("loss", "accuracy")}
            count_tokens(tokens, hidden, self.model.output_weight, targets)
            config = self.training_config
            decoding = DecodingConfig(task=config.task, language=config.language, timestamps=False)
            found = [one.text.strip() for one in decode_windows(self.model, context, decoding)]
        for name in ("wer", "cer"):
            metrics[name].update(found, batch["texts"])

    def tokens(self, batch: Any) -> Tensor:
        """Those of the texts."""
        return batch["keep"].sum()

    def features(self, batch: Any) -> Float[Tensor, "b m t"]:
        """Spectrograms of the model's window.

        Raises:
            DataError: a clip that is longer than the window, whose text would be that of more than is heard.
        """
        stem = self.model.config.encoder.stem
        assert isinstance(stem, ConvStemConfig)
        window = 2 * HOP * stem.positions  # samples
        wave = batch["wave"]
        if wave.shape[1] > window:
            heard = f"{window / SAMPLE_RATE:g}"
            cure = f"leave such clips out with --data.longest {heard}, or cut them"
            raise DataError(
                f"A clip of {wave.shape[1] / SAMPLE_RATE:.1f} s is longer than the {heard} s that this model hears; "
                f"{cure if self.training else 'cut it, or take it out of the validation data'}."
            )
        with torch.no_grad():
            return self.model.features(F.pad(wave, (0, window - wave.shape[1]))).to(self.model.output_weight.dtype)

    def _metrics(self) -> dict[str, Metric]:
        return {**token_metrics(), "wer": WordErrorRate(), "cer": CharErrorRate()}

    def _hidden(
        self, mel: Tensor, texts: Sequence[str], context: Tensor | None = None
    ) -> tuple[Float[Tensor, "b t d"], Int[Tensor, "b t"]]:
        """The decoder's states, and the token that each shall tell."""
        context = self.model.encode(mel) if context is None else context
        given, targets = self.framed(texts)
        keep = torch.arange(given.shape[1]) < (targets != IGNORE).sum(1, keepdim=True) + len(self.start) - 1
        given, targets, keep = given.to(mel.device), targets.to(mel.device), keep.to(mel.device)
        return self.model.decode(given, context, decoder_keep=keep), targets

    def framed(self, texts: Sequence[str]) -> tuple[Int[Tensor, "b t"], Int[Tensor, "b t"]]:
        """What the decoder is given, and the token that is to follow each: `IGNORE` within the start and at padding.

        A text that is longer than the decoder reads is cut off, and then has no end.
        """
        tokenizer = tokenizer_of(self.model)
        end, room = SpeechTokens.of(tokenizer).eot, self.model.config.embedding.max_length - len(self.start)
        rows = [[*row, end][:room] for row in tokenizer.rows([f" {text.strip()}" for text in texts], special=False)]
        longest = max(map(len, rows))
        given = [[*self.start, *row[:-1], *[end] * (longest - len(row))] for row in rows]
        before = [IGNORE] * (len(self.start) - 1)
        targets = [[*before, *row, *[IGNORE] * (longest - len(row))] for row in rows]
        return torch.tensor(given), torch.tensor(targets)

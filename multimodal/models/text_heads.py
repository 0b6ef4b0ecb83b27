"""Text models with a task's head: labels of texts, tags of words, answers in a context, the right one of several.

Each is a body (`text/body.py`) and a layer or two on its hidden states (of whole texts: `text/summary.py`). What logits
mean for people is worked out in `text/answers.py`; training is in `multimodal/tasks`.

Axes: b batch, or b · c for choices · t length · d model width · n classes or tags · c choices
Refs: BERT arXiv:1810.04805 §4 · GPT-1 (Radford et al. 2018)
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from multimodal.backbone.backbone import initialize
from multimodal.errors import ArgumentError
from multimodal.models.prediction import Prediction
from multimodal.models.text.answers import (
    Answer,
    Span,
    best_answers,
    choice_rows,
    entity_spans,
    question_rows,
    ranked,
    text_rows,
    word_rows,
)
from multimodal.models.text.body import BodyConfig, TextHead, names_of
from multimodal.models.text.input import device_of, tokenizer_of
from multimodal.models.text.summary import FirstTokenHeadConfig, PooledHeadConfig
from multimodal.models.watching import evaluating
from multimodal.tokenizers.encoded import TextBatch
from multimodal.tokenizers.text import TextTokenizer
from multimodal.tokenizers.text_engine import Truncation

SummaryConfig: TypeAlias = FirstTokenHeadConfig | PooledHeadConfig


@dataclass(frozen=True, kw_only=True)
class TextClassifierConfig:
    """Hyper-parameters of `TextClassifier`."""

    encoder: BodyConfig
    classes: int
    head: SummaryConfig = FirstTokenHeadConfig()
    output: Literal["softmax", "sigmoid"] = "softmax"  # one class a text, or any number of them

    def build(self, labels: Iterable[str] | None = None, tokenizer: TextTokenizer | None = None) -> TextClassifier:
        """A `TextClassifier` with fresh weights; without `labels`, classes are called by their number."""
        return TextClassifier(self, labels, tokenizer)


class TextClassifier(TextHead):
    """Texts, or pairs of them, to labels."""

    def __init__(
        self, config: TextClassifierConfig, labels: Iterable[str] | None, tokenizer: TextTokenizer | None = None
    ) -> None:
        super().__init__(config, tokenizer)
        self.labels = names_of(labels, config.classes)
        self.head = config.head.build(config.encoder.backbone.dim, config.classes)
        self.temperature = 1.0  # logits are divided by it before they become probabilities (arXiv:1706.04599)

    def logits(self, hidden: Float[Tensor, "b t d"], keep: Bool[Tensor, "b t"] | None = None) -> Float[Tensor, "b n"]:
        """Logits of the classes from `hidden(...)`."""
        return self.head(hidden, keep)

    def probabilities(self, logits: Float[Tensor, "b n"]) -> Float[Tensor, "b n"]:
        """Calibrated probabilities of logits."""
        logits = logits.float() / self.temperature
        return logits.softmax(-1) if self.config.output == "softmax" else logits.sigmoid()

    def predict(
        self,
        texts: Any,
        *,
        top: int = 5,
        batch_size: int = 32,
        truncation: Truncation = "right",
    ) -> list[Prediction]:
        """The `top` likeliest labels of each text.

        Args:
            texts: a text, a pair of texts as a tuple, or a list of either.
            top: how many labels to give for each.
            batch_size: texts that go through the model at a time.
            truncation: which end of a text that is too long is cut off; "refuse": it is an error.

        Raises:
            ArgumentError: no tokenizer, a text without tokens or too long, `top` or `batch_size` below 1.
        """
        if top < 1:
            raise ArgumentError(f"top is {top}; it must be at least 1.")
        sources, rows = text_rows(tokenizer_of(self), texts, self.longest, truncation)
        found = self.answers(rows, self.probabilities, batch_size=batch_size, what="classifying")
        return [ranked(source, chances, self.labels, top) for source, chances in zip(sources, found, strict=True)]


@dataclass(frozen=True, kw_only=True)
class TokenTaggerConfig:
    """Hyper-parameters of `TokenTagger`."""

    encoder: BodyConfig
    classes: int
    dropout: float = 0.1  # probability of zeroing a channel while training

    def build(self, labels: Iterable[str] | None = None, tokenizer: TextTokenizer | None = None) -> TokenTagger:
        """A `TokenTagger` with fresh weights; without `labels`, tags are called by their number."""
        return TokenTagger(self, labels, tokenizer)


class TokenTagger(TextHead):
    """Words to tags: names of persons and places, parts of speech. The tag of a word is that of its first token."""

    def __init__(
        self, config: TokenTaggerConfig, labels: Iterable[str] | None, tokenizer: TextTokenizer | None = None
    ) -> None:
        super().__init__(config, tokenizer)
        self.labels = names_of(labels, config.classes)
        self.dropout, self.head = nn.Dropout(config.dropout), nn.Linear(config.encoder.backbone.dim, config.classes)
        initialize(self.head)

    def logits(self, hidden: Float[Tensor, "b t d"], keep: Bool[Tensor, "b t"] | None = None) -> Float[Tensor, "b t n"]:
        """Logits of the tags of each token from `hidden(...)`."""
        return self.head(self.dropout(hidden))

    def tag(self, texts: Sequence[str | Sequence[str]], *, batch_size: int = 32) -> list[list[Span]]:
        """What is named in each text, of any length.

        With tags such as B-person, I-person and O, words that belong together are one `Span`; with others every word
        whose tag is not O.

        Args:
            texts: a list. A text may be split into words already, as it was for training; offsets are then into the
                words joined by single spaces.
            batch_size: pieces of text that go through the model at a time.

        Raises:
            ArgumentError: no tokenizer, a text that was split into more tokens than the model reads at once, or
                `batch_size` below 1.
        """
        if isinstance(texts, str):
            raise ArgumentError("texts is one text; give a list of them.")
        pieces = [word_rows(tokenizer_of(self), text, self.longest) for text in texts]
        rows = [row for piece in pieces for row in piece]
        found = iter(self.answers(rows, lambda logits: logits.softmax(-1), batch_size=batch_size, what="tagging"))
        return [
            entity_spans(text, piece, [next(found) for _ in piece], self.labels)
            for text, piece in zip(texts, pieces, strict=True)
        ]


@dataclass(frozen=True, kw_only=True)
class QuestionAnswererConfig:
    """Hyper-parameters of `QuestionAnswerer`."""

    encoder: BodyConfig
    dropout: float = 0.0  # probability of zeroing a channel while training

    def build(self, tokenizer: TextTokenizer | None = None) -> QuestionAnswerer:
        """A `QuestionAnswerer` with fresh weights."""
        return QuestionAnswerer(self, tokenizer)


class QuestionAnswerer(TextHead):
    """A question and a text to the piece of the text that answers it."""

    def __init__(self, config: QuestionAnswererConfig, tokenizer: TextTokenizer | None = None) -> None:
        super().__init__(config, tokenizer)
        self.dropout, self.head = nn.Dropout(config.dropout), nn.Linear(config.encoder.backbone.dim, 2)
        initialize(self.head)

    def logits(self, hidden: Float[Tensor, "b t d"], keep: Bool[Tensor, "b t"] | None = None) -> Float[Tensor, "b t 2"]:
        """Logits of each token to be the first and to be the last of the answer, from `hidden(...)`."""
        return self.head(self.dropout(hidden))

    def answer(
        self, question: str, context: str, *, top: int = 1, longest_answer: int = 30, null: bool = False
    ) -> list[Answer]:
        """The likeliest answers that stand in `context`, best first, no piece of text twice.

        Args:
            question: goes in front of every window of the context.
            context: of any length; read in windows that overlap by up to 128 tokens.
            top: how many to give.
            longest_answer: tokens of an answer at most.
            null: whether "it is not answered there" is an answer too, with an empty text; for models that were
                trained on such questions.

        Raises:
            ArgumentError: no tokenizer, an empty context, a question that leaves no room, `top` or `longest_answer`
                below 1.
        """
        for name, value in (("top", top), ("longest_answer", longest_answer)):
            if value < 1:
                raise ArgumentError(f"{name} is {value}; it must be at least 1.")
        rows = question_rows(tokenizer_of(self), question, context, self.longest)
        found = self.answers(rows, lambda logits: logits, batch_size=16, what="reading")
        return best_answers(context, rows, found, longest=longest_answer, null=null)[:top]


@dataclass(frozen=True, kw_only=True)
class MultipleChoiceConfig:
    """Hyper-parameters of `MultipleChoice`."""

    encoder: BodyConfig
    head: SummaryConfig = FirstTokenHeadConfig()

    def build(self, tokenizer: TextTokenizer | None = None) -> MultipleChoice:
        """A `MultipleChoice` with fresh weights."""
        return MultipleChoice(self, tokenizer)


class MultipleChoice(TextHead):
    """A question with each of its possible answers to a score each."""

    def __init__(self, config: MultipleChoiceConfig, tokenizer: TextTokenizer | None = None) -> None:
        super().__init__(config, tokenizer)
        self.head = config.head.build(config.encoder.backbone.dim, 1)

    def forward(
        self,
        ids: Int[Tensor, "b c t"],
        *,
        keep: Bool[Tensor, "b c t"] | None = None,
        types: Int[Tensor, "b c t"] | None = None,
    ) -> Float[Tensor, "b c"]:
        """Logits of the choices, each of which stands in `ids` with its question; `keep` is False at padding."""
        keep, types = (part.flatten(0, 1) if part is not None else None for part in (keep, types))
        return super().forward(ids.flatten(0, 1), keep=keep, types=types).unflatten(0, ids.shape[:2])

    def logits(self, hidden: Float[Tensor, "b t d"], keep: Bool[Tensor, "b t"] | None = None) -> Float[Tensor, " b"]:
        """A logit for each row, whose choice it is of, from `hidden(...)`."""
        return self.head(hidden, keep)[:, 0]

    def choose(self, question: str, choices: Sequence[str], *, context: str = "") -> Prediction:
        """The choices by their probability to be the right one, best first.

        Args:
            question: what is asked, or the beginning that a choice completes.
            choices: at least two.
            context: a text that the question is about; where all is too long, it is the longest that is cut.

        Raises:
            ArgumentError: no tokenizer, or fewer than two choices.
        """
        if isinstance(choices, str) or len(choices) < 2:
            raise ArgumentError(f"choices is {choices!r}; give a list of at least two.")
        rows = choice_rows(tokenizer_of(self), question, choices, context, self.longest)
        batch = TextBatch.of([row.ids for row in rows], [row.types for row in rows])
        ids, keep, types = (part[None].to(device_of(self)) for part in batch)
        with evaluating(self), torch.inference_mode():
            chances = self(ids, keep=keep, types=types)[0].float().softmax(-1).cpu()
        return ranked(question, chances, tuple(choices), len(choices))

"""Labelled text for Lightning, named by its path: classes, tags, choices, translations; question_data.py has questions.

Which ids a text becomes is the model's own business: the tokenizer is that of the model in training, so that a
published model is fed as it was before. A model from fresh weights has its tokenizer trained on `texts`.

Axes: none of its own
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from multimodal.data.text.data_modules import TextTaskData
from multimodal.data.text.questions import read_choice_questions
from multimodal.data.text.readers import read_labeled_texts, read_tagged_words, read_translations
from multimodal.data.text.rows import (
    ChoiceQuestion,
    LabeledText,
    Question,
    TaggedWords,
    TextSet,
    Translation,
    hold_out,
)
from multimodal.data.text.sources import report
from multimodal.data.text.task_batches import (
    ChoiceConfig,
    ClassificationConfig,
    TaggingConfig,
    TranslationConfig,
)
from multimodal.errors import DataError
from multimodal.tokenizers.text import TextTokenizer


class ModelTokenizedData(TextTaskData):
    """Samples of one kind, whose collator is built for the tokenizer of the model that is trained."""

    def __init__(self, data: TextSet, config: Any, *, batch_size: int, workers: int | None, seed: int) -> None:
        """Loaders over `data`.

        Args:
            data: what a reader gave.
            config: `build(tokenizer)` makes the collator.
            batch_size: samples a step and process.
            workers: processes that make batches; None: as many as help on this machine.
            seed: of the order.
        """
        super().__init__(data, _unready, batch_size=batch_size, workers=workers, seed=seed)
        self.config, self.skipped = config, data.skipped
        report(data.skipped, f"entries of {data.root}")

    @property
    def texts(self) -> list[str]:
        """The training texts, for a tokenizer that is trained on them."""
        return [text for sample in self.splits["train"] for text in texts_of(sample)]

    def setup(self, stage: str | None = None) -> None:
        """Make the collators, now that there is a model."""
        tokenizer = self.model_tokenizer()
        self.collate = self.evaluation_collate = self.config.build(tokenizer)

    def model_tokenizer(self) -> TextTokenizer:
        """That of the model in training.

        Raises:
            DataError: there is no model, or it has none.
        """
        model: Any = self.trainer.lightning_module.model if self.trainer is not None else None
        if model is None or model.tokenizer is None:
            raise DataError("Let a Trainer run this data module with a model that has a tokenizer.")
        return model.tokenizer


class LabeledTextData(ModelTokenizedData):
    """Texts, or pairs of texts, with a class each; see `read_labeled_texts` for the layouts."""

    def __init__(
        self,
        root: str,
        *,
        batch_size: int = 32,
        max_length: int | None = None,
        next_tokens: bool = False,
        val_fraction: float = 0.1,
        workers: int | None = None,
        seed: int = 0,
    ) -> None:
        """Read and split `root`.

        Args:
            root: a table with text and label, a folder of such tables, or of class files or class folders.
            batch_size: texts a step and process.
            max_length: tokens of a text at most; None: what the model reads.
            next_tokens: also the next token of each, for a language model that goes on learning.
            val_fraction: part of the training texts held out for validation where the data have no such split.
            workers: processes that make batches; None: as many as help on this machine.
            seed: of the split and the order.
        """
        data = hold_out(read_labeled_texts(root), val_fraction, seed)
        config = ClassificationConfig(max_length=max_length, next_tokens=next_tokens)
        super().__init__(data, config, batch_size=batch_size, workers=workers, seed=seed)


class TaggedWordData(ModelTokenizedData):
    """Sentences with a tag for each word; see `read_tagged_words` for the layouts."""

    def __init__(
        self,
        root: str,
        *,
        batch_size: int = 32,
        max_length: int | None = None,
        val_fraction: float = 0.1,
        workers: int | None = None,
        seed: int = 0,
    ) -> None:
        """Read and split `root`: CoNLL files or tables; the rest as for `LabeledTextData`."""
        data = hold_out(read_tagged_words(root), val_fraction, seed)
        config = TaggingConfig(max_length=max_length)
        super().__init__(data, config, batch_size=batch_size, workers=workers, seed=seed)


class ChoiceData(ModelTokenizedData):
    """Questions with several answers of which one is right; see `read_choice_questions` for the layouts."""

    def __init__(
        self,
        root: str,
        *,
        batch_size: int = 8,
        max_length: int | None = None,
        val_fraction: float = 0.1,
        workers: int | None = None,
        seed: int = 0,
    ) -> None:
        """Read and split `root`, a table or a folder of tables; the rest as for `LabeledTextData`."""
        data = hold_out(read_choice_questions(root), val_fraction, seed)
        config = ChoiceConfig(max_length=max_length)
        super().__init__(data, config, batch_size=batch_size, workers=workers, seed=seed)


class TranslationData(ModelTokenizedData):
    """Sentences in two languages; see `read_translations` for the layouts."""

    def __init__(
        self,
        root: str,
        *,
        source: str = "source",
        target: str = "target",
        batch_size: int = 32,
        max_length: int | None = 256,
        val_fraction: float = 0.05,
        workers: int | None = None,
        seed: int = 0,
    ) -> None:
        """Read and split `root`.

        Args:
            root: a table with two columns, or a folder of files with as many lines each (`train.en`, `train.de`).
            source: column or file ending of the language to translate from.
            target: column or file ending of the other.
            batch_size: sentences a step and process.
            max_length: tokens of either side at most; None: what the model reads.
            val_fraction: part of the sentences held out where the data have no validation split.
            workers: processes that make batches; None: as many as help on this machine.
            seed: of the split and the order.
        """
        data = hold_out(read_translations(root, source_name=source, target_name=target), val_fraction, seed)
        self.max_length = max_length
        super().__init__(data, None, batch_size=batch_size, workers=workers, seed=seed)

    def setup(self, stage: str | None = None) -> None:
        """The decoder's first id is the model's."""
        tokenizer, model = self.model_tokenizer(), cast(Any, self.trainer).lightning_module.model
        self.config = TranslationConfig(start=model.config.start, max_length=self.max_length)
        self.collate = self.evaluation_collate = self.config.build(tokenizer)


def texts_of(sample: Any) -> list[str]:
    """All text of a sample."""
    match sample:
        case LabeledText():
            return [sample.text, *([sample.pair] if sample.pair else [])]
        case TaggedWords():
            return [" ".join(sample.words)]
        case Question():
            return [sample.question, sample.context]
        case Translation():
            return [sample.source, sample.target]
        case ChoiceQuestion():
            return [sample.question, sample.context, *sample.choices]
    return [str(sample)]


def _unready(items: Sequence[Any]) -> Any:
    raise DataError("There are no batches before `setup`, which a Trainer calls.")

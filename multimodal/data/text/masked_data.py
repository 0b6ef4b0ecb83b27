"""A corpus for models of hidden words, named by its path: windows of it, or pairs of its sentences.

Axes: none of its own
Refs: BERT arXiv:1810.04805 §3.1, appendix A.2 · RoBERTa arXiv:1907.11692 §4
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from multimodal.data.images.samples import Skipped
from multimodal.data.text.batches import Collate
from multimodal.data.text.corpus_data import CorpusData
from multimodal.data.text.data_modules import TextItems
from multimodal.data.text.objectives import MaskedConfig
from multimodal.data.text.sentence_pairs import SentencePair, next_sentence_pairs
from multimodal.data.text.sources import read_texts, report
from multimodal.errors import ArgumentError


class MaskedData(CorpusData):
    """A corpus whose words are hidden from the model, or pairs of its sentences."""

    ahead = 0

    def __init__(
        self,
        root: str,
        *,
        tokenizer: str = "wordpiece",
        vocabulary: int = 30522,
        length: int = 125,
        share: float = 0.15,
        masking: Literal["dynamic", "static"] = "dynamic",
        hide: Literal["token", "word"] = "token",
        next_sentence: bool = False,
        batch_size: int = 64,
        **options: Any,
    ) -> None:
        """As `CorpusData`, and:

        Args:
            root: a text file, a table, or a folder of them.
            tokenizer: a folder or file of one, or the kind to train.
            vocabulary: tokens at most of a tokenizer that is trained.
            length: ids of a window, or of both sentences of a pair; special tokens come on top.
            share: part of the tokens that the model must name.
            masking: whether masks are drawn anew in each epoch.
            hide: whether tokens are hidden or whole words.
            next_sentence: pairs of lines, of which half follow each other; blank lines stand between documents. All is
                kept in memory.
            batch_size: texts a step and process.
            options: the others of `CorpusData`.

        Raises:
            ArgumentError: an option out of range, or `next_sentence` with `tokens`.
        """
        if next_sentence and options.get("tokens") is not None:
            raise ArgumentError("next_sentence makes its pairs in memory; leave `tokens` out.")
        self.masked = MaskedConfig(share=share, masking=masking, unit=hide, seed=options.get("seed", 0))
        self.next_sentence = next_sentence
        self.pairs: dict[str, list[SentencePair]] = {}
        super().__init__(
            root, tokenizer=tokenizer, vocabulary=vocabulary, length=length, batch_size=batch_size, **options
        )

    def collator(self, length: int, *, packed: bool) -> Collate[Any]:
        """Masked words, framed by [CLS] and [SEP].

        Raises:
            ArgumentError: packed rows are asked for, or the tokenizer has no mask token.
        """
        if packed:
            raise ArgumentError("sampling is 'packed', which is for next-token prediction; use 'blocks' or 'random'.")
        return self.masked.build(self.tokenizer)

    def setup(self, stage: str | None = None) -> None:
        """Open the ids, or make pairs of the lines of each paragraph."""
        if not self.next_sentence:
            super().setup(stage)
        elif not self.pairs:
            documents = {split: self._documents(source) for split, source in self.sources.items()}
            if "val" not in documents:
                first = round(len(documents["train"]) * (1 - self.val_fraction))
                documents["train"], documents["val"] = documents["train"][:first], documents["train"][first:]
            self.pairs = {split: self._pairs(texts) for split, texts in documents.items()}

    def _documents(self, source: Any) -> list[str]:
        skipped: list[Skipped] = []
        found = list(read_texts(source, unit="paragraph", column=self.reading["column"], skipped=skipped))
        report(skipped)
        return found

    def _pairs(self, texts: list[str]) -> list[SentencePair]:
        rows = [self.tokenizer.rows(text.splitlines(), special=False) for text in texts]
        documents = [[np.array(row) for row in document] for document in rows]
        return next_sentence_pairs(documents, length=self.length, seed=self.seed)

    def dataset(self, split: str) -> Any:
        """The items of a split."""
        return TextItems(self.pairs[split], training=split == "train") if self.pairs else super().dataset(split)

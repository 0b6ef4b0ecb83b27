"""A corpus for models of hidden words, named by its path: windows of it, or pairs of its sentences.

Axes: none of its own
Refs: BERT arXiv:1810.04805 §3.1, appendix A.2 · RoBERTa arXiv:1907.11692 §4
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from multimodal.data.corpus_data import CorpusData
from multimodal.data.sentence_pairs import SentencePair, next_sentence_pairs
from multimodal.data.text_batches import Collate
from multimodal.data.text_data import TextItems
from multimodal.data.text_objectives import MaskedConfig
from multimodal.data.text_sources import read_texts
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
        unit: Literal["token", "word"] = "token",
        next_sentence: bool = False,
        tokens: str | None = None,
        batch_size: int = 64,
        workers: int | None = None,
        seed: int = 0,
    ) -> None:
        """As `CorpusData`, and:

        Args:
            root: a text file, a table, or a folder of them.
            tokenizer: a folder or file of one, or the kind to train.
            vocabulary: tokens at most of a tokenizer that is trained.
            length: ids of a window, or of both sentences of a pair; special tokens come on top.
            share: part of the tokens that the model must name.
            masking: whether masks are drawn anew in each epoch.
            unit: whether tokens are hidden or whole words.
            next_sentence: pairs of sentences, of which half follow each other.
            tokens: a folder to keep ids in, for a corpus that is larger than the memory; not with `next_sentence`.
            batch_size: texts a step and process.
            workers: processes that read; None: as many as help on this machine.
            seed: of order, masks and pairs.
        """
        if next_sentence and tokens is not None:
            raise ArgumentError("next_sentence makes its pairs in memory; leave `tokens` out.")
        self.masked = MaskedConfig(share=share, masking=masking, unit=unit, seed=seed)
        self.next_sentence = next_sentence
        self.pairs: dict[str, list[SentencePair]] = {}
        options: dict[str, Any] = {"tokenizer": tokenizer, "vocabulary": vocabulary, "tokens": tokens, "seed": seed}
        options |= {"unit": "paragraph" if next_sentence else "file", "batch_size": batch_size, "workers": workers}
        super().__init__(root, length=length, **options)

    def collator(self, length: int, *, packed: bool) -> Collate[Any]:
        """Masked words, framed by [CLS] and [SEP]."""
        return self.masked.build(self.tokenizer)

    def setup(self, stage: str | None = None) -> None:
        """Open the ids, or make pairs of the lines of each paragraph."""
        if not self.next_sentence:
            super().setup(stage)
        elif not self.pairs:
            documents = {split: list(read_texts(source, unit="paragraph")) for split, source in self.sources.items()}
            if "val" not in documents:
                first = round(len(documents["train"]) * (1 - self.val_fraction))
                documents["train"], documents["val"] = documents["train"][:first], documents["train"][first:]
            self.pairs = {split: self._pairs(texts) for split, texts in documents.items()}

    def _pairs(self, texts: list[str]) -> list[SentencePair]:
        rows = [self.tokenizer.rows(text.splitlines(), special=False) for text in texts]
        documents = [[np.array(row) for row in document] for document in rows]
        return next_sentence_pairs(documents, length=self.length, seed=self.seed)

    def dataset(self, split: str) -> Any:
        """The items of a split."""
        return TextItems(self.pairs[split], training=split == "train") if self.pairs else super().dataset(split)

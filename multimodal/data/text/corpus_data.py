"""A corpus for Lightning, named by its path: the tokenizer, the ids and the loaders of pretraining.

`CorpusData` is for next-token prediction; a recipe with another objective overrides `collator`, `ahead` and `special`.
Loaders over ids that are there already are in data_modules.py.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, get_args

from multimodal.data.download import all_or_nothing
from multimodal.data.images.samples import Skipped
from multimodal.data.text.batches import Collate
from multimodal.data.text.data_modules import LanguageModelData, Sampling
from multimodal.data.text.layouts import split_in
from multimodal.data.text.objectives import CausalConfig
from multimodal.data.text.packing import PackedConfig
from multimodal.data.text.sources import TEXT_SUFFIXES, Unit, existing, find_files, read_texts, report
from multimodal.data.text.tables import TABLE_SUFFIXES
from multimodal.data.text.token_writing import write_tokens
from multimodal.data.text.tokens import TokenStream, hold_out_tokens, tokens_in_memory
from multimodal.errors import DataError
from multimodal.tokenizers.text import TextTokenizer
from multimodal.tokenizers.text_files import load_tokenizer
from multimodal.tokenizers.text_settings import SpecialTokens
from multimodal.tokenizers.text_training import Kind, train_tokenizer


class CorpusData(LanguageModelData):
    """Text files, folders or tables of texts, as ids in windows or packed rows."""

    ahead: int = 1  # ids of a window that are only predicted; 0 for objectives that do not shift
    special: SpecialTokens | None = None  # of a tokenizer that is trained; None: the usual ones of its kind

    def __init__(
        self,
        root: str,
        *,
        tokenizer: str = "bpe",
        vocabulary: int = 8192,
        length: int = 256,
        sampling: Sampling | Literal["packed"] = "blocks",
        tokens: str | None = None,
        column: str | None = None,
        unit: Unit = "file",
        val_fraction: float = 0.1,
        batch_size: int = 32,
        workers: int | None = None,
        seed: int = 0,
    ) -> None:
        """Find the texts and read or train the tokenizer; the texts are tokenized by `setup`.

        Args:
            root: a text file, a table, or a folder of them; files called train and val (valid, dev) are these splits.
            tokenizer: a folder or file of one; or "bpe", "wordpiece", "unigram", "character": trained on `root`.
            vocabulary: tokens at most of a tokenizer that is trained.
            length: ids of a window or row.
            sampling: "blocks": each id once an epoch; "random": windows from random places; "packed": whole documents.
            tokens: a folder to keep ids in, for a corpus that is larger than the memory; None: keep them in memory.
            column: of tables, the one with the text; None: the one called "text".
            unit: what a document is in a text file: the whole file, a paragraph or a line.
            val_fraction: the end of the corpus that is held out where it has no validation split.
            batch_size: windows or rows a step and process.
            workers: processes that read; None: as many as help on this machine.
            seed: of the order and of random places.

        Raises:
            ArgumentError: an option out of range.
            DataError: there is no text, or the tokenizer cannot be read.
        """
        self.sources = _splits(existing(root))
        self.reading: dict[str, Any] = {"column": column, "unit": unit}
        self.kept = Path(tokens) if tokens is not None else None
        self.val_fraction, self.trained = val_fraction, tokenizer in get_args(Kind)
        self.tokenizer = self._tokenizer(tokenizer, vocabulary)
        super().__init__(
            {},
            self.collator(length, packed=sampling == "packed"),
            length=length,
            ahead=self.ahead,
            sampling=sampling,
            batch_size=batch_size,
            workers=workers,
            seed=seed,
        )

    def collator(self, length: int, *, packed: bool) -> Collate[Any]:
        """Next-token prediction; a subclass returns that of its objective."""
        return (PackedConfig(length=length) if packed else CausalConfig()).build(self.tokenizer)

    def prepare_data(self) -> None:
        """Tokenize onto the disk, where that was asked for: in one process, before the others open it."""
        if self.kept is None:
            return
        if self.trained and not (self.kept / "tokenizer").exists():
            with all_or_nothing(self.kept / "tokenizer") as folder:
                self.tokenizer.save(folder)
        for split in self.sources:
            self._stream(split, verify=True)

    def setup(self, stage: str | None = None) -> None:
        """Open the ids, or make them in memory."""
        if self.streams:
            return
        streams = {split: self._stream(split, verify=False) for split in self.sources}
        if "val" not in streams:
            streams["train"], streams["val"] = hold_out_tokens(streams["train"], self.val_fraction)
        self.streams = streams

    def _stream(self, split: str, *, verify: bool) -> TokenStream:
        source, eos = self.sources[split], self.tokenizer.eos_id is not None
        if self.kept is not None:
            return write_tokens(source, self.tokenizer, self.kept / split, **self.reading, eos=eos, verify=verify)
        skipped: list[Skipped] = []
        stream = tokens_in_memory(read_texts(source, **self.reading, skipped=skipped), self.tokenizer, eos=eos)
        report(skipped)
        return stream

    def _tokenizer(self, name: str, vocabulary: int) -> TextTokenizer:
        if not self.trained:
            return load_tokenizer(name)
        if self.kept is not None:  # what was trained before is taken again, if it was asked for in the same way
            self.kept /= name if name == "character" else f"{name}-{vocabulary}"
            if (self.kept / "tokenizer").is_dir():
                return TextTokenizer.load(self.kept / "tokenizer")
        # A character that only the validation part has could not be read at all.
        sources = self.sources.values() if name == "character" else [self.sources["train"]]
        skipped: list[Skipped] = []
        texts = (text for source in sources for text in read_texts(source, **self.reading, skipped=skipped))
        kind: Any = name
        try:
            return train_tokenizer(texts, kind, vocabulary=vocabulary, special=self.special)
        except DataError:
            report(skipped)  # why there is no text; otherwise it is said once, when ids are made
            raise


def _splits(root: Path) -> dict[str, Path | list[Path]]:
    """The files of each split, if their names tell; else all are for training."""
    files = find_files(root, (*TEXT_SUFFIXES, *TABLE_SUFFIXES)) if root.is_dir() else []
    named: dict[str | None, list[Path]] = {}
    for file in files:
        named.setdefault(split_in(file.relative_to(root)), []).append(file)
    if "train" not in named or len(named) == 1:
        return {"train": root}
    report([Skipped(str(file), "its name says no split") for file in named.get(None, [])], "files")
    return {split: named[split] for split in ("train", "val") if split in named}

"""The `tokenizers` library behind one method that threads may share: it keeps how to truncate as a state of its own.

What the ids mean and who adds which tokens is in `text.py`.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any, Literal, get_args

from tokenizers import Encoding, Tokenizer
from tokenizers.models import WordLevel
from tokenizers.processors import TemplateProcessing

from multimodal.errors import ArgumentError, DataError
from multimodal.tokenizers.library import library_errors
from multimodal.tokenizers.text_cleaning import Cleaning, Text, cleaner

Truncation = Literal["right", "left", "refuse"]  # which end is cut off, or an error instead
_NOTHING_ADDED = TemplateProcessing(single="$A:0", pair="$A:0 $B:1", special_tokens=[])
Given = str | tuple[str, str] | list[str]  # a text, a pair, or words


class TextEngine:
    """Runs a `tokenizers.Tokenizer`; padding and truncation set in it are dropped."""

    def __init__(self, tokenizer: Tokenizer, *, cleaning: Cleaning | None):
        tokenizer.no_padding()
        tokenizer.no_truncation()
        self.tokenizer = tokenizer
        self.clean = cleaner(cleaning)
        self._lock = threading.Lock()

    def run(
        self,
        given: Sequence[Given],
        *,
        special: bool,
        max_length: int | None,
        truncation: Truncation,
        split: bool = False,
        fast: bool = False,
    ) -> list[Encoding]:
        """The encodings of texts, pairs or (`split`) lists of words; `fast`: without offsets and words.

        Raises:
            ArgumentError: see `TextTokenizer.encode`.
        """
        if truncation not in get_args(Truncation):
            known = ", ".join(map(repr, get_args(Truncation)))
            raise ArgumentError(f"truncation is {truncation!r}; it must be one of {known}.")
        if max_length is not None and not (type(max_length) is int and max_length < 2**31):
            raise ArgumentError(f"max_length is {max_length!r}; it must be a whole number of tokens.")
        pair = bool(given) and isinstance(given[0], tuple)
        added = self.tokenizer.num_special_tokens_to_add(pair) if special else 0
        if max_length is not None and max_length <= added:
            raise ArgumentError(f"max_length is {max_length}; with {added} special tokens it leaves no room for text.")
        cut = max_length is not None and truncation != "refuse"
        limit = {"max_length": max_length, "direction": truncation} if cut else None
        encodings = self._limited(limit, given, special, split, fast)
        longest = max(map(len, encodings), default=0)
        if truncation == "refuse" and max_length is not None and longest > max_length:
            raise ArgumentError(
                f"The text has {longest:,} tokens, and at most {max_length:,} are taken. Shorten it, or let it be "
                "truncated."
            )
        return encodings

    def windows(self, text: Text, pair: Text | None, max_length: int, overlap: int) -> list[Encoding]:
        """See `TextTokenizer.windows`."""
        first = 0 if pair is None else len(self.tokenizer.encode(self.clean(text), add_special_tokens=False))
        room = max_length - first - self.tokenizer.num_special_tokens_to_add(pair is not None)
        if not 0 <= overlap < room:
            raise ArgumentError(
                f"max_length is {max_length}: beside {first} tokens of the first text and the special tokens, it "
                f"leaves {max(room, 0)} for new text, which must be more than the overlap of {overlap}."
            )
        limit: dict[str, Any] = {"max_length": max_length, "stride": overlap}
        if pair is not None:
            limit["strategy"] = "only_second"
        encoding = self._limited(limit, self.joined([text], None if pair is None else [pair]), True, False, False)[0]
        return [encoding, *encoding.overflowing]

    def joined(self, texts: Sequence[Text], pairs: Sequence[Text] | None) -> list[Given]:
        """Clean texts, or pairs of them.

        Raises:
            ArgumentError: they differ in number, or `texts` is one text.
        """
        if isinstance(texts, str | bytes) or isinstance(pairs, str | bytes):
            raise ArgumentError("A batch is a list of texts, and one text was given: put it in brackets.")
        if pairs is None:
            return [self.clean(text) for text in texts]
        if len(texts) != len(pairs):
            raise ArgumentError(f"{len(texts)} texts and {len(pairs)} pairs were given; each text has one partner.")
        return [(self.clean(text), self.clean(pair)) for text, pair in zip(texts, pairs, strict=True)]

    def plain(self) -> str:
        """The contents of `tokenizer.json`."""
        with self._lock:
            self.tokenizer.no_truncation()
            return self.tokenizer.to_str(pretty=True)

    def spaced(self) -> bool:
        """Whether a word differs after a space, and the tokenizer does not put one in front of words by itself."""
        bare, spaced = self._split("a"), self._split(" a")
        return bare == "a" and spaced != "a"

    def _split(self, text: str) -> str:
        with library_errors(lambda error: DataError(f"The tokenizer is damaged: {error}.")):
            if self.tokenizer.normalizer is not None:
                text = self.tokenizer.normalizer.normalize_str(text)
            if self.tokenizer.pre_tokenizer is not None:
                text = "".join(piece for piece, _ in self.tokenizer.pre_tokenizer.pre_tokenize_str(text))
        return text

    def _unknown(self, given: Sequence[Given]) -> str:
        """What a vocabulary of whole pieces without a token for unknown ones lacks, as a clause; "": nothing."""
        if not isinstance(self.tokenizer.model, WordLevel) or self.tokenizer.pre_tokenizer is None:
            return ""
        texts = [text for item in given for text in ([item] if isinstance(item, str) else item)]
        pieces = {piece: None for text in texts for piece, _ in self.tokenizer.pre_tokenizer.pre_tokenize_str(text)}
        lost = [repr(piece) for piece in pieces if self.tokenizer.token_to_id(piece) is None]
        more = f" and {len(lost) - 5:,} more" if len(lost) > 5 else ""
        clause = f"the vocabulary lacks {', '.join(lost[:5])}{more}, and has no token for what is unknown"
        return clause if lost else ""

    def _limited(
        self, limit: dict[str, Any] | None, given: Sequence[Given], special: bool, split: bool, fast: bool
    ) -> list[Encoding]:
        encode = self.tokenizer.encode_batch_fast if fast else self.tokenizer.encode_batch
        with self._lock:
            if limit is None:
                self.tokenizer.no_truncation()
            else:
                self.tokenizer.enable_truncation(**limit)
            # Without any, the library forgets which text the tokens of further windows are of.
            lacking = limit is not None and "stride" in limit and self.tokenizer.post_processor is None
            if lacking:
                self.tokenizer.post_processor = _NOTHING_ADDED
            try:
                with library_errors(
                    lambda error: ArgumentError(f"This text cannot be tokenized: {self._unknown(given) or error}.")
                ):
                    return encode(list(given), is_pretokenized=split, add_special_tokens=special)
            finally:
                if lacking:
                    self.tokenizer.post_processor = None

"""Text to ids and back: one class over any fast tokenizer of the `tokenizers` library.

Byte-level BPE, WordPiece, Unigram and characters differ in the wrapped `tokenizers.Tokenizer` alone. Reading the files
of other programs is in `text_files.py`, training in `text_training.py`, chat templates in `chat.py`, ids to vectors in
`text_embedding.py`.

Text may be `str` or the bytes of UTF-8. What no Unicode text can hold, a lone surrogate or an invalid byte, is read as
U+FFFD, so that one broken character never stops a corpus. Special tokens that stand in the text are recognised.

Axes: b batch · t length
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import index
from pathlib import Path
from typing import Any

from tokenizers import Encoding, Tokenizer
from tokenizers.models import BPE
from torch import Tensor

from multimodal.errors import ArgumentError, DataError
from multimodal.tokenizers.chat import render_chat
from multimodal.tokenizers.encoded import DecodeStream, Encoded, Text, TextBatch
from multimodal.tokenizers.library import library_errors
from multimodal.tokenizers.text_engine import TextEngine, Truncation
from multimodal.tokenizers.text_json import FILE, read_tokenizer
from multimodal.tokenizers.text_settings import ROLES, SpecialTokens, TextSettings, write_settings, write_text
from multimodal.tokenizers.vocabulary import Vocabulary

__all__ = ["DecodeStream", "Encoded", "SpecialTokens", "TextBatch", "TextSettings", "TextTokenizer"]

_SPACED = (" .", " ?", " !", " ,", " ' ", " n't", " 'm", " 's", " 've", " 're")  # what `clean_up` joins


class TextTokenizer(Vocabulary):
    """A vocabulary, the rules that split text into it, and the tokens with a task of their own.

    Safe to share between threads and processes; `copy.deepcopy` returns the same object.

    Args:
        tokenizer: is owned from here on. Padding and truncation set in it are dropped.
        settings: special tokens, longest input and so on; see `TextSettings`.

    Raises:
        ArgumentError: a special token that the vocabulary lacks.
    """

    def __init__(self, tokenizer: Tokenizer, settings: TextSettings = TextSettings()):
        self._engine = TextEngine(tokenizer, cleaning=settings.cleaning)
        self._spaced = self._engine.spaced()
        super().__init__(tokenizer, settings)

    @classmethod
    def load(cls, path: str | Path) -> TextTokenizer:
        """The tokenizer of a folder that holds a `tokenizer.json`, or of such a file.

        Raises:
            DataError: there is none, or it is damaged.
        """
        return cls(*read_tokenizer(Path(path)))

    def save(self, folder: str | Path) -> None:
        """Write `tokenizer.json` and `tokenizer_config.json` into `folder`, each at once or not at all.

        Raises:
            DataError: they cannot be written.
        """
        try:
            Path(folder).mkdir(parents=True, exist_ok=True)
            write_text(Path(folder) / FILE, self.plain())
            types = self.cls_id is not None and 1 in self.encode("a", "a").types
            write_settings(self.settings, Path(folder), types=types)
        except OSError as error:
            raise DataError(f"The tokenizer cannot be written to {folder}: {error}.") from error

    def plain(self) -> str:
        """The contents of `tokenizer.json`."""
        return self._engine.plain()

    def encode(
        self,
        text: Text,
        pair: Text | None = None,
        *,
        special: bool = True,
        max_length: int | None = None,
        truncation: Truncation = "right",
    ) -> Encoded:
        """The tokens of a text, or of two texts as one sequence.

        Args:
            text: any length; an empty text gives the special tokens alone.
            pair: the second text.
            special: whether to add what the model expects around a text ([CLS], </s> ...).
            max_length: tokens at most, special ones included; None: no limit.
            truncation: "right" or "left": the end that is cut off, of a pair's longer text first; "refuse": an error.

        Raises:
            ArgumentError: a text that is too long ("refuse"), or `max_length` leaves no room for text.
        """
        given = self._engine.joined([text], None if pair is None else [pair])
        options = {"special": special, "max_length": max_length, "truncation": truncation}
        return self._encoded(self._engine.run(given, **options)[0])

    def encode_words(
        self,
        words: Sequence[Text],
        *,
        special: bool = True,
        max_length: int | None = None,
        truncation: Truncation = "right",
    ) -> Encoded:
        """The tokens of a text that is already split; `words` of the result are the places in the list.

        Each word but the first gets the space before it that the vocabulary was trained with. Offsets are within the
        word. A word of which nothing remains, such as "", has no token.

        Raises:
            ArgumentError: as for `encode`.
        """
        given = [self._engine.clean(word) for word in words]
        if self._spaced:
            given = [" " + word if place and word else word for place, word in enumerate(given)]
        options = {"special": special, "max_length": max_length, "truncation": truncation}
        encoded = self._encoded(self._engine.run([given], split=True, **options)[0])
        if not self._spaced:
            return encoded
        starts = [1 if word else 0 for word in encoded.words]  # neither the first word nor a special token has a space
        moved = zip(encoded.offsets, starts, strict=True)
        return encoded._replace(offsets=tuple((max(0, a - n), max(0, b - n)) for (a, b), n in moved))

    def windows(self, text: Text, pair: Text | None = None, *, max_length: int, overlap: int = 0) -> list[Encoded]:
        """The whole text in pieces of at most `max_length` tokens, special ones included, left to right.

        Args:
            text: is cut; or, with a pair, stands whole in front of every piece (a question).
            pair: the text that is cut (its context).
            max_length: tokens of a piece.
            overlap: text tokens that a piece repeats from the one before.

        Raises:
            ArgumentError: no room for new text in a piece.
        """
        return [self._encoded(piece) for piece in self._engine.windows(text, pair, max_length, overlap)]

    def batch(
        self,
        texts: Sequence[Text],
        pairs: Sequence[Text] | None = None,
        *,
        special: bool = True,
        max_length: int | None = None,
        truncation: Truncation = "right",
        length: int = 0,
    ) -> TextBatch:
        """Texts, or pairs of them, as one padded batch; `length`: pad to this many tokens at least.

        Without a padding token, padding has id 0.

        Raises:
            ArgumentError: as for `encode`; or `texts` and `pairs` differ in number.
        """
        options = {"special": special, "max_length": max_length, "truncation": truncation}
        encodings = self._engine.run(self._engine.joined(texts, pairs), fast=True, **options)
        rows = [self._known(encoding.ids) for encoding in encodings]
        types = None if pairs is None else [encoding.type_ids for encoding in encodings]
        return TextBatch.of(rows, types, pad=self.pad_id or 0, length=length)

    def rows(
        self,
        texts: Sequence[Text],
        *,
        special: bool = True,
        max_length: int | None = None,
        truncation: Truncation = "right",
    ) -> list[list[int]]:
        """The ids alone, one list a text: the fastest way through a corpus.

        Raises:
            ArgumentError: as for `encode`.
        """
        options = {"special": special, "max_length": max_length, "truncation": truncation}
        encodings = self._engine.run(self._engine.joined(texts, None), fast=True, **options)
        return [self._known(encoding.ids) for encoding in encodings]

    def decode(self, ids: Sequence[int] | Tensor, *, skip_special: bool = True) -> str:
        """The text of ids (t); ids beyond the vocabulary, which a padded embedding may give, are left out.

        Raises:
            ArgumentError: a negative id.
        """
        try:
            plain = list(map(index, ids.tolist() if isinstance(ids, Tensor) else ids))
        except TypeError as error:
            raise ArgumentError(f"{ids!r:.60} are not the ids of one text: {error}.") from error
        if plain and min(plain) < 0:
            raise ArgumentError(f"{min(plain)} is not an id. Labels that are not trained on must be left out first.")
        known = [id for id in plain if id < 2**32]  # the library takes no larger numbers
        with library_errors(lambda error: ArgumentError(f"These ids cannot be decoded: {error}.")):
            text = self.tokenizer.decode(known, skip_special_tokens=skip_special)
        if self.settings.clean_up and not isinstance(self.tokenizer.model, BPE):  # whose own spaces are right
            for spaced in _SPACED:
                text = text.replace(spaced, spaced.strip())
        return text

    def decode_stream(self, *, skip_special: bool = True) -> DecodeStream:
        """For ids that come one by one: `push(id)` gives the text that has become certain."""
        return DecodeStream(lambda ids: self.decode(ids, skip_special=skip_special))

    def chat(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        add_generation_prompt: bool = True,
        template: str | None = None,
        **variables: Any,
    ) -> str:
        """A conversation as the text that the model was trained on; encode it with `special=False`.

        Args:
            messages: {"role": "system" | "user" | "assistant", "content": ...} in their order.
            add_generation_prompt: whether the assistant's turn is opened at the end.
            template: Jinja source; None: the tokenizer's own.
            variables: more that the template knows, such as `tools`.

        Raises:
            ArgumentError: there is no template, or it refuses these messages.
            DataError: the template is damaged, or does what a template must not.
        """
        tokens = {f"{role}_token": token for role in ROLES if (token := getattr(self.special, role)) is not None}
        variables = {**tokens, "add_generation_prompt": add_generation_prompt, **variables}
        return render_chat(template or self.chat_template, messages, variables)

    def __deepcopy__(self, memo: dict[int, Any]) -> TextTokenizer:
        return self  # nothing in it changes, and a vocabulary of 128,000 tokens takes 50 MB

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.tokenizer, self.settings)

    def _known(self, ids: list[int]) -> list[int]:
        if self.settings.known is None or self.unk_id is None:
            return ids
        return [id if id < self.settings.known else self.unk_id for id in ids]

    def _encoded(self, encoding: Encoding) -> Encoded:
        encoded = Encoded.of(encoding)
        return encoded if self.settings.known is None else encoded._replace(ids=tuple(self._known(encoding.ids)))

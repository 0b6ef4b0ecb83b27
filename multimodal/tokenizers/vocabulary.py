"""The tokens of a text tokenizer by their id, and those with a task of their own.

How text is split into them is in `text.py`.
"""

from __future__ import annotations

from tokenizers import AddedToken, Tokenizer

from multimodal.errors import ArgumentError, DataError, nearest
from multimodal.tokenizers.text_settings import ROLES, SpecialTokens, TextSettings


class Vocabulary:
    """The tokens that a `tokenizers.Tokenizer` gives; what `settings` calls special becomes so in it.

    Attributes:
        vocabulary: ids are below this number, added tokens included.
        special_ids: ids of the tokens that are no part of the text: by task, extra, or marked so in the tokenizer.
        bos_id, eos_id, pad_id, unk_id, mask_id, sep_id, cls_id: see `SpecialTokens`; None where there is none.

    Raises:
        ArgumentError: a special token that the vocabulary lacks.
    """

    def __init__(self, tokenizer: Tokenizer, settings: TextSettings):
        self.tokenizer, self.settings = tokenizer, settings
        self._ids = tokenizer.get_vocab(with_added_tokens=True)
        if missing := [token for token in self.special.all if token not in self._ids]:
            clue = nearest(missing[0], self._ids)
            raise ArgumentError(f"The special token {missing[0]!r} is not in the vocabulary.{clue} Add it, or drop it.")
        marked = {token.content for token in tokenizer.get_added_tokens_decoder().values() if token.special}
        if new := [token for token in self.special.all if token not in marked]:
            tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in new])
        self.special_ids = frozenset(self._ids[token] for token in marked.union(self.special.all))
        self.vocabulary = settings.known or max(self._ids.values(), default=-1) + 1
        self.bos_id, self.eos_id, self.pad_id, self.unk_id, self.mask_id, self.sep_id, self.cls_id = (
            None if (token := getattr(self.special, role)) is None else self._ids[token] for role in ROLES
        )
        if settings.known is not None and self.unk_id is None:
            raise ArgumentError(f"known is {settings.known}, and ids from there on are read as unk: name that token.")

    @property
    def special(self) -> SpecialTokens:
        """Which token has which task."""
        return self.settings.special

    @property
    def max_length(self) -> int | None:
        """Tokens, special ones included, that the model takes at most; nothing is cut to it unasked."""
        return self.settings.max_length

    @property
    def chat_template(self) -> str | None:
        """Jinja source that lays out a conversation."""
        return self.settings.chat_template

    def id_of(self, token: str) -> int:
        """The id of a token as the vocabulary spells it ("Ġhello", "##ing", "[MASK]").

        Raises:
            ArgumentError: there is no such token.
        """
        found = self._ids.get(token)
        if found is None or found >= self.vocabulary:
            known = self.special.all if token[:1] in ("<", "[") else self._ids
            raise ArgumentError(f"{token!r} is not a token of this vocabulary.{nearest(token, known)}")
        return found

    def token_of(self, id: int) -> str:
        """The token of an id, as the vocabulary spells it.

        Raises:
            ArgumentError: there is no such id.
        """
        token = self.tokenizer.id_to_token(id) if 0 <= id < self.vocabulary else None
        if token is None:
            raise ArgumentError(f"{id} is not an id of this vocabulary, which has {self.vocabulary:,} tokens.")
        return token

    def fits(self, vocabulary: int) -> None:
        """Refuse a model with fewer embeddings than there are ids; more are usual, padded for speed.

        Raises:
            DataError: the tokenizer gives ids that the model does not have.
        """
        if self.vocabulary > vocabulary:
            raise DataError(
                f"The tokenizer has ids up to {self.vocabulary - 1:,} and the model {vocabulary:,} embeddings: they do "
                "not belong together. Take the tokenizer that the model was trained with."
            )

    def __len__(self) -> int:
        return self.vocabulary

    def __repr__(self) -> str:
        shown = [f"{type(self.tokenizer.model).__name__}, {self.vocabulary:,} tokens"]
        if self.max_length is not None:
            shown.append(f"max_length={self.max_length:,}")
        shown += [f"{role}={token!r}" for role in ROLES if (token := getattr(self.special, role)) is not None]
        if self.special.extra:
            shown.append(f"{len(self.special.extra)} more special tokens")
        if self.chat_template is not None:
            shown.append("with a chat template")
        return f"{type(self).__name__}({', '.join(shown)})"

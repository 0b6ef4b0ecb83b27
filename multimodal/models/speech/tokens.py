"""The tokens of a Whisper vocabulary that have a task of their own, by that task.

A transcription begins with <|startoftranscript|>, then the language and the task, then <|notimestamps|> unless times
are wanted; earlier text may stand before it, behind <|startofprev|>. Times count in steps of 20 ms. Which tokens may
follow which is in `rules.py`.

Refs: Whisper arXiv:2212.04356 §2.3
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from multimodal.errors import ArgumentError, nearest
from multimodal.tokenizers.text import TextTokenizer

Task: TypeAlias = Literal["transcribe", "translate"]
TIMESTAMP_STEP = 0.02  # seconds between two timestamp tokens
_ENGLISH_END = 50_256  # <|endoftext|> of GPT-2's vocabulary, on which the English-only models are built
_NO_SPEECH = ("<|nospeech|>", "<|nocaptions|>")  # the latter in transformers' older files

# What is not speech but may stand in subtitles: brackets, notes, quotes. "-" and "'" are stopped only between spaces.
_SYMBOLS = [*'"#()*+/:;<=>@[\\]^_`{|}~「」『』', "<<", ">>", "<<<", ">>>", "--", "---", "-(", "-[", "('", '("', "(("]
_SYMBOLS += ["))", "(((", ")))", "[[", "]]", "{{", "}}", "♪♪", "♪♪♪"]
_NOTES = "♩♪♫♬♭♮♯"  # several tokens each in most vocabularies, with the first in common: it alone is stopped


@dataclass(frozen=True, kw_only=True)
class SpeechTokens:
    """Ids of the tokens with a task; see `of`."""

    sot: int  # start of transcript
    eot: int  # end of text
    translate: int
    transcribe: int
    sot_lm: int
    sot_prev: int  # before the text of what was said earlier
    no_speech: int
    no_timestamps: int
    timestamp_begin: int  # <|0.00|>; later times follow in steps of `TIMESTAMP_STEP`
    languages: Mapping[str, int]  # by code ("en"), in the order of their ids
    multilingual: bool  # whether the model is told language and task

    @classmethod
    def of(cls, tokenizer: TextTokenizer) -> SpeechTokens:
        """The tokens of `tokenizer`.

        Raises:
            ArgumentError: it is none of a Whisper model; what it lacks is named.
        """
        known = tokenizer.tokenizer.get_vocab(with_added_tokens=True)
        no_speech = next((name for name in _NO_SPEECH if name in known), _NO_SPEECH[0])
        names = {
            "sot": "<|startoftranscript|>",
            "eot": "<|endoftext|>",
            "translate": "<|translate|>",
            "transcribe": "<|transcribe|>",
            "sot_lm": "<|startoflm|>",
            "sot_prev": "<|startofprev|>",
            "no_speech": no_speech,
            "no_timestamps": "<|notimestamps|>",
        }
        if missing := [name for name in names.values() if name not in known]:
            raise ArgumentError(
                f"This vocabulary has no {missing[0]}, so it is not one of a Whisper model; take the tokenizer that "
                "the model was trained with."
            )
        ids = {task: known[name] for task, name in names.items()}
        between = range(ids["sot"] + 1, min(ids["translate"], ids["transcribe"]))
        codes = {id: token[2:-2] for token, id in known.items() if id in between}
        languages = {codes[id]: id for id in between if id in codes}
        return cls(
            **ids,
            timestamp_begin=ids["no_timestamps"] + 1,  # also where the files of the vocabulary leave the times out
            languages=languages,
            multilingual=len(languages) > 1 and ids["eot"] != _ENGLISH_END,
        )

    def start(self, language: str | None = None, task: str = "transcribe", timestamps: bool = True) -> tuple[int, ...]:
        """What the decoder begins with.

        Args:
            language: its code; None: English. Of no account in an English-only model.
            task: write down what is said, or translate it to English.
            timestamps: whether times are written between the words.

        Raises:
            ArgumentError: a language or task that the model does not have.
        """
        ids = [self.sot]
        if task not in ("transcribe", "translate"):
            raise ArgumentError(f"task is {task!r}; it must be 'transcribe' or 'translate'.")
        if self.multilingual:
            ids += [self.language(language or "en"), self.translate if task == "translate" else self.transcribe]
        elif task == "translate" or language not in (None, "en", *list(self.languages)[:1]):
            raise ArgumentError(
                f"task is {task!r} and language {language!r}; this model only writes down English. Take a model "
                "without '.en' in its name."
            )
        return tuple(ids if timestamps else [*ids, self.no_timestamps])

    def language(self, code: str) -> int:
        """The id of a language.

        Raises:
            ArgumentError: one that the model does not have.
        """
        if code not in self.languages:
            close = nearest(code, self.languages) or f" It knows {', '.join(self.languages)}."
            raise ArgumentError(f"language is {code!r}, which this model does not know.{close}")
        return self.languages[code]


def suppressed(tokenizer: TextTokenizer) -> tuple[int, ...]:
    """Ids that a transcription never holds: signs that are not spoken, and special tokens out of their place."""
    tokens = SpeechTokens.of(tokenizer)
    found = {tokens.sot, tokens.transcribe, tokens.translate, tokens.sot_lm, tokens.sot_prev, tokens.no_speech}
    found |= {tokenizer.encode(text, special=False).ids[0] for text in (" -", " '")}
    for symbol in [*_SYMBOLS, *_NOTES]:
        for ids in tokenizer.rows([symbol, f" {symbol}"], special=False):
            if len(ids) == 1 or symbol in _NOTES:
                found.add(ids[0])
    return tuple(sorted(found))


def suppressed_first(tokenizer: TextTokenizer) -> tuple[int, ...]:
    """Ids that no transcription begins with: a space alone, and the end."""
    return (*tokenizer.encode(" ", special=False).ids, SpeechTokens.of(tokenizer).eot)

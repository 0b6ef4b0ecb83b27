"""Where the training of a recognizer starts, if not from a trained one: fresh weights and a vocabulary of their own.

Refs: Whisper arXiv:2212.04356 · Conformer arXiv:2005.08100
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from tokenizers import AddedToken

from multimodal.models.ctc_recognizer import CtcRecognizer
from multimodal.models.speech.tokens import suppressed, suppressed_first
from multimodal.models.speech_recognizer import SpeechRecognizer
from multimodal.presets.conformer import conformer
from multimodal.presets.speech import WhisperSize, whisper
from multimodal.tokenizers.audio import ConvStemConfig
from multimodal.tokenizers.text import TextTokenizer
from multimodal.tokenizers.text_ranks import whisper_tokens
from multimodal.tokenizers.text_settings import SpecialTokens, TextSettings
from multimodal.tokenizers.text_training import Kind, train_tokenizer


@dataclass(frozen=True, kw_only=True)
class FreshWhisperConfig:
    """Sizes of a recognizer that is trained from nothing; the defaults are Whisper's tiny."""

    dim: int = 384
    depth: int = 4  # blocks that listen
    decoder_depth: int = 4  # blocks that write
    heads: int = 6
    mels: int = 80
    dropout: float = 0.0
    seconds: float = 30.0  # of the window that is heard at a time
    vocabulary: int = 1000  # byte-level pieces, trained on the texts; special tokens and times come on top
    languages: tuple[str, ...] = ("en", "other")  # codes; of one language alone a model is not told which


def fresh_whisper(texts: Iterable[str], fresh: FreshWhisperConfig) -> SpeechRecognizer:
    """Whisper's design with fresh weights and a vocabulary that is trained on `texts`."""
    tokenizer = whisper_vocabulary(texts, fresh.vocabulary, fresh.languages)
    size = WhisperSize(
        dim=fresh.dim,
        depth=fresh.depth,
        heads=fresh.heads,
        decoder_depth=fresh.decoder_depth,
        mels=fresh.mels,
        vocabulary=tokenizer.vocabulary,
    )
    config = whisper(size, dropout=fresh.dropout)
    stem = ConvStemConfig(positions=round(50 * fresh.seconds))  # a token each 20 ms
    config = replace(
        config,
        encoder=replace(config.encoder, stem=stem),
        suppress=suppressed(tokenizer),
        suppress_first=suppressed_first(tokenizer),
    )
    return config.build(tokenizer)


def whisper_vocabulary(texts: Iterable[str], size: int, languages: Iterable[str]) -> TextTokenizer:
    """Byte-level pieces of `texts`, and behind them Whisper's special tokens, in its order: times are the last ids."""
    pieces = train_tokenizer((f" {text.strip()}" for text in texts), "bpe", vocabulary=size, special=SpecialTokens())
    special = whisper_tokens(list(languages))
    engine = pieces.tokenizer
    engine.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in special.all])
    return TextTokenizer(engine, TextSettings(special=special, max_length=448))


@dataclass(frozen=True, kw_only=True)
class FreshConformerConfig:
    """Sizes of a Conformer that is trained from nothing: small enough for hours of speech, not hundreds of hours."""

    tokenizer: Kind = "character"  # the kind to train: characters, or larger pieces, which cannot be misspelt
    vocabulary: int = 150  # pieces at most; not of characters
    dim: int = 144
    depth: int = 8
    heads: int = 4
    kernel: int = 15  # tokens of 40 ms that the convolution of a block sees; odd
    mels: int = 80
    channels: int = 64  # of the convolutions that subsample the spectrogram
    dropout: float = 0.1
    between: bool = True  # whether CTC also answers in the middle of the stack
    decoder_depth: int = 0  # blocks of a decoder that helps in training and judges texts; 0: there is none


def fresh_conformer(texts: Iterable[str], fresh: FreshConformerConfig) -> CtcRecognizer:
    """A Conformer with fresh weights and a vocabulary that is trained on `texts`."""
    special = SpecialTokens(unk="<unk>")
    pieces = train_tokenizer(iter(texts), fresh.tokenizer, vocabulary=fresh.vocabulary, special=special)
    sizes = {name: value for name, value in vars(fresh).items() if name not in ("tokenizer", "vocabulary")}
    return conformer(pieces.vocabulary, **sizes).build(pieces)

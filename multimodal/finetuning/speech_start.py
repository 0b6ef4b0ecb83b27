"""Where the training of a recognizer starts: a published one, a folder, or fresh weights and their own vocabulary.

Ref: Whisper arXiv:2212.04356
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from tokenizers import AddedToken

from multimodal.errors import ArgumentError
from multimodal.hub import load
from multimodal.models.ctc_recognizer import CtcRecognizer
from multimodal.models.speech_recognizer import SpeechRecognizer
from multimodal.models.speech_tokens import suppressed, suppressed_first
from multimodal.presets.speech import WhisperSize, whisper
from multimodal.tokenizers.audio import ConvStemConfig
from multimodal.tokenizers.text import TextTokenizer
from multimodal.tokenizers.text_ranks import whisper_tokens
from multimodal.tokenizers.text_settings import SpecialTokens, TextSettings
from multimodal.tokenizers.text_training import train_tokenizer


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


def published_recognizer(source: str | Path, *, pretrained: bool = True) -> SpeechRecognizer:
    """A published recognizer in float32, to be trained further.

    Raises:
        ArgumentError: `source` is a model of another kind.
    """
    model = load(source, pretrained=pretrained, device="cpu", dtype="float32")
    if not isinstance(model, SpeechRecognizer):
        raise ArgumentError(
            f"source is {source!r}, a {type(model).__name__}; this recipe trains Whisper, such as "
            "'hf:openai/whisper-small' or a model folder that it wrote."
        )
    return model


def trained_ctc(source: str | Path) -> CtcRecognizer:
    """A trained recognizer by CTC in float32, with its vocabulary, to be trained further.

    Raises:
        ArgumentError: `source` is a model of another kind.
    """
    model = load(source, device="cpu", dtype="float32")
    if not isinstance(model, CtcRecognizer):
        raise ArgumentError(
            f"start is {source!r}, a {type(model).__name__}; this recipe trains recognizers by CTC, such as a model "
            "folder that it wrote."
        )
    return model

"""Where a text task starts: the body of a published model, or a small encoder with fresh weights and its own tokenizer.

Axes: none of its own
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from multimodal.errors import ArgumentError
from multimodal.hub import load
from multimodal.models.language_model import LanguageModel
from multimodal.models.text.body import TextHead, bare
from multimodal.models.text_encoder import TextEncoder
from multimodal.presets import bert
from multimodal.tokenizers.text_training import Kind, train_tokenizer


@dataclass(frozen=True, kw_only=True)
class FreshConfig:
    """The encoder, of BERT's design, that is trained from nothing where no published model is named."""

    tokenizer: Kind = "wordpiece"
    vocabulary: int = 8000  # tokens at most
    lowercase: bool = True  # fold case and accents (WordPiece only)
    length: int = 128  # tokens of a text at most
    dim: int = 128
    depth: int = 2
    heads: int = 4
    dropout: float = 0.3  # probability of zeroing a channel while training


def starting_body(source: str | None, texts: Iterable[str], fresh: FreshConfig) -> TextEncoder | LanguageModel:
    """The model that a task's head is put on.

    Args:
        source: what `mm.load` takes, for a text encoder or a language model; None: fresh weights.
        texts: what a tokenizer is trained on for fresh weights.
        fresh: the model with fresh weights.

    Raises:
        ArgumentError: `source` is a model of another kind.
    """
    if source is None:
        folded = fresh.lowercase and fresh.tokenizer == "wordpiece"
        options = {"vocabulary": fresh.vocabulary, "lowercase": folded, "max_length": fresh.length}
        tokenizer = train_tokenizer(iter(texts), fresh.tokenizer, **options)
        sizes: Any = {"length": fresh.length, "dim": fresh.dim, "depth": fresh.depth, "heads": fresh.heads}
        config = bert(tokenizer.vocabulary, dropout=fresh.dropout, **sizes)
        # Post-norm needs pretraining or a careful start; pre-norm learns from the first step.
        block = replace(config.backbone.block, placement="pre")
        config = replace(bare(config), backbone=replace(config.backbone, block=block, final_norm=True))
        return config.build(tokenizer)
    model = load(source, device="cpu", dtype="float32")
    if isinstance(model, TextHead):
        return model.encoder
    if not isinstance(model, TextEncoder | LanguageModel):
        raise ArgumentError(
            f"source is {source!r}, a {type(model).__name__}; this task starts from a text encoder or a language model."
        )
    return model

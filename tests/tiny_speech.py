"""Small speech recognizers with Whisper's real vocabularies, and the same weights in the libraries they come from."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, Literal

import pytest
import torch

from multimodal.backbone.attention import AttentionConfig
from multimodal.backbone.backbone import BackboneConfig
from multimodal.backbone.block import BlockConfig
from multimodal.backbone.mlp import MlpConfig
from multimodal.models.audio_encoder import AudioEncoderConfig
from multimodal.models.speech.tokens import suppressed, suppressed_first
from multimodal.models.speech_recognizer import SpeechRecognizer, SpeechRecognizerConfig
from multimodal.tokenizers.audio import ConvStemConfig
from multimodal.tokenizers.audio_features import LogMelConfig
from multimodal.tokenizers.text import TextTokenizer
from multimodal.tokenizers.text_embedding import TextEmbeddingConfig
from multimodal.tokenizers.text_ranks import load_tiktoken, whisper_tokens

Vocabulary = Literal["multilingual", "v3", "en"]


@cache
def whisper_tokenizer(vocabulary: Vocabulary = "multilingual") -> TextTokenizer:
    """The real vocabulary: of 99 languages, of 100 (large-v3), or English only."""
    languages = pytest.importorskip("whisper.tokenizer").LANGUAGES
    assets = Path(pytest.importorskip("whisper").__file__).parent / "assets"
    codes = list(languages)[: 100 if vocabulary == "v3" else 99]
    file = "gpt2.tiktoken" if vocabulary == "en" else "multilingual.tiktoken"
    return load_tiktoken(assets / file, special=whisper_tokens(codes), max_length=448)


def whisper_config(
    vocabulary: int,
    *,
    mels: int = 80,
    dim: int = 32,
    depth: int = 2,
    decoder_depth: int | None = None,
    heads: int = 4,
    length: int = 448,
    positions: int = 1500,
    **fields: Any,
) -> SpeechRecognizerConfig:
    """Whisper in small; `positions` encoder tokens of 20 ms each."""
    attention = AttentionConfig(heads=heads, bias="qvo")
    block = BlockConfig(attention=attention, mlp=MlpConfig(hidden=4 * dim))
    crossed = BlockConfig(attention=attention, cross_attention=attention, mlp=MlpConfig(hidden=4 * dim))
    return SpeechRecognizerConfig(
        features=LogMelConfig(mels=mels),
        encoder=AudioEncoderConfig(
            stem=ConvStemConfig(positions=positions), backbone=BackboneConfig(dim=dim, depth=depth, block=block)
        ),
        embedding=TextEmbeddingConfig(vocabulary=vocabulary, max_length=length),
        decoder=BackboneConfig(dim=dim, depth=decoder_depth or depth, block=crossed),
        **fields,
    )


def tiny_whisper(vocabulary: Vocabulary = "multilingual", *, seed: int = 0, **sizes: Any) -> SpeechRecognizer:
    """A recognizer of random weights, all of which matter, that says a different thing to each sound.

    Args:
        vocabulary: see `whisper_tokenizer`.
        seed: other weights.
        sizes: `mels`, `dim`, `depth`, `decoder_depth`, `heads`, `length`, `positions`; `alignment_heads` and so on.
    """
    tokenizer = whisper_tokenizer(vocabulary)
    fields = {"suppress": suppressed(tokenizer), "suppress_first": suppressed_first(tokenizer), **sizes}
    return shaken(whisper_config(tokenizer.vocabulary, **fields).build(tokenizer), seed=seed)


def shaken(model: Any, *, seed: int = 0) -> Any:
    """`model` in eval mode with weights so large that each sound and each token before changes what comes next."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if parameter.ndim == 1:
                parameter.add_(0.1 * noise)  # biases of zero and norms of one would hide errors
            else:
                wide = 2.0 if ".cross." in name or ".position." in name else 1.0
                parameter.copy_(wide * noise / parameter.shape[-1] ** 0.5)
    return model.eval()


def clips(n: int = 2, *, mels: int = 80, frames: int = 3000, seed: int = 0) -> torch.Tensor:
    """Spectrograms (n, m, t) of noise, about as loud as Whisper's."""
    return 0.5 * torch.randn(n, mels, frames, generator=torch.Generator().manual_seed(seed))


def openai_twin(model: SpeechRecognizer) -> Any:
    """`whisper.model.Whisper` with the weights of `model` and its alignment heads."""
    whisper = pytest.importorskip("whisper.model")
    encoder, decoder, embedding = model.config.encoder, model.config.decoder, model.config.embedding
    dims = whisper.ModelDimensions(
        n_mels=model.config.features.mels,
        n_audio_ctx=encoder.stem.positions,  # pyright: ignore
        n_audio_state=encoder.backbone.dim,
        n_audio_head=encoder.backbone.block.attention.heads,
        n_audio_layer=encoder.backbone.depth,
        n_vocab=embedding.vocabulary,
        n_text_ctx=embedding.max_length,
        n_text_state=decoder.dim,
        n_text_head=decoder.block.attention.heads,
        n_text_layer=decoder.depth,
    )
    theirs = whisper.Whisper(dims)
    state = {_openai_name(name): tensor.clone() for name, tensor in model.state_dict().items()}
    theirs.load_state_dict(state)
    if model.config.alignment_heads:
        heads = torch.zeros(dims.n_text_layer, dims.n_text_head, dtype=torch.bool)
        for layer, head in model.config.alignment_heads:
            heads[layer, head] = True
        theirs.register_buffer("alignment_heads", heads.to_sparse(), persistent=False)
    return theirs.eval()


_NAMES = (  # ours -> openai's, one after the other
    ("encoder.stem.positions", "encoder.positional_embedding"),
    ("encoder.stem.", "encoder."),
    ("encoder.backbone.norm.", "encoder.ln_post."),
    ("decoder.norm.", "decoder.ln."),
    ("encoder.backbone.", "encoder."),
    ("embedding.words.", "decoder.token_embedding."),
    ("embedding.placement.position.weight", "decoder.positional_embedding"),
    (".attention_branch.norm.", ".attn_ln."),
    (".cross_branch.norm.", ".cross_attn_ln."),
    (".mlp_branch.norm.", ".mlp_ln."),
    (".attention.", ".attn."),
    (".cross.", ".cross_attn."),
    (".q.", ".query."),
    (".k.", ".key."),
    (".v.", ".value."),
    (".mlp.up.", ".mlp.0."),
    (".mlp.down.", ".mlp.2."),
)


def _openai_name(name: str) -> str:
    for ours, theirs in _NAMES:
        name = name.replace(ours, theirs)
    return name


def transformers_config(model: SpeechRecognizer, **fields: Any) -> Any:
    """`WhisperConfig` of the sizes of `model`."""
    transformers = pytest.importorskip("transformers")
    encoder, decoder, embedding = model.config.encoder, model.config.decoder, model.config.embedding
    tokens = model.tokens
    assert tokens is not None
    sizes = {
        "vocab_size": embedding.vocabulary,
        "num_mel_bins": model.config.features.mels,
        "d_model": decoder.dim,
        "encoder_layers": encoder.backbone.depth,
        "encoder_attention_heads": encoder.backbone.block.attention.heads,
        "encoder_ffn_dim": encoder.backbone.block.mlp.hidden,
        "decoder_layers": decoder.depth,
        "decoder_attention_heads": decoder.block.attention.heads,
        "decoder_ffn_dim": decoder.block.mlp.hidden,
        "max_source_positions": encoder.stem.positions,  # pyright: ignore
        "max_target_positions": embedding.max_length,
        "decoder_start_token_id": tokens.sot,
        "bos_token_id": tokens.eot,
        "eos_token_id": tokens.eot,
        "pad_token_id": tokens.eot,
    }
    return transformers.WhisperConfig(**{**sizes, **fields})


def transformers_twin(model: SpeechRecognizer) -> Any:
    """transformers' `WhisperForConditionalGeneration` with the weights of `model`."""
    from multimodal.weights.whisper import WHISPER

    transformers = pytest.importorskip("transformers")
    theirs = transformers.WhisperForConditionalGeneration(transformers_config(model))
    theirs.load_state_dict({name: tensor.clone() for name, tensor in WHISPER.export(model.state_dict()).items()})
    return theirs.eval()

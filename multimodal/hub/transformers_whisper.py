"""Whisper of transformers: its config.json as ours, and back; and the two files beside it that say how it is used.

generation_config.json says which tokens are never written and which heads follow the sound, preprocessor_config.json
how sound becomes a spectrogram. Language, task and timestamps are chosen by who transcribes, not read from a file.
Distilled and "turbo" models differ in sizes alone.

Refs: Whisper arXiv:2212.04356 · Distil-Whisper arXiv:2311.00430
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from multimodal.backbone.attention import AttentionConfig
from multimodal.backbone.backbone import BackboneConfig
from multimodal.backbone.block import BlockConfig
from multimodal.backbone.mlp import MlpConfig
from multimodal.backbone.norm import LayerNormConfig
from multimodal.errors import DataError
from multimodal.hub.files import read_json
from multimodal.hub.transformers_family import Fields, Published, activation_name
from multimodal.hub.transformers_pixels import PIXELS, PROCESSOR
from multimodal.models.audio_encoder import AudioEncoderConfig
from multimodal.models.speech_recognizer import SpeechRecognizer, SpeechRecognizerConfig
from multimodal.tokenizers.audio import ConvStemConfig
from multimodal.tokenizers.audio_features import FRAMES_PER_SECOND, HOP, SAMPLE_RATE, WINDOW, LogMelConfig
from multimodal.tokenizers.text_embedding import TextEmbeddingConfig
from multimodal.weights.whisper import WHISPER

MODEL_TYPES = ("whisper",)
PROCESSOR_CLASSES = {"tokenizer_class": "WhisperTokenizer", "processor_class": "WhisperProcessor"}
_HEADED = ((r"^(?=(encoder|decoder)\.)", "model."),)  # the same model without its head, which is the word table


def read(config: Mapping[str, Any], generation: Mapping[str, Any]) -> Published:
    """A `SpeechRecognizer`; see `Family.read`."""
    fields = Fields(config)
    fields.architecture(("WhisperForConditionalGeneration", "WhisperModel"))
    fields.only(tie_word_embeddings=True, is_encoder_decoder=True)
    said = Fields({**config, **generation}, "generation_config.json" if generation else "config.json")
    vocabulary = fields.whole("vocab_size", 51_865)
    model = SpeechRecognizerConfig(
        features=LogMelConfig(mels=fields.whole("num_mel_bins", 80)),
        encoder=AudioEncoderConfig(
            stem=ConvStemConfig(positions=fields.whole("max_source_positions", 1500)),
            backbone=_stack(fields, "encoder"),
        ),
        embedding=TextEmbeddingConfig(
            vocabulary=vocabulary,
            max_length=fields.whole("max_target_positions", 448),
            dropout=fields.rate("dropout", 0.0),
        ),
        decoder=_stack(fields, "decoder"),
        alignment_heads=_heads(said),
        suppress=_ids(said, "suppress_tokens", vocabulary),
        suppress_first=_ids(said, "begin_suppress_tokens", vocabulary),
    )
    return Published(config=model, table=WHISPER, older=_HEADED)


def _stack(fields: Fields, name: Literal["encoder", "decoder"]) -> BackboneConfig:
    attention = AttentionConfig(
        heads=fields.whole(f"{name}_attention_heads", 6),
        bias="qvo",
        dropout=fields.rate("attention_dropout", 0.0),
    )
    block = BlockConfig(
        attention=attention,
        cross_attention=attention if name == "decoder" else None,
        mlp=MlpConfig(
            hidden=fields.whole(f"{name}_ffn_dim", 1536),
            activation=fields.activation("activation_function", "gelu"),
            dropout=fields.rate("activation_dropout", 0.0),
        ),
        norm=LayerNormConfig(eps=1e-5),
        dropout=fields.rate("dropout", 0.0),
    )
    return BackboneConfig(dim=fields.whole("d_model", 384), depth=fields.whole(f"{name}_layers", 4), block=block)


def _ids(fields: Fields, name: str, vocabulary: int) -> tuple[int, ...]:
    found = fields.config.get(name) or []
    if not isinstance(found, list) or any(type(id) is not int or not 0 <= id < vocabulary for id in found):
        raise fields.wrong(name, f"it must be a list of ids from 0 to {vocabulary - 1:,}")
    return tuple(found)


def _heads(fields: Fields) -> tuple[tuple[int, int], ...]:
    found = fields.config.get("alignment_heads") or []
    if not isinstance(found, list) or any(
        not isinstance(pair, list) or len(pair) != 2 or any(type(n) is not int or n < 0 for n in pair) for pair in found
    ):
        raise fields.wrong("alignment_heads", "it must be a list of pairs, the number of a layer and of a head in it")
    return tuple((layer, head) for layer, head in found)


def write(model_config: Any) -> dict[str, Any] | None:
    """The config.json of a `SpeechRecognizer`; see `Family.write`."""
    if not isinstance(model_config, SpeechRecognizerConfig):
        return None
    encoder, decoder = model_config.encoder, model_config.decoder
    if not isinstance(encoder.stem, ConvStemConfig):
        return None
    stacks: dict[str, Any] = {}
    for name, stack in (("encoder", encoder.backbone), ("decoder", decoder)):
        stacks[f"{name}_layers"] = stack.depth
        stacks[f"{name}_attention_heads"] = stack.block.attention.heads
        stacks[f"{name}_ffn_dim"] = stack.block.mlp.hidden
    return {
        "model_type": "whisper",
        "architectures": ["WhisperForConditionalGeneration"],
        "is_encoder_decoder": True,
        "vocab_size": model_config.embedding.vocabulary,
        "num_mel_bins": model_config.features.mels,
        "max_source_positions": encoder.stem.positions,
        "max_target_positions": model_config.embedding.max_length,
        "d_model": decoder.dim,
        **stacks,
        "activation_function": activation_name(decoder.block.mlp.activation),
        "dropout": decoder.block.dropout,
        "attention_dropout": decoder.block.attention.dropout,
        "activation_dropout": decoder.block.mlp.dropout,
    }


def essential(config: SpeechRecognizerConfig) -> SpeechRecognizerConfig:
    """`config` without what generation_config.json says, for comparing two."""
    return replace(config, alignment_heads=(), suppress=(), suppress_first=())


def check_features(folder: Path, mels: int) -> None:
    """Refuse a folder whose spectrograms are not those that we make.

    Raises:
        DataError: a damaged file, or features of another kind.
    """
    for name, part in ((PIXELS, None), (PROCESSOR, "feature_extractor")):
        found = read_json(folder / name) if (folder / name).exists() else {}
        found = found.get(part) or {} if part else found
        if not isinstance(found, Mapping):
            raise DataError(f"{folder / name}: {part} is {found!r}; it must be an object.")
        fields = Fields(found, str(folder / name))
        fields.only(feature_size=mels, sampling_rate=SAMPLE_RATE, hop_length=HOP, n_fft=WINDOW, dither=0.0)


def token_ids(model: SpeechRecognizer) -> dict[str, Any]:
    """What config.json and generation_config.json both say of special tokens; without a tokenizer nothing is known."""
    if model.tokens is None:
        return {"bos_token_id": None, "eos_token_id": None, "pad_token_id": None}
    end = model.tokens.eot
    start = {"decoder_start_token_id": model.tokens.sot}
    return {"bos_token_id": end, "eos_token_id": end, "pad_token_id": end, **start}


def write_speech(model: SpeechRecognizer) -> dict[str, Any]:
    """generation_config.json: how transformers is to write text with `model`."""
    config, tokens = model.config, model.tokens
    found: dict[str, Any] = {
        **token_ids(model),
        "max_length": config.embedding.max_length,
        "suppress_tokens": list(config.suppress),
        "begin_suppress_tokens": list(config.suppress_first),
    }
    if config.alignment_heads:
        found["alignment_heads"] = [list(pair) for pair in config.alignment_heads]
    if tokens is not None:
        found |= {
            "is_multilingual": tokens.multilingual,
            "no_timestamps_token_id": tokens.no_timestamps,
            "prev_sot_token_id": tokens.sot_prev,
            "max_initial_timestamp_index": 50,
            "return_timestamps": False,
        }
        if tokens.multilingual:
            found["lang_to_id"] = {f"<|{code}|>": id for code, id in tokens.languages.items()}
            found["task_to_id"] = {"transcribe": tokens.transcribe, "translate": tokens.translate}
    return found


def write_features(config: SpeechRecognizerConfig) -> dict[str, Any]:
    """preprocessor_config.json."""
    assert isinstance(config.encoder.stem, ConvStemConfig)
    frames = 2 * config.encoder.stem.positions
    return {
        "feature_extractor_type": "WhisperFeatureExtractor",
        "processor_class": "WhisperProcessor",
        "feature_size": config.features.mels,
        "sampling_rate": SAMPLE_RATE,
        "hop_length": HOP,
        "n_fft": WINDOW,
        "chunk_length": frames // FRAMES_PER_SECOND,
        "n_samples": frames * HOP,
        "nb_max_frames": frames,
        "padding_side": "right",
        "padding_value": 0.0,
        "return_attention_mask": False,
    }

"""AST of transformers, a classifier of sound: its config.json and preprocessor_config.json as ours, and back.

Dropout behind the embeddings, which no published model has, is the one thing that is not here; it matters in training
alone. transformers reads a clip of one length; here the positions are resized for others.

Refs: AST arXiv:2104.01778
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from multimodal.backbone.attention import AttentionConfig
from multimodal.backbone.backbone import BackboneConfig
from multimodal.backbone.block import BlockConfig
from multimodal.backbone.mlp import MlpConfig
from multimodal.backbone.norm import LayerNormConfig
from multimodal.backbone.pool import ClassMeanPoolConfig
from multimodal.errors import ArgumentError
from multimodal.hub.files import read_json
from multimodal.hub.transformers_family import Fields, Published, activation_name
from multimodal.hub.transformers_pixels import PIXELS
from multimodal.models.classifier import ClassifierConfig, LinearHeadConfig
from multimodal.models.image_encoder import ImageEncoderConfig
from multimodal.tokenizers.audio_features import FRAMES_PER_SECOND, SAMPLE_RATE, FbankConfig
from multimodal.tokenizers.audio_transform import AudioTransformConfig
from multimodal.tokenizers.image import ImageTokenizerConfig
from multimodal.tokenizers.transforms import AnyTransformConfig
from multimodal.weights.ast import ast

MODEL_TYPES = ("audio-spectrogram-transformer",)
_CLASSES = ("ASTForAudioClassification", "ASTModel")


def read(config: Mapping[str, Any], generation: Mapping[str, Any]) -> Published:
    """A `Classifier`, for `ASTModel` one without classes; see `Family.read`."""
    fields = Fields(config)
    headed = fields.architecture(_CLASSES) == _CLASSES[0]
    dim, norm = fields.whole("hidden_size", 768), LayerNormConfig(eps=fields.number("layer_norm_eps", 1e-12, least=0.0))
    mels, frames = fields.whole("num_mel_bins", 128), fields.whole("max_length", 1024)
    block = BlockConfig(
        attention=AttentionConfig(
            heads=fields.whole("num_attention_heads", 12),
            bias="qkvo" if fields.flag("qkv_bias", True) else "o",
            dropout=fields.rate("attention_probs_dropout_prob", 0.0),
        ),
        mlp=MlpConfig(
            hidden=fields.whole("intermediate_size", 3072), activation=fields.activation("hidden_act", "gelu")
        ),
        norm=norm,
        dropout=fields.rate("hidden_dropout_prob", 0.0),
    )
    patch = _patch(fields)
    if patch[0] > mels or patch[1] > frames:
        raise fields.wrong("patch_size", f"it must fit into the {mels} mel channels and {frames} frames")
    encoder = ImageEncoderConfig(
        tokenizer=ImageTokenizerConfig(
            size=(mels, frames),
            patch=patch,
            stride=(fields.whole("frequency_stride", 10), fields.whole("time_stride", 10)),
            channels=1,
            remainder="cut",
            prefix=2,
        ),
        backbone=BackboneConfig(dim=dim, depth=fields.whole("num_hidden_layers", 12), block=block),
        pool=ClassMeanPoolConfig(),
        norm=norm if headed else None,
    )
    labels = fields.labels() if headed else ()
    ours = ClassifierConfig(
        encoder=encoder,
        classes=len(labels),
        transform=AudioTransformConfig(
            features=FbankConfig(mels=mels, window="hanning"), seconds=frames / FRAMES_PER_SECOND
        ),
        output="sigmoid" if headed and fields.several_labels() else "softmax",
    )
    return Published(config=ours, table=ast(dim, head=headed), labels=labels)


def _patch(fields: Fields) -> tuple[int, int]:
    """One number, or two: mel channels, frames."""
    found = fields.config.get("patch_size", 16)
    sides = found if isinstance(found, list) else [found, found]
    if len(sides) != 2 or any(type(side) is not int or side < 1 for side in sides):
        raise fields.wrong("patch_size", "it must be a whole number from 1, or two of them")
    return sides[0], sides[1]


def write(model_config: Any) -> dict[str, Any] | None:
    """The config.json of a `Classifier` of sound; see `Family.write`."""
    if not isinstance(model_config, ClassifierConfig) or not isinstance(model_config.encoder, ImageEncoderConfig):
        return None
    encoder, transform = model_config.encoder, model_config.transform
    tokens, stack = encoder.tokenizer, encoder.backbone
    if not isinstance(transform, AudioTransformConfig) or stack.block.mlp is None:
        return None
    block, (ph, pw) = stack.block, tokens.patch
    norm = block.norm
    problem = {"problem_type": "multi_label_classification"} if model_config.output == "sigmoid" else {}
    return {
        "model_type": MODEL_TYPES[0],
        "architectures": [_CLASSES[0] if model_config.classes else _CLASSES[1]],
        "hidden_size": stack.dim,
        "num_hidden_layers": stack.depth,
        "num_attention_heads": block.attention.heads,
        "intermediate_size": block.mlp.hidden,
        "hidden_act": activation_name(block.mlp.activation),
        "hidden_dropout_prob": block.dropout,
        "attention_probs_dropout_prob": block.attention.dropout,
        "layer_norm_eps": norm.eps,
        "qkv_bias": block.attention.bias != "o",
        "patch_size": ph if ph == pw else [ph, pw],
        "frequency_stride": tokens.step[0],
        "time_stride": tokens.step[1],
        "max_length": tokens.size[1],
        "num_mel_bins": tokens.size[0],
        **problem,
    }


def essential(config: ClassifierConfig) -> ClassifierConfig:
    """`config` without what logits of spectrograms do not depend on, for comparing two."""
    encoder = config.encoder
    if isinstance(encoder, ImageEncoderConfig):
        tokens = replace(encoder.tokenizer, stride=encoder.tokenizer.step)
        if replace(tokens, remainder="cut").grid == replace(tokens, remainder="pad").grid:
            tokens = replace(tokens, remainder="cut")
        encoder = replace(encoder, tokenizer=tokens, backbone=replace(encoder.backbone, drop_path=0.0))
    return replace(config, encoder=encoder, head=LinearHeadConfig(), transform=ClassifierConfig.transform)


def prepared(config: ClassifierConfig, folder: Path) -> ClassifierConfig:
    """`config` with the preprocessing that preprocessor_config.json states, where there is one.

    Raises:
        DataError: a damaged file, or something that cannot be done here.
    """
    usual = config.transform
    found = read_json(folder / PIXELS) if (folder / PIXELS).exists() else {}
    if not found or not isinstance(usual, AudioTransformConfig):
        return config
    fields = Fields(found, str(folder / PIXELS))
    fields.only(sampling_rate=SAMPLE_RATE, num_mel_bins=usual.features.mels, max_length=usual.frames, padding_value=0.0)
    if not fields.flag("do_normalize", True):
        return replace(config, transform=replace(usual, mean=0.0, std=0.5))
    std = fields.number("std", usual.std, least=0.0)
    if std == 0:
        raise fields.wrong("std", "it must be above 0")
    return replace(config, transform=replace(usual, mean=fields.number("mean", usual.mean), std=std))


def write_features(config: AnyTransformConfig) -> dict[str, Any]:
    """`preprocessor_config.json` for `config`.

    Raises:
        ArgumentError: features that transformers' ASTFeatureExtractor does not compute.
    """
    assert isinstance(config, AudioTransformConfig)  # others have no config.json
    if config.features != FbankConfig(mels=config.features.mels, window="hanning"):
        raise ArgumentError(
            f"transformers cannot prepare sound with {config.features}; its ASTFeatureExtractor computes "
            "FbankConfig(window='hanning') with the usual frequencies."
        )
    return {
        "feature_extractor_type": "ASTFeatureExtractor",
        "feature_size": 1,
        "sampling_rate": SAMPLE_RATE,
        "num_mel_bins": config.features.mels,
        "max_length": config.frames,
        "do_normalize": True,
        "mean": config.mean,
        "std": config.std,
        "padding_side": "right",
        "padding_value": 0.0,
        "return_attention_mask": False,
    }

"""Models that transformers wrote: a folder of `save_pretrained`, or "hf:ORG/NAME" on the Hugging Face hub.

Only JSON, safetensors and the files of tokenizers are read; a pickle, or code that comes with a model, never. What a
config.json means is said by the families in the files `transformers_*.py`.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import torch

from multimodal.checkpoint import AnyModel, build
from multimodal.checkpoint.fit import assign, skeleton
from multimodal.checkpoint.kinds import vocabulary_of
from multimodal.errors import ArgumentError, DataError, nearest
from multimodal.hub import (
    transformers_ast,
    transformers_bart,
    transformers_bert,
    transformers_clip,
    transformers_gpt,
    transformers_llama,
    transformers_llava,
    transformers_t5,
    transformers_whisper,
)
from multimodal.hub.files import first_line, read_json
from multimodal.hub.safetensors_folder import Stored, find_tensors, read_tensors
from multimodal.hub.transformers_family import Family, Fields, Published
from multimodal.hub.transformers_pixels import read_pixels
from multimodal.hub.transformers_processor import prepared, with_template
from multimodal.models.classifier import ClassifierConfig
from multimodal.models.dual_encoder import DualEncoderConfig
from multimodal.models.speech_recognizer import SpeechRecognizerConfig
from multimodal.models.towers import PaddedPoolConfig, TextTowerConfig
from multimodal.models.vision_language import VisionLanguageConfig
from multimodal.tokenizers.text import TextTokenizer
from multimodal.tokenizers.text_files import load_tokenizer
from multimodal.tokenizers.transforms import of_images

CONFIG, GENERATION = "config.json", "generation_config.json"
VOCABULARIES = (  # any of these: the folder has a tokenizer
    *("tokenizer.json", "source.spm", "vocab.json", "vocab.txt"),
    *("spiece.model", "tokenizer.model", "sentencepiece.bpe.model"),
)
_SPARE = 0.001  # of a vocabulary: what lacks more belongs to another tokenizer
FAMILIES: tuple[Family, ...] = (
    *(transformers_gpt, transformers_llama, transformers_ast),
    *(transformers_bert, transformers_t5, transformers_bart, transformers_clip, transformers_whisper),
    transformers_llava,
)


def from_transformers(
    folder: Path, *, source: str, pretrained: bool, device: torch.device, dtype: torch.dtype | None
) -> AnyModel:
    """The model of a folder, in eval mode, with its tokenizer where the folder has one.

    Args:
        folder: as `save_pretrained` writes it.
        source: what the model's card says of where it came from.
        pretrained: False gives the architecture with fresh weights.
        device: where to put the weights.
        dtype: their number format; None: as stored.

    Raises:
        DataError: a family or an option that is not supported, a missing or damaged file, weights that do not fit
            their config or are not numbers, or a tokenizer that does not fit the model.
    """
    published = read_published(folder)
    published = _settled(published, folder) if pretrained else published
    written = not isinstance(published.config, ClassifierConfig) and any((folder / n).exists() for n in VOCABULARIES)
    tokenizer = load_tokenizer(folder) if written else None
    if tokenizer is not None and isinstance(published.config, DualEncoderConfig):
        tokenizer = without_spares(tokenizer, vocabulary_of(published.config))
    if tokenizer is not None and isinstance(published.config, VisionLanguageConfig):
        tokenizer = with_template(tokenizer, folder)
    if tokenizer is not None:
        tokenizer.fits(vocabulary_of(published.config))
    if isinstance(published.config, DualEncoderConfig):
        published = replace(published, config=_prepared(published.config, folder, tokenizer))
    if isinstance(published.config, ClassifierConfig):
        published = replace(published, config=transformers_ast.prepared(published.config, folder))
    if isinstance(published.config, VisionLanguageConfig):
        published = replace(published, config=prepared(published.config, folder))
    if isinstance(published.config, SpeechRecognizerConfig):
        transformers_whisper.check_features(folder, published.config.features.mels)
    try:
        model = (skeleton if pretrained else build)(published.config, labels=published.labels, tokenizer=tokenizer)
    except Exception as error:  # numbers that are no sizes fail in as many ways as there are layers
        raise DataError(f"{folder / CONFIG} describes a model that cannot be built: {first_line(error)}") from error
    if pretrained:
        _fill(model, published, folder, device, dtype)
    else:
        assign(model, model.state_dict(), device, dtype)
    model.card = {"source": source}
    return model.eval()


def without_spares(tokenizer: TextTokenizer, vocabulary: int) -> TextTokenizer:
    """`tokenizer`, with its last ids read as unknown where a model with a `vocabulary` a little smaller lacks them.

    So it is with SigLIP's multilingual models: mC4's vocabulary ends in 100 spare pieces, for which they have no rows.
    """
    spare = tokenizer.vocabulary - vocabulary
    if not 0 < spare <= vocabulary * _SPARE or tokenizer.unk_id is None:
        return tokenizer
    return TextTokenizer(tokenizer.tokenizer, replace(tokenizer.settings, known=vocabulary))


def _prepared(config: DualEncoderConfig, folder: Path, tokenizer: TextTokenizer | None) -> DualEncoderConfig:
    """`config` with what files beside config.json say: the preprocessing, and with which id texts are padded."""
    text = config.text
    if tokenizer is not None and isinstance(text, TextTowerConfig) and isinstance(text.pool, PaddedPoolConfig):
        pad = text.pool.pad if tokenizer.pad_id is None else tokenizer.pad_id
        text = replace(text, pool=PaddedPoolConfig(pad=pad))
    return replace(config, text=text, transform=read_pixels(folder, of_images(config.transform, "CLIP")))


def read_published(folder: Path) -> Published:
    """What the config.json of `folder` means here.

    Raises:
        DataError: it is missing or damaged, or of a family that is not supported, or asks for what cannot be done.
    """
    path = folder / CONFIG
    config = read_json(path)
    generation = read_json(folder / GENERATION) if (folder / GENERATION).exists() else {}
    kind = config.get("model_type")
    if kind == "siglip2":
        raise DataError(
            f"{path}: model_type is 'siglip2', a SigLIP 2 for pictures of any size (NaFlex), which cannot be read; "
            "take one of a fixed size, such as google/siglip2-base-patch16-224."
        )
    family = next((family for family in FAMILIES if kind in family.MODEL_TYPES), None)
    if family is None:
        known = [name for family in FAMILIES for name in family.MODEL_TYPES]
        raise DataError(
            f"{path}: model_type is {kind!r}; of transformers' models, these can be read: {', '.join(known)}."
            f"{nearest(str(kind), known)} Image models come from timm, as 'timm:NAME'."
        )
    fields = Fields(config)
    try:
        if config.get("auto_map"):
            raise fields.wrong("auto_map", "the model brings code of its own, and no code of a model is ever run")
        fields.only(pruned_heads={}, quantization_config={})
        return family.read(config, generation)
    except (ArgumentError, DataError) as error:  # a value may also be one that our own configs refuse
        raise DataError(f"{folder}: {error}") from error


def _settled(published: Published, folder: Path) -> Published:
    """`published`, or what it is instead where the weights lack a tensor of which config.json does not tell."""
    for name, instead in published.without:
        if name not in _places(published, folder):
            published = instead
    return published


def _fill(model: AnyModel, published: Published, folder: Path, device: torch.device, dtype: torch.dtype | None) -> None:
    """Give `model` the weights of `folder` in place of its empty ones."""
    shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    theirs = read_tensors(_places(published, folder), device=device, dtype=dtype)
    try:
        state = published.table.convert(theirs, shapes)
    except DataError as error:
        raise DataError(f"{folder}: {error}") from error
    del theirs  # below, a tensor that is replaced must be nobody else's
    for name, tensor in state.items():
        if not tensor.is_floating_point():
            raise DataError(f"{folder}: {name!r} would be of type {tensor.dtype}; quantized weights cannot be read.")
        if not tensor.is_contiguous() or tensor.untyped_storage().nbytes() > tensor.nbytes:  # a part, or transposed
            state[name] = tensor.clone(memory_format=torch.contiguous_format)
    model.load_state_dict(state, strict=True, assign=True)
    model.to(device)


def _places(published: Published, folder: Path) -> dict[str, Stored]:
    """The tensors of `folder` under the names of the table; those that it has no place for under their own."""
    found: dict[str, Stored] = {}
    for key, place in find_tensors(folder).items():
        name = key
        for pattern, replacement in published.older:
            if not published.table.covers(name):
                name = re.sub(pattern, replacement, name, count=1)
        name = name if published.table.covers(name) else key
        if name in found:
            raise DataError(f"{folder} holds {name!r} twice, as {found[name].key!r} and as {key!r}.")
        found[name] = place
    return found

"""A model back to transformers: the families' configs and the tables of `weights/`, read backwards.

A family has the model if what its `write` gives leads back to an equal config through its `read`. What transformers has
no name for stays behind: the seed of sampling, the card, and of texts the mending of mojibake and HTML entities.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer
from torch import Tensor

from multimodal.backbone.lora import merged_state_dict
from multimodal.checkpoint.kinds import TextModel
from multimodal.checkpoint.replacing import replacing
from multimodal.config import to_plain
from multimodal.errors import ArgumentError, DataError
from multimodal.hub import transformers_ast, transformers_clip, transformers_llava, transformers_whisper
from multimodal.hub.files import read_json
from multimodal.hub.safetensors_folder import WEIGHTS, write_tensors
from multimodal.hub.transformers_family import Published
from multimodal.hub.transformers_generation import write_generation
from multimodal.hub.transformers_llava import with_row
from multimodal.hub.transformers_pixels import PIXELS, PROCESSOR, write_pixels
from multimodal.hub.transformers_processor import TEMPLATE, write_processor
from multimodal.hub.transformers_source import CONFIG, FAMILIES, GENERATION
from multimodal.models.classifier import Classifier, ClassifierConfig
from multimodal.models.dual_encoder import DualEncoder, DualEncoderConfig
from multimodal.models.encoder_decoder import EncoderDecoder, EncoderDecoderConfig
from multimodal.models.language_model import LanguageModel, LanguageModelConfig
from multimodal.models.speech_recognizer import SpeechRecognizer, SpeechRecognizerConfig
from multimodal.models.vision_language import VisionLanguageConfig, VisionLanguageModel
from multimodal.tokenizers.text import TextTokenizer
from multimodal.tokenizers.text_settings import CONFIG as TOKENIZER_CONFIG
from multimodal.tokenizers.text_siglip import prepare
from multimodal.tokenizers.transforms import of_images

Model = TextModel | Classifier | DualEncoder | SpeechRecognizer | VisionLanguageModel
_FILES = (CONFIG, GENERATION, WEIGHTS, PIXELS, PROCESSOR, "tokenizer.json", TOKENIZER_CONFIG, TEMPLATE)


def export_transformers(model: Model) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The config.json of `model`, and its weights under transformers' names, which its class loads strictly.

    Tied weights are there under each of their names. LoRA adapters are folded in. Of a `VisionLanguageModel` the names
    are those in files, from which its class differs: `from_pretrained` knows them.

    Raises:
        ArgumentError: none of transformers' models that we know computes what this one does.
    """
    model = with_row(model) if isinstance(model, VisionLanguageModel) else model
    config, published = _express(model)
    state = merged_state_dict(model)
    dtype = next(iter(state.values())).dtype
    return {**config, "torch_dtype": str(dtype).removeprefix("torch.")}, published.table.export(state)


def save_transformers(model: Model, folder: str | Path) -> Path:
    """Write a folder that transformers loads, tokenizer included: `AutoModel.from_pretrained(folder)`; its full path.

    The folder is there in full or not at all, and replaces one that was written so before.

    Raises:
        ArgumentError: as `export_transformers`; or the folder holds other things.
        DataError: it cannot be written.
    """
    config, state = export_transformers(model)
    target = Path(folder).resolve()
    with replacing(target, files=_FILES) as fresh:
        write_tensors(state, fresh / WEIGHTS)
        _write_json(fresh / CONFIG, config)
        if isinstance(model, LanguageModel | EncoderDecoder | VisionLanguageModel):
            ids = {name: config[name] for name in config if name.endswith("_token_id")}
            _write_json(fresh / GENERATION, {**ids, **write_generation(model.config.generation)})
        if isinstance(model, DualEncoder):
            _write_json(fresh / PIXELS, write_pixels(of_images(model.transform.config, "CLIP"), config["model_type"]))
        if isinstance(model, VisionLanguageModel):
            for name, fields in write_processor(model).items():
                _write_json(fresh / name, fields)
            if model.tokenizer is not None and model.tokenizer.chat_template is not None:
                (fresh / TEMPLATE).write_text(model.tokenizer.chat_template, encoding="utf-8")  # the processor's
        if isinstance(model, SpeechRecognizer):
            _write_json(fresh / GENERATION, transformers_whisper.write_speech(model))
            _write_json(fresh / PIXELS, transformers_whisper.write_features(model.config))
        if isinstance(model, Classifier):
            _write_json(fresh / PIXELS, transformers_ast.write_features(model.transform.config))
        elif model.tokenizer is not None:
            _plain_tokenizer(model.tokenizer, model).save(fresh)
        if isinstance(model, SpeechRecognizer) and model.tokenizer is not None:
            settings = read_json(fresh / TOKENIZER_CONFIG)
            _write_json(fresh / TOKENIZER_CONFIG, {**settings, **transformers_whisper.PROCESSOR_CLASSES})
    return target


def _express(model: Model) -> tuple[dict[str, Any], Published]:
    """The config.json of the first family that has this model, and what it reads there."""
    reasons = []
    for family in FAMILIES:
        written = family.write(model.config)
        if written is None:
            continue
        config = {**_ids(model), **written, **_labels(model)}
        try:
            published = family.read(config, {})
        except DataError as error:
            reasons.append(str(error))
            continue
        several = [published, *(instead for _, instead in published.without)]
        differences = [_differ(_plain(each.config), _plain(model.config)) for each in several]
        if "" in differences:
            return config, several[differences.index("")]
        reasons.append(f"As {config['model_type']}, its {differences[0]}.")
    name = type(model).__name__
    raise ArgumentError(f"transformers has no model like this {name}. {' '.join(reasons)}".rstrip())


def _plain(config: Any) -> dict[str, Any]:
    """A config without what config.json does not say: the defaults of generation, the preprocessing."""
    if isinstance(config, ClassifierConfig):
        config = transformers_ast.essential(config)
    elif isinstance(config, DualEncoderConfig):
        config = transformers_clip.essential(config)
    elif isinstance(config, VisionLanguageConfig):
        config = transformers_llava.essential(config)
    elif isinstance(config, SpeechRecognizerConfig):
        config = transformers_whisper.essential(config)
    elif isinstance(config, LanguageModelConfig | EncoderDecoderConfig):
        config = replace(config, generation=type(config.generation)())
    elif isinstance(getattr(config, "encoder", None), LanguageModelConfig):
        config = replace(config, encoder=replace(config.encoder, generation=type(config.encoder.generation)()))
    return to_plain(config)


def _plain_tokenizer(tokenizer: TextTokenizer, model: Model) -> TextTokenizer:
    """`tokenizer` as transformers can use it: what is done to a text before, as a part of it; a token for padding."""
    if not isinstance(model, DualEncoder):
        return tokenizer
    settings, copy = tokenizer.settings, Tokenizer.from_str(tokenizer.plain())
    prepare(copy, settings.cleaning, underscore=" ")
    special = settings.special
    special = replace(special, pad=special.pad or special.eos)
    length = settings.max_length or model.caption_length
    return TextTokenizer(copy, replace(settings, cleaning=None, special=special, max_length=length))


def _ids(model: Model) -> dict[str, Any]:
    """Ids of special tokens, null where there are none: transformers would take those of the first published model."""
    if isinstance(model, Classifier | DualEncoder):
        return {}
    if isinstance(model, SpeechRecognizer):
        return transformers_whisper.token_ids(model)
    tokenizer, end = model.tokenizer, None
    if isinstance(model, LanguageModel | EncoderDecoder | VisionLanguageModel):
        ends = model.config.generation.end
        end = list(ends) if len(ends) > 1 else next(iter(ends), None)
    return {
        "bos_token_id": tokenizer.bos_id if tokenizer else None,
        "eos_token_id": end,
        "pad_token_id": tokenizer.pad_id if tokenizer else None,
    }


def _labels(model: Model) -> dict[str, Any]:
    labels: tuple[str, ...] = getattr(model, "labels", ())
    if not labels:
        return {}
    return {
        "id2label": {str(i): label for i, label in enumerate(labels)},
        "label2id": {label: i for i, label in enumerate(labels)},
    }


def _differ(theirs: Any, ours: Any, where: str = "") -> str:
    """The first place where two plain configs differ, as a clause; "" where they do not."""
    if isinstance(theirs, dict) and isinstance(ours, dict) and theirs.keys() == ours.keys():
        return next((found for key in theirs if (found := _differ(theirs[key], ours[key], f"{where}.{key}"))), "")
    return "" if theirs == ours else f"{where.strip('.')} would be {theirs!r} and not {ours!r}"


def _write_json(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")

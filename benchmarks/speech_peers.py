"""What `speech.py` compares with: the same weights in openai-whisper, transformers and faster-whisper.

Each function but `convert` and `openai_model` gives one that makes the ids of a text from a spectrogram (1 m t).
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch

NEW = 48  # tokens of each text
PROMPT = ("<|startoftranscript|>", "<|en|>", "<|transcribe|>", "<|notimestamps|>")


def convert(folder: Path) -> None:
    """The same weights for CTranslate2, beside it."""
    from ctranslate2.converters import TransformersConverter

    target = folder.with_name(f"{folder.name}-ctranslate2")
    TransformersConverter(str(folder)).convert(str(target))
    for name in ("tokenizer.json", "preprocessor_config.json"):
        shutil.copy(folder / name, target / name)


def openai_whisper(folder: str, beams: int | None, dtype: str) -> Any:
    from whisper.decoding import DecodingOptions, decode

    model = openai_model(folder)
    options = DecodingOptions(language="en", without_timestamps=True, beam_size=beams, sample_len=NEW, fp16=False)

    def write(mel: torch.Tensor) -> list[int]:
        found: Any = decode(model, mel[0], options)
        return found.tokens

    return write


def transformers(folder: str, beams: int | None, dtype: str) -> Any:
    from tokenizers import Tokenizer
    from transformers import GenerationMixin, WhisperForConditionalGeneration
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    model: Any = WhisperForConditionalGeneration.from_pretrained(folder, dtype=getattr(torch, dtype)).eval()
    tokenizer, generate = Tokenizer.from_file(str(Path(folder) / "tokenizer.json")), vars(GenerationMixin)["generate"]
    prompt = torch.tensor([[tokenizer.token_to_id(token) for token in PROMPT]])
    options = {"decoder_input_ids": prompt, "num_beams": beams or 1, "max_new_tokens": NEW, "do_sample": False}

    @torch.inference_mode()
    def write(mel: torch.Tensor) -> list[int]:
        # Whisper's own `generate` around this finds less likely texts with beams (transformers 5.23), and other ones.
        return generate(model, mel, **options)[0, -NEW:].tolist()

    return write


def faster_whisper(folder: str, beams: int | None, dtype: str) -> Any:
    from ctranslate2 import StorageView
    from faster_whisper import WhisperModel

    converted = Path(folder).with_name(f"{Path(folder).name}-ctranslate2")
    model = WhisperModel(str(converted), device="cpu", compute_type=dtype, cpu_threads=torch.get_num_threads())
    prompt = [model.hf_tokenizer.token_to_id(token) for token in PROMPT]
    options = {"beam_size": beams or 1, "max_length": 2 * NEW}  # half of it is for earlier text

    def write(mel: torch.Tensor) -> list[int]:
        encoded = model.model.encode(StorageView.from_array(np.ascontiguousarray(mel.numpy())))
        (found,) = model.model.generate(encoded, [prompt], **options)
        return found.sequences_ids[0]

    return write


def openai_model(folder: str) -> Any:
    """openai-whisper's model with the weights of a folder."""
    from safetensors.torch import load_file
    from whisper.model import ModelDimensions, Whisper

    config = json.loads((Path(folder) / "config.json").read_text(encoding="utf-8"))
    theirs = Whisper(
        ModelDimensions(
            n_mels=config["num_mel_bins"],
            n_audio_ctx=config["max_source_positions"],
            n_audio_state=config["d_model"],
            n_audio_head=config["encoder_attention_heads"],
            n_audio_layer=config["encoder_layers"],
            n_vocab=config["vocab_size"],
            n_text_ctx=config["max_target_positions"],
            n_text_state=config["d_model"],
            n_text_head=config["decoder_attention_heads"],
            n_text_layer=config["decoder_layers"],
        )
    )
    state = load_file(Path(folder) / "model.safetensors")
    theirs.load_state_dict({_openai_name(name): tensor for name, tensor in state.items() if name != "proj_out.weight"})
    return theirs.eval()


_NAMES = (  # transformers -> openai-whisper, one after the other
    ("model.", ""),
    (".layers.", ".blocks."),
    ("embed_tokens.", "token_embedding."),
    ("embed_positions.weight", "positional_embedding"),
    ("encoder.layer_norm.", "encoder.ln_post."),
    ("decoder.layer_norm.", "decoder.ln."),
    ("self_attn_layer_norm.", "attn_ln."),
    ("encoder_attn_layer_norm.", "cross_attn_ln."),
    ("final_layer_norm.", "mlp_ln."),
    ("self_attn.", "attn."),
    ("encoder_attn.", "cross_attn."),
    ("q_proj.", "query."),
    ("k_proj.", "key."),
    ("v_proj.", "value."),
    ("out_proj.", "out."),
    ("fc1.", "mlp.0."),
    ("fc2.", "mlp.2."),
)


def _openai_name(name: str) -> str:
    for theirs, openais in _NAMES:
        name = name.replace(theirs, openais)
    return name

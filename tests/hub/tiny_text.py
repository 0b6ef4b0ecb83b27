"""Folders as transformers writes them, of models so small that a test makes them anew."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models
from torch import Tensor

from multimodal.tokenizers.text import TextTokenizer
from multimodal.tokenizers.text_settings import SpecialTokens, TextSettings

LLAMA: dict[str, Any] = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "vocab_size": 20,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 32,
    "tie_word_embeddings": True,
}


def llama_tensors(d: int = 16, v: int = 20, f: int = 24, layers: int = 2) -> dict[str, Tensor]:
    """The tensors of `LLAMA`, or of one with other sizes."""
    shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (v, d), "model.norm.weight": (d,)}
    for i in range(layers):
        block = {
            **{f"self_attn.{name}_proj": (d, d) for name in "qo"},
            **{f"self_attn.{name}_proj": (d // 2, d) for name in "kv"},
            "mlp.gate_proj": (f, d),
            "mlp.up_proj": (f, d),
            "mlp.down_proj": (d, f),
            "input_layernorm": (d,),
            "post_attention_layernorm": (d,),
        }
        shapes |= {f"model.layers.{i}.{name}.weight": shape for name, shape in block.items()}
    generator = torch.Generator().manual_seed(0)
    return {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}


def write_llama(folder: Path, **fields: Any) -> Path:
    """A whole folder; `fields` of its config.json."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps({**LLAMA, **fields}))
    save_file(llama_tensors(), folder / "model.safetensors")
    return folder


def change_weights(folder: Path, change: Callable[[dict[str, Tensor]], Any]) -> None:
    """Change the dict of tensors in `folder`, in place."""
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors")


def shard(folder: Path) -> dict[str, str]:
    """Cut the weights of `folder` into two files; the map from tensor to file."""
    tensors = load_file(folder / "model.safetensors")
    names = sorted(tensors)
    halves = {"model-00001-of-00002.safetensors": names[::2], "model-00002-of-00002.safetensors": names[1::2]}
    for file, half in halves.items():
        save_file({name: tensors[name] for name in half}, folder / file)
    (folder / "model.safetensors").unlink()
    places = {name: file for file, half in halves.items() for name in half}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": places}))
    return places


def word_tokenizer(words: int = 20) -> TextTokenizer:
    """A tokenizer of whole words: "w0" to "w17", and special tokens."""
    vocabulary = {"<s>": 0, "</s>": 1, **{f"w{i}": i + 2 for i in range(words - 2)}}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="w0"))
    return TextTokenizer(tokenizer, TextSettings(special=SpecialTokens(bos="<s>", eos="</s>", pad="</s>")))

"""What tests of conversations write and lay out: small sets on the disk, templates, and a tokenizer of characters."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from PIL import Image

from multimodal.models.chat.views import Reader
from multimodal.tokenizers.chat import VICUNA
from multimodal.tokenizers.image_transform import ImageTransformConfig
from multimodal.tokenizers.text import TextTokenizer
from multimodal.tokenizers.text_settings import SpecialTokens
from multimodal.tokenizers.text_training import train_tokenizer

CHATML = """{% for message in messages %}
{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}
{%- endfor %}
{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"""

LLAMA_3 = """{% for message in messages %}{% if loop.index0 == 0 %}{{ bos_token }}{% endif %}{{
'<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' + message['content'] | trim + '<|eot_id|>' }}{%
endfor %}{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"""

SPECIAL = SpecialTokens(
    bos="<s>",
    eos="</s>",
    pad="<pad>",
    extra=("<image>", "<|im_start|>", "<|im_end|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"),
)


def characters(template: str | None = VICUNA) -> TextTokenizer:
    """A tokenizer with a token for each character, and one for each special token."""
    text = ["".join(map(chr, range(32, 127))) + "\n"] * 2
    made = train_tokenizer(iter(text), "character", special=SPECIAL)
    return TextTokenizer(made.tokenizer, replace(made.settings, chat_template=template))


def talk(*turns: str, image: str | list[str] | None = None, **fields: Any) -> dict[str, Any]:
    """A row of messages: user and assistant in turn."""
    messages = [{"role": ("user", "assistant")[i % 2], "content": turn} for i, turn in enumerate(turns)]
    return {"messages": messages, **({} if image is None else {"images": image}), **fields}


def picture(path: Path, number: int, size: int = 8) -> Path:
    """A picture of noise that follows from `number`, at `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(number).integers(0, 256, (size, size, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def write_rows(path: Path, rows: list[Any]) -> Path:
    """Rows as JSON Lines, or as one JSON list; a `str` stands in the file as it is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".json":
        path.write_text(json.dumps(rows))
    else:
        path.write_text("".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows))
    return path


def model(tokenizer: TextTokenizer | None = None, *, tokens: int = 4, max_length: int = 200) -> Any:
    """What data ask of a model: 8 x 8 pixels, which become `tokens` tokens."""
    tokenizer = tokenizer or characters()
    reader = Reader(ImageTransformConfig(size=(8, 8), crop_fraction=1.0), tiles=None, length=tokens, grid=(1, tokens))
    embedding = SimpleNamespace(max_length=max_length, positions=max_length)
    config = SimpleNamespace(placeholder=tokenizer.id_of("<image>"), embedding=embedding)
    return SimpleNamespace(tokenizer=tokenizer, reader=reader, config=config)


def ready(data: Any, model: Any) -> Any:
    """`data` as if a Trainer ran it."""
    data.trainer = SimpleNamespace(
        lightning_module=SimpleNamespace(model=model),
        global_rank=0,
        world_size=1,
        strategy=SimpleNamespace(root_device=torch.device("cpu")),
    )
    return data
